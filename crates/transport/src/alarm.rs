//! Alarms that ring on a thread of their own.
//!
//! As long as the runtime has a timer set, each of its waits for the network sets and takes back a timer of the kernel's, which
//! costs about 0.4 µs: a twentieth of the way of a small frame. A connection always waits for something besides its next
//! packet (its idle timeout, the next question whether the peer is there), and hardly ever until that comes. So these alarms
//! are kept elsewhere: by a thread that sleeps, one for the process.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;
use tokio::runtime::{Builder, Handle};
use tokio::sync::Notify;
use tokio::time::Sleep;

use crate::clock;

/// What is nearer than this is left to the runtime's own timers: waking another thread costs more than they do.
const NEAR: Duration = Duration::from_millis(50);

/// An alarm that stays set from one wait to the next. When it rings, it is looked whether it has been for the wait that goes on.
///
/// The thread's stays set while a nearer one is: times go back and forth between what is due in milliseconds (an
/// acknowledgement) and what is not (that packets are lost).
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    near: Option<Near>,
    far: Option<Far>,
}

/// The runtime rings.
#[derive(Debug)]
struct Near {
    at: Instant,
    timer: Pin<Box<Sleep>>,
}

/// The thread does.
#[derive(Debug)]
struct Far {
    key: Key,
    rung: Arc<Rung>,
    alarms: Arc<Alarms>,
}

impl Drop for Far {
    fn drop(&mut self) {
        self.alarms.forget(&self.key);
        // What could not be forgotten now holds no task, and calls nobody.
        drop(self.rung.waker.take());
    }
}

/// What the thread does when it is time, and whom it wakes then: whoever has asked last. (Two wakers of one task need not look
/// alike, so nothing may depend on that.)
#[derive(Debug, Default)]
struct Rung {
    yet: AtomicBool,
    waker: AtomicWaker,
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
        self.poll_among(alarms, at, cx)
    }

    fn poll_among(
        &mut self,
        alarms: impl Fn() -> Option<Arc<Alarms>>,
        at: Instant,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        loop {
            // One that rings in time is enough.
            let rung_for = if let Some(far) = self.far.as_ref().filter(|far| far.key.0 <= at) {
                far.rung.waker.register(cx.waker());
                if !far.rung.yet.load(Ordering::Acquire) {
                    // With hundreds of connections each would be called once more for what is over.
                    self.near = None;
                    return Poll::Pending;
                }
                self.far.take().map(|far| far.key.0)
            } else if let Some(near) = self.near.as_mut().filter(|near| near.at <= at) {
                if near.timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                self.near.take().map(|near| near.at)
            } else {
                let now = clock::now();
                if at <= now {
                    return Poll::Ready(());
                }
                match (at > now + NEAR).then(&alarms).flatten() {
                    Some(alarms) => self.far = Some(alarms.set(at)),
                    None => {
                        let timer = Box::pin(tokio::time::sleep_until(at.into()));
                        self.near = Some(Near { at, timer });
                    }
                }
                continue;
            };
            // The runtime's timers ring by the millisecond, and may be early by a part of one.
            if rung_for == Some(at) {
                return Poll::Ready(());
            }
        }
    }
}

/// When it rings, and a number of its own.
type Key = (Instant, u64);

/// What the thread has to ring for.
#[derive(Debug, Default)]
struct Alarms {
    list: Mutex<List>,
    /// The call when one is set for a time before which the thread would sleep on.
    earlier: Notify,
}

#[derive(Debug, Default)]
struct List {
    set: BTreeMap<Key, Arc<Rung>>,
    next: u64,
    /// When the thread looks again by itself.
    looks_at: Option<Instant>,
}

impl Alarms {
    fn list(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread is called for the earliest only: most are forgotten, or set anew for a later time, before it is their turn.
    fn set(self: Arc<Self>, at: Instant) -> Far {
        let rung = Arc::new(Rung::default());
        let mut list = self.list();
        let key = (at, list.next);
        list.next += 1;
        list.set.insert(key, rung.clone());
        let earlier = list.looks_at.is_none_or(|looks_at| at < looks_at);
        if earlier {
            list.looks_at = Some(at);
        }
        drop(list);
        if earlier {
            self.earlier.notify_one();
        }
        Far { key, rung, alarms: self }
    }

    fn forget(&self, key: &Key) {
        let forgotten = match self.list.try_lock() {
            Ok(mut list) => list.set.remove(key),
            // Somebody has it, in a forked child for ever. It stays until its time, and rings for nobody.
            Err(_) => None,
        };
        drop(forgotten);
    }

    /// Those whose time has come; and notes when the next is due, which it returns as well.
    fn take_due(&self) -> (Vec<Arc<Rung>>, Option<Instant>) {
        let now = clock::now();
        let mut list = self.list();
        let mut due = Vec::new();
        while let Some(first) = list.set.first_entry().filter(|first| first.key().0 <= now) {
            due.push(first.remove());
        }
        list.looks_at = list.set.first_key_value().map(|((at, _), _)| *at);
        (due, list.looks_at)
    }

    /// The thread's work.
    async fn ring(self: Arc<Self>) {
        loop {
            let (due, next) = self.take_due();
            for rung in due {
                rung.yet.store(true, Ordering::Release);
                // A waker may be the application's. One that panics must not take everybody's alarms with it; the panic hook has
                // said what there is to say.
                let _ = catch_unwind(AssertUnwindSafe(|| rung.waker.wake()));
            }
            tokio::select! {
                () = clock::sleep_until(next) => {}
                () = self.earlier.notified() => {}
            }
        }
    }
}

/// The thread, the process it is in, and what it rings for.
struct Keeper(u32, Handle, Arc<Alarms>);

static KEEPER: Mutex<Option<Keeper>> = Mutex::new(None);

fn alarms() -> Option<Arc<Alarms>> {
    with_keeper(|Keeper(_, _, alarms)| alarms.clone())
}

/// Who keeps the alarms of this process; `None` when there is no thread to be had, or, for once, when somebody else asks at the
/// same moment: in a forked child that may be a thread which is not there any more.
pub(crate) fn keeper() -> Option<Handle> {
    with_keeper(|Keeper(_, handle, _)| handle.clone())
}

fn with_keeper<T>(get: impl FnOnce(&Keeper) -> T) -> Option<T> {
    // Virtual time is known to one runtime only.
    if cfg!(test) {
        return None;
    }
    let process = std::process::id();
    let mut keeper = KEEPER.try_lock().ok()?;
    if let Some(keeper) = keeper.as_ref().filter(|Keeper(of, ..)| *of == process) {
        return Some(get(keeper));
    }
    let runtime = Builder::new_current_thread().enable_time().build().ok()?;
    let (handle, alarms) = (runtime.handle().clone(), Arc::<Alarms>::default());
    let thread = std::thread::Builder::new().name("nnrp-alarms".to_owned());
    let rings = alarms.clone().ring();
    thread.spawn(move || runtime.block_on(rings)).ok()?;
    Some(get(keeper.insert(Keeper(process, handle, alarms))))
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::atomic::AtomicUsize;
    use std::task::{Wake, Waker};

    const SECOND: Duration = Duration::from_secs(1);

    /// Counts its calls.
    #[derive(Default)]
    struct Called(AtomicUsize);

    impl Wake for Called {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// An alarm among those of a thread, and who asks for it.
    struct Asking {
        alarm: Alarm,
        alarms: Arc<Alarms>,
        called: Arc<Called>,
    }

    impl Asking {
        fn among(alarms: &Arc<Alarms>) -> Self {
            Asking { alarm: Alarm::default(), alarms: alarms.clone(), called: Arc::default() }
        }

        fn rings(&mut self, at: Instant) -> bool {
            let waker = Waker::from(self.called.clone());
            let Asking { alarm, alarms, .. } = self;
            alarm.poll_among(|| Some(alarms.clone()), at, &mut Context::from_waker(&waker)).is_ready()
        }

        fn calls(&self) -> usize {
            self.called.0.load(Ordering::Relaxed)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn alarms_of_the_thread_ring_at_the_time_that_was_asked_for_last() {
        let (alarms, begun) = (Arc::<Alarms>::default(), clock::now());
        let after = |seconds| begun + SECOND * seconds;
        tokio::spawn(alarms.clone().ring());
        let mut asking = Asking::among(&alarms);
        for at in [5, 3, 4] {
            assert!(!asking.rings(after(at)));
        }
        clock::sleep_until(Some(after(4) - SECOND / 10)).await;
        assert_eq!(asking.calls(), 1, "for the time before the last");
        assert!(!asking.rings(after(4)));
        clock::sleep_until(Some(after(4) + SECOND / 10)).await;
        assert_eq!(asking.calls(), 2);
        assert!(asking.rings(after(4)));
    }

    /// Somebody's waker with a fault.
    struct Broken;

    impl Wake for Broken {
        fn wake(self: Arc<Self>) {
            panic!("a waker's fault");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_waker_that_panics_costs_nobody_else_an_alarm() {
        let (alarms, begun) = (Arc::<Alarms>::default(), clock::now());
        tokio::spawn(alarms.clone().ring());
        let broken = Waker::from(Arc::new(Broken));
        let mut first = Alarm::default();
        let set =
            first.poll_among(|| Some(alarms.clone()), begun + SECOND, &mut Context::from_waker(&broken));
        assert!(set.is_pending());
        let mut second = Asking::among(&alarms);
        assert!(!second.rings(begun + SECOND));
        clock::sleep_until(Some(begun + SECOND * 2)).await;
        assert_eq!(second.calls(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_thread_is_called_for_the_earliest_alarm_only() {
        let (alarms, begun) = (Arc::<Alarms>::default(), clock::now());
        let mut first = Asking::among(&alarms);
        let is_called = || futures_util::FutureExt::now_or_never(alarms.earlier.notified()).is_some();
        assert!(!first.rings(begun + SECOND));
        assert!(is_called());
        let mut later = Asking::among(&alarms);
        assert!(!later.rings(begun + 2 * SECOND));
        assert!(!is_called());
        drop(first);
        assert!(!later.rings(begun + SECOND + SECOND / 2));
        assert!(!is_called(), "it looks before that anyway");
        assert!(!later.rings(begun + SECOND / 2));
        assert!(is_called());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_due_sooner_for_a_while_changes_nothing_for_the_thread() {
        let (alarms, begun) = (Arc::<Alarms>::default(), clock::now());
        let mut asking = Asking::among(&alarms);
        let keys = || alarms.list().set.keys().copied().collect::<Vec<_>>();
        assert!(!asking.rings(begun + SECOND));
        let set = keys();
        assert_eq!(set.len(), 1);
        assert!(!asking.rings(begun + NEAR / 2));
        assert_eq!(keys(), set);
        assert!(!asking.rings(begun + 2 * SECOND));
        assert_eq!(keys(), set);
        clock::sleep_until(Some(begun + NEAR)).await;
        assert_eq!(asking.calls(), 0, "what was sooner is over");
        drop(asking);
        assert_eq!(keys(), []);
    }

    #[tokio::test(start_paused = true)]
    async fn an_alarm_that_cannot_be_forgotten_now_holds_nobody() {
        let alarms = Arc::<Alarms>::default();
        let mut asking = Asking::among(&alarms);
        assert!(!asking.rings(clock::now() + SECOND));
        let called = asking.called.clone();
        let locked = alarms.list();
        drop(asking);
        drop(locked);
        assert_eq!(alarms.list().set.len(), 1, "it was locked");
        assert_eq!(Arc::strong_count(&called), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_due_sooner_rings_although_the_thread_has_an_alarm() {
        let (alarms, begun) = (Arc::<Alarms>::default(), clock::now());
        let mut asking = Asking::among(&alarms);
        let soon = begun + NEAR / 2;
        assert!(!asking.rings(begun + SECOND));
        assert!(!asking.rings(soon));
        clock::sleep_until(Some(begun + NEAR)).await;
        assert_eq!(asking.calls(), 1);
        assert!(asking.rings(soon));
    }
}
