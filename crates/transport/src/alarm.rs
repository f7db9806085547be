//! Alarms that ring on a thread of their own.
//!
//! As long as the runtime has a timer set, each of its waits for the network sets and takes back a timer of the kernel's, which
//! costs about 0.4 µs: a twentieth of the way of a small frame. A connection always waits for something besides its next
//! packet (its idle timeout, the next question whether the peer is there), and hardly ever until that comes. So these alarms
//! are kept elsewhere: by a thread that sleeps, one for the process.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use tokio::runtime::{Builder, Handle};
use tokio::task::AbortHandle;
use tokio::time::Sleep;

use crate::clock;

/// What is nearer than this is left to the runtime's own timers: waking another thread costs more than they do.
const NEAR: Duration = Duration::from_millis(50);

/// An alarm that stays set from one wait to the next. When it rings, it is looked whether it has been for the wait that goes on.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<Set>);

#[derive(Debug)]
struct Set {
    at: Instant,
    bell: Bell,
}

/// What the thread does when it is time, and whom it wakes then: whoever has asked last. (Two wakers of one task need not look
/// alike, so nothing may depend on that.)
#[derive(Debug, Default)]
struct Rung {
    yet: AtomicBool,
    waker: AtomicWaker,
}

#[derive(Debug)]
enum Bell {
    /// The runtime rings.
    Near(Pin<Box<Sleep>>),
    /// The thread does.
    Far(Arc<Rung>, AbortHandle),
}

impl Drop for Bell {
    fn drop(&mut self) {
        if let Bell::Far(_, task) = self {
            task.abort();
        }
    }
}

impl Alarm {
    /// Waits until `at`; for ever without one. Cancel-safe.
    pub(crate) async fn until(&mut self, at: Option<Instant>) {
        match at {
            Some(at) => std::future::poll_fn(|cx| self.poll(at, cx)).await,
            None => std::future::pending().await,
        }
    }

    /// Whether `at` has come; the task is woken when it does. Nothing has to be done when it is asked for later and later
    /// times.
    pub(crate) fn poll(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            drop(self.0.take_if(|set| set.at > at));
            let Some(set) = &mut self.0 else {
                let now = clock::now();
                if at <= now {
                    return Poll::Ready(());
                }
                self.0 = Some(Set::new(at, now));
                continue;
            };
            let rings = match &mut set.bell {
                Bell::Near(timer) => timer.as_mut().poll(cx).is_ready(),
                Bell::Far(rung, _) => {
                    rung.waker.register(cx.waker());
                    rung.yet.load(Ordering::Acquire)
                }
            };
            if !rings {
                return Poll::Pending;
            }
            let meant = set.at == at;
            self.0 = None;
            // The runtime's timers ring by the millisecond, and may be early by a part of one.
            if meant {
                return Poll::Ready(());
            }
        }
    }
}

impl Set {
    fn new(at: Instant, now: Instant) -> Self {
        let bell = match keeper().filter(|_| at > now + NEAR) {
            None => Bell::Near(Box::pin(tokio::time::sleep_until(at.into()))),
            Some(keeper) => {
                let rung = Arc::new(Rung::default());
                let bell = rung.clone();
                let task = keeper.spawn(async move {
                    clock::sleep_until(Some(at)).await;
                    bell.yet.store(true, Ordering::Release);
                    bell.waker.wake();
                });
                Bell::Far(rung, task.abort_handle())
            }
        };
        Set { at, bell }
    }
}

/// The thread, and the process it is in.
struct Keeper(u32, Handle);

static KEEPER: Mutex<Option<Keeper>> = Mutex::new(None);

/// Who keeps the alarms of this process; `None` when there is no thread to be had, or, for once, when somebody else asks at the
/// same moment: in a forked child that may be a thread which is not there any more.
pub(crate) fn keeper() -> Option<Handle> {
    // Virtual time is known to one runtime only.
    if cfg!(test) {
        return None;
    }
    let process = std::process::id();
    let mut keeper = KEEPER.try_lock().ok()?;
    if let Some(Keeper(of, handle)) = &*keeper
        && *of == process
    {
        return Some(handle.clone());
    }
    let runtime = Builder::new_current_thread().enable_time().build().ok()?;
    let handle = runtime.handle().clone();
    let thread = std::thread::Builder::new().name("nnrp-alarms".to_owned());
    thread.spawn(move || runtime.block_on(std::future::pending::<()>())).ok()?;
    *keeper = Some(Keeper(process, handle.clone()));
    Some(handle)
}
