//! Timeouts as Python callers give them: seconds, or `None` for ever.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use pyo3::exceptions::{PyTimeoutError, PyTypeError, PyValueError};
use pyo3::prelude::*;

/// Longer waits are as good as endless, and would overflow the timer: a century.
const ENDLESS_SECONDS: f64 = 100.0 * 365.0 * 86400.0;

/// How long an operation may take.
#[derive(Clone, Copy)]
pub(crate) enum Patience {
    /// For ever.
    Endless,
    /// It must be ready now.
    None,
    /// This long.
    For(Duration),
}

impl Patience {
    /// # Errors
    /// `TypeError` and `ValueError` when `timeout` is not a number.
    pub(crate) fn of(timeout: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        Self::from_seconds(timeout.map(seconds).transpose()?)
    }

    /// # Errors
    /// `ValueError` for NaN.
    pub(crate) fn from_seconds(seconds: Option<f64>) -> PyResult<Self> {
        match seconds {
            None => Ok(Self::Endless),
            Some(seconds) if seconds.is_nan() => {
                Err(PyValueError::new_err("timeout must be a number of seconds, not nan"))
            }
            Some(seconds) if seconds <= 0.0 => Ok(Self::None),
            Some(seconds) if seconds >= ENDLESS_SECONDS => Ok(Self::Endless),
            Some(seconds) => Ok(Self::For(Duration::from_secs_f64(seconds))),
        }
    }

    /// What Python callers get when a wait expires; `missing` is what did not come, as in "no packet".
    pub(crate) fn timed_out(self, missing: &str) -> PyErr {
        PyTimeoutError::new_err(match self {
            Self::Endless => missing.to_owned(),
            Self::None => format!("{missing} within 0 s"),
            Self::For(time) => format!("{missing} within {} s", time.as_secs_f64()),
        })
    }

    /// What `future` yields, or `None` when it takes too long. Dropping an unfinished `future` is all that expiry does.
    pub(crate) async fn limit<F: Future>(self, future: F) -> Option<F::Output> {
        match self {
            Self::Endless => Some(future.await),
            Self::For(time) => tokio::time::timeout(time, future).await.ok(),
            Self::None => {
                let mut future = pin!(future);
                poll_fn(|context| match future.as_mut().poll(context) {
                    Poll::Ready(output) => Poll::Ready(Some(output)),
                    Poll::Pending => Poll::Ready(None),
                })
                .await
            }
        }
    }
}

/// The seconds that a caller gave.
fn seconds(timeout: &Bound<'_, PyAny>) -> PyResult<f64> {
    timeout.extract().or_else(|_| {
        let kind = timeout.get_type().name()?;
        Err(PyTypeError::new_err(format!("timeout must be a number of seconds or None, not '{kind}'")))
    })
}

/// A time limit that must have an end: zero and less leave no time at all, and what is infinite is a century.
///
/// # Errors
/// As [`Patience::of`].
pub(crate) fn given_limit(timeout: &Bound<'_, PyAny>) -> PyResult<Duration> {
    time_limit(seconds(timeout)?)
}

/// The same for a number.
///
/// # Errors
/// As [`Patience::from_seconds`].
pub(crate) fn time_limit(seconds: f64) -> PyResult<Duration> {
    match Patience::from_seconds(Some(seconds))? {
        Patience::For(time) => Ok(time),
        Patience::None => Ok(Duration::ZERO),
        Patience::Endless => Ok(Duration::from_secs_f64(ENDLESS_SECONDS)),
    }
}

/// A setting in seconds where `None`, zero and less mean "off".
///
/// # Errors
/// As [`Patience::from_seconds`].
pub(crate) fn optional_duration(seconds: Option<f64>) -> PyResult<Option<Duration>> {
    match Patience::from_seconds(seconds)? {
        Patience::For(time) => Ok(Some(time)),
        Patience::Endless | Patience::None => Ok(None),
    }
}
