//! Notices when nothing moves, without a timer of its own for every wait.

use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use crate::alarm::Alarm;
use crate::clock;

/// Limits waits.
#[derive(Debug, Default)]
pub(crate) struct Silence(Alarm);

impl Silence {
    /// Waits for `moves`, at most `limit`; `None` when that is over. Cancel-safe if `moves` is.
    pub(crate) async fn limit<T>(
        &mut self,
        limit: Option<Duration>,
        moves: impl Future<Output = T>,
    ) -> Option<T> {
        let mut moves = pin!(moves);
        let mut until: Option<Instant> = None;
        std::future::poll_fn(|cx| {
            if let Poll::Ready(moved) = moves.as_mut().poll(cx) {
                return Poll::Ready(Some(moved));
            }
            let Some(limit) = limit else { return Poll::Pending };
            let until = *until.get_or_insert_with(|| clock::now() + limit);
            self.0.poll(until, cx).map(|()| None)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    async fn after(time: Duration) {
        clock::sleep_until(Some(clock::now() + time)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn each_wait_has_its_own_limit() {
        let mut silence = Silence::default();
        let begun = clock::now();
        for _ in 0..10 {
            assert!(silence.limit(Some(3 * SECOND), after(2 * SECOND)).await.is_some());
        }
        assert_eq!(clock::now() - begun, 20 * SECOND);
        assert!(silence.limit(Some(3 * SECOND), after(4 * SECOND)).await.is_none());
        assert_eq!(clock::now() - begun, 23 * SECOND);
        assert!(silence.limit(Some(SECOND), after(4 * SECOND)).await.is_none(), "a shorter limit");
        assert_eq!(clock::now() - begun, 24 * SECOND);
        assert!(silence.limit(None, after(100 * SECOND)).await.is_some(), "no limit");
        assert!(
            silence.limit(Some(Duration::ZERO), std::future::ready(())).await.is_some(),
            "nothing to wait for"
        );
    }
}
