//! Tasks of the runtime that an event loop runs itself when it is the one that wakes them.
//!
//! What arrives on a QUIC connection goes through three tasks: quinn's for the socket, quinn's for the connection, and ours, which
//! takes the streams. Each wakes the next one. A loop that its socket is lent to ([`LoopSockets`](crate::LoopSockets)) wakes the
//! first, and runs there, on its own thread and at once, what follows from that; and so it sends an answer, which wakes quinn's task
//! for the connection. Woken by anybody else, or while the loop has no time, they run in the runtime like any other.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use tokio::runtime::Handle;

use crate::serving::enter;

/// Tasks polled in a row on the thread of a loop. What has more to do is for the runtime: it must not keep the loop from everything
/// else.
const MOST_POLLS: usize = 16;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

thread_local! {
    /// What was woken here and is to run here, while there is such a thing.
    static WOKEN: RefCell<Option<Woken>> = const { RefCell::new(None) };

    /// An event loop runs on this thread, or did.
    static HAS_LOOP: Cell<bool> = const { Cell::new(false) };
}

#[derive(Debug)]
struct Woken {
    tasks: VecDeque<Arc<Roaming>>,
    /// They belong to those that run here, whoever they are.
    is_first: bool,
}

/// Says that an event loop runs on this thread.
pub(crate) fn note_loop() {
    HAS_LOOP.set(true);
}

/// Whether a loop runs its tasks on this thread right now.
pub(crate) fn is_at_work() -> bool {
    WOKEN.with_borrow(Option::is_some)
}

/// Does what wakes tasks, and runs them here, and those that they wake in turn if they have been run by a loop before. Not under
/// a lock.
pub(crate) fn run_after(wake: impl FnOnce()) {
    let Some(turn) = Turn::begin() else { return wake() };
    wake();
    WOKEN.with_borrow_mut(|woken| woken.iter_mut().for_each(|woken| woken.is_first = false));
    for _ in 0..MOST_POLLS {
        let next = WOKEN.with_borrow_mut(|woken| woken.as_mut()?.tasks.pop_front());
        let Some(task) = next else { break };
        task.poll_here();
    }
    turn.end().into_iter().for_each(|task| task.call());
}

/// Collects what is woken on the thread of an event loop, so that it can run there. Left to the runtime when it is dropped.
#[derive(Debug)]
#[must_use = "what it collects runs when it is told to"]
pub(crate) struct Turn(());

impl Turn {
    /// `None` if tasks are collected here already.
    fn begin() -> Option<Self> {
        WOKEN.with_borrow_mut(|woken| {
            let none = woken.is_none();
            none.then(|| {
                *woken = Some(Woken { tasks: VecDeque::new(), is_first: true });
                Turn(())
            })
        })
    }

    /// The same, on threads with an event loop only.
    pub(crate) fn of_loop() -> Option<Self> {
        if HAS_LOOP.get() { Self::begin() } else { None }
    }

    /// Runs what was woken so far; what that wakes is for the runtime. Not under a lock.
    pub(crate) fn run(self) {
        for task in self.end() {
            task.poll_here();
        }
    }

    fn end(self) -> VecDeque<Arc<Roaming>> {
        std::mem::forget(self);
        Self::take()
    }

    fn take() -> VecDeque<Arc<Roaming>> {
        WOKEN.take().map(|woken| woken.tasks).unwrap_or_default()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        Self::take().into_iter().for_each(|task| task.call());
    }
}

/// A task that may run on the thread of a loop.
#[derive(Debug)]
struct Roaming {
    slot: Mutex<Slot>,
    /// The task in the runtime.
    task: Mutex<Option<Waker>>,
    /// Somebody wanted to poll while another did.
    again: AtomicBool,
    /// A loop may run it, whoever woke it there.
    known: AtomicBool,
    handle: Handle,
}

struct Slot(Option<Work>);

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Slot").field(&self.0.is_some()).finish()
    }
}

/// `work` as a task for the runtime that loops may run as well; `known` says that they may from the beginning, and not only after
/// somebody on the thread of a loop has woken it by what he did. Needs a tokio runtime around it.
pub(crate) fn roaming(
    work: impl Future<Output = ()> + Send + 'static,
    known: bool,
) -> impl Future<Output = ()> + Send + 'static {
    let home = Home(Arc::new(Roaming {
        slot: Mutex::new(Slot(Some(Box::pin(work)))),
        task: Mutex::new(None),
        again: AtomicBool::new(false),
        known: AtomicBool::new(known),
        handle: Handle::current(),
    }));
    std::future::poll_fn(move |cx| home.0.poll_at_home(cx))
}

/// The work ends with the runtime's task.
struct Home(Arc<Roaming>);

impl Drop for Home {
    fn drop(&mut self) {
        let work = self.0.slot.lock().unwrap_or_else(PoisonError::into_inner).0.take();
        drop(work);
    }
}

impl Roaming {
    fn poll_at_home(self: &Arc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        {
            let mut task = self.task();
            match &mut *task {
                Some(known) => known.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
        let Some(slot) = self.enter() else { return Poll::Pending };
        self.poll(slot)
    }

    fn poll_here(self: &Arc<Self>) {
        let Some(slot) = self.enter() else { return };
        let _entered = self.handle.enter();
        if self.poll(slot).is_ready() {
            self.call();
        }
    }

    fn poll(self: &Arc<Self>, mut slot: MutexGuard<'_, Slot>) -> Poll<()> {
        let polled = match &mut slot.0 {
            Some(work) => work.as_mut().poll(&mut Context::from_waker(&Waker::from(self.clone()))),
            None => Poll::Ready(()),
        };
        if polled.is_ready() {
            slot.0 = None;
        }
        drop(slot);
        if self.again.swap(false, Ordering::SeqCst) {
            self.call();
        }
        polled
    }

    /// The slot, unless somebody else has it: then the task in the runtime is called afterwards.
    fn enter(&self) -> Option<MutexGuard<'_, Slot>> {
        enter(&self.slot, &self.again)
    }

    fn task(&self) -> MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the runtime poll it.
    fn call(&self) {
        if let Some(task) = &*self.task() {
            task.wake_by_ref();
        }
    }
}

impl Wake for Roaming {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let here = WOKEN.try_with(|woken| {
            let mut woken = woken.borrow_mut();
            let Some(woken) = &mut *woken else { return false };
            if woken.is_first {
                self.known.store(true, Ordering::Relaxed);
            } else if !self.known.load(Ordering::Relaxed) {
                return false;
            }
            if !woken.tasks.iter().any(|task| Arc::ptr_eq(task, self)) {
                woken.tasks.push_back(self.clone());
            }
            true
        });
        // A thread that ends collects nothing any more.
        if !here.unwrap_or(false) {
            self.call();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::sync::atomic::AtomicUsize;
    use std::thread::ThreadId;
    use std::time::Duration;

    use tokio::sync::Notify;
    use tokio::sync::mpsc::{Receiver, channel};

    const PATIENCE: Duration = Duration::from_secs(10);

    async fn soon<T>(future: impl Future<Output = T>) -> T {
        tokio::time::timeout(PATIENCE, future).await.expect("it was not called")
    }

    /// A task that tells where it runs when it is called, and then calls the next.
    fn station(known: bool, call: &Arc<Notify>, next: Option<&Arc<Notify>>) -> Receiver<ThreadId> {
        let (tell, told) = channel(8);
        let (call, next) = (call.clone(), next.cloned());
        let work = async move {
            loop {
                call.notified().await;
                if tell.try_send(std::thread::current().id()).is_err() {
                    return;
                }
                next.iter().for_each(|next| next.notify_one());
            }
        };
        tokio::spawn(roaming(work, known));
        told
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_a_loop_wakes_runs_there_and_what_others_wake_in_the_runtime() {
        let [first, second, third] = [(); 3].map(|()| Arc::new(Notify::new()));
        let mut firsts = station(false, &first, Some(&second));
        let mut seconds = station(true, &second, Some(&third));
        let mut thirds = station(false, &third, None);
        // Each has been polled once, so that there is somebody to wake.
        first.notify_one();
        for told in [&mut firsts, &mut seconds, &mut thirds] {
            soon(told.recv()).await.unwrap();
        }
        let event_loop = std::thread::spawn({
            let first = first.clone();
            move || {
                run_after(|| first.notify_one());
                std::thread::current().id()
            }
        })
        .join()
        .unwrap();
        assert_eq!(soon(firsts.recv()).await, Some(event_loop), "it woke this one itself");
        assert_eq!(soon(seconds.recv()).await, Some(event_loop), "which woke one that is known");
        assert_ne!(soon(thirds.recv()).await, Some(event_loop), "which woke a stranger");
        first.notify_one();
        assert_ne!(soon(firsts.recv()).await, Some(event_loop), "somebody else woke it");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_thread_without_a_loop_takes_no_turn() {
        let call = Arc::new(Notify::new());
        let mut told = station(true, &call, None);
        call.notify_one();
        soon(told.recv()).await.unwrap();
        let turn = || {
            let turn = Turn::of_loop();
            call.notify_one();
            turn.map(Turn::run).is_some()
        };
        let on_a_loop = || {
            note_loop();
            turn()
        };
        assert!(!std::thread::scope(|scope| scope.spawn(turn).join().unwrap()));
        soon(told.recv()).await.unwrap();
        assert!(std::thread::scope(|scope| scope.spawn(on_a_loop).join().unwrap()));
        soon(told.recv()).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn who_never_stops_is_left_to_the_runtime() {
        let polls = Arc::new(AtomicUsize::new(0));
        let counted = polls.clone();
        let call = Arc::new(Notify::new());
        let work = {
            let call = call.clone();
            async move {
                call.notified().await;
                std::future::poll_fn(|cx| {
                    cx.waker().wake_by_ref();
                    let done = counted.fetch_add(1, Ordering::Relaxed) >= 2 * MOST_POLLS;
                    if done { Poll::Ready(()) } else { Poll::Pending }
                })
                .await;
            }
        };
        let task = tokio::spawn(roaming(work, true));
        while Arc::strong_count(&call) < 2 {
            tokio::task::yield_now().await;
        }
        std::thread::scope(|scope| {
            scope.spawn(|| run_after(|| call.notify_one()));
        });
        soon(task).await.unwrap();
        assert!(polls.load(Ordering::Relaxed) > MOST_POLLS);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn no_call_is_lost_although_both_sides_call() {
        const CALLS: usize = 20_000;
        let call = Arc::new(Notify::new());
        let mut told = station(true, &call, None);
        let (turn, turns) = std::sync::mpsc::channel::<()>();
        let event_loop = std::thread::spawn({
            let call = call.clone();
            move || turns.iter().for_each(|()| run_after(|| call.notify_one()))
        });
        for number in 0..CALLS {
            turn.send(()).unwrap();
            call.notify_one();
            let called = tokio::time::timeout(PATIENCE, told.recv()).await;
            assert!(called.is_ok(), "call {number} was lost");
            while told.try_recv().is_ok() {}
        }
        drop(turn);
        event_loop.join().unwrap();
    }

    #[tokio::test]
    async fn the_work_ends_with_its_task() {
        let (call, held) = (Arc::new(Notify::new()), Arc::new(()));
        let kept = held.clone();
        let waits = call.clone();
        let task = tokio::spawn(roaming(
            async move {
                let _kept = kept;
                waits.notified().await;
            },
            true,
        ));
        tokio::task::yield_now().await;
        task.abort();
        assert!(soon(task).await.unwrap_err().is_cancelled());
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
