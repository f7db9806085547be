//! Who is let in.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use nnrp_session::ReceivedHello;
use tokio::sync::Semaphore;

/// Blocking decisions that run at once, each on a thread: as many as a database or an identity provider likes to be
/// asked by one process. Further ones wait for a thread, on their client's time.
pub const MAX_BLOCKING_DECISIONS: usize = 64;

/// What is decided about a client. A `bool` is one too: `true` admits, `false` refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// It may in, for as long as it likes.
    Admit,
    /// It may in for this long, at most 49 days. It is told (`token_ttl_ms`); when the time is over its session ends
    /// with AUTH_FAILED, and it may connect again with a fresh auth block.
    AdmitFor(Duration),
    /// It may not (AUTH_FAILED).
    Refuse,
    /// Not now (SERVER_BUSY); it is told how long to wait before it tries again.
    Busy {
        /// How long.
        retry_after: Duration,
    },
}

impl From<bool> for Verdict {
    fn from(admitted: bool) -> Self {
        if admitted { Verdict::Admit } else { Verdict::Refuse }
    }
}

type Deciding = Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// The application's decision, in whichever of its forms.
#[derive(Clone)]
pub(crate) struct Authenticator(Arc<dyn Fn(ReceivedHello) -> Deciding + Send + Sync>);

impl Authenticator {
    pub(crate) fn from_async<F, D>(decide: F) -> Self
    where
        F: Fn(ReceivedHello) -> D + Send + Sync + 'static,
        D: Future<Output: Into<Verdict>> + Send + 'static,
    {
        Authenticator(Arc::new(move |hello| {
            let deciding = decide(hello);
            Box::pin(async move { deciding.await.into() })
        }))
    }

    pub(crate) fn from_blocking<F, D>(decide: F) -> Self
    where
        F: Fn(ReceivedHello) -> D + Send + Sync + 'static,
        D: Into<Verdict>,
    {
        let decide = Arc::new(decide);
        let threads = Arc::new(Semaphore::new(MAX_BLOCKING_DECISIONS));
        Authenticator(Arc::new(move |hello| {
            let (decide, threads) = (decide.clone(), threads.clone());
            Box::pin(async move {
                let Ok(thread) = threads.acquire_owned().await else { return Verdict::Refuse };
                // The thread keeps its permit for as long as it runs, even when nobody waits for it any more.
                let decided = tokio::task::spawn_blocking(move || {
                    let _thread = thread;
                    decide(hello).into()
                });
                // A decision that panics refuses.
                decided.await.unwrap_or(Verdict::Refuse)
            })
        }))
    }

    pub(crate) async fn decide(&self, hello: ReceivedHello) -> Verdict {
        (self.0)(hello).await
    }
}
