//! The one place that looks at the clock.

use std::time::Instant;

use rustls::pki_types::UnixTime;

/// Now, on the monotonic clock the timers use.
#[expect(clippy::disallowed_methods, reason = "the single source of time for the sans-IO crates")]
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Waits until `deadline`; for ever without one. Cancel-safe.
pub async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Now, by the calendar: what certificates are valid by.
pub(crate) fn calendar() -> UnixTime {
    UnixTime::now()
}
