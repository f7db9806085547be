//! Notices when nothing moves, without a timer of its own for every wait.

use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::time::Sleep;

use crate::clock;

/// Limits waits. Its timer stays set from one wait to the next: when it rings, it is looked whether it has been for the wait
/// that goes on.
#[derive(Debug, Default)]
pub(crate) struct Silence(Option<Pin<Box<Sleep>>>);

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
            let until: tokio::time::Instant = (*until.get_or_insert_with(|| clock::now() + limit)).into();
            let timer = self.0.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
            if timer.deadline() > until {
                timer.as_mut().reset(until);
            }
            while timer.as_mut().poll(cx).is_ready() {
                if timer.deadline() >= until {
                    return Poll::Ready(None);
                }
                timer.as_mut().reset(until);
            }
            Poll::Pending
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
