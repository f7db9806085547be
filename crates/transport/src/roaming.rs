//! Tasks of the runtime that run one after the other where that is better than having the runtime call each.
//!
//! What arrives on a QUIC connection goes through three tasks: quinn's for the socket, quinn's for the connection, and ours, which
//! takes the streams. Each wakes the next one. A loop that its socket is lent to ([`LoopSockets`](crate::LoopSockets)) wakes the
//! first, and runs there, on its own thread and at once, what follows from that; and so it sends an answer, which wakes quinn's task
//! for the connection. Woken by anybody else, or while the loop has no time, they run in the runtime like any other.
//!
//! In a runtime with one thread the next one would only wait behind all others to be polled on the same thread. So there a task polls
//! those that it wakes itself, each once. What is woken again after that comes behind all that they have woken: taking a stream wakes
//! quinn's task for the connection, which has nothing to send before the application has answered.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use futures_util::task::{ArcWake, waker_ref};
use tokio::runtime::{Handle, Id, RuntimeFlavor};

use crate::serving::enter;

/// Tasks that may wait at a time to be polled where they were woken, and how many are in one turn. More are for the runtime: others
/// want their turn. Each of a runtime's tasks is polled once in a turn.
const MOST_POLLS: usize = 16;

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

thread_local! {
    /// What was woken here and is to run here.
    static WOKEN: RefCell<Woken> = const { RefCell::new(Woken::new()) };

    /// An event loop runs on this thread, or did.
    static HAS_LOOP: Cell<bool> = const { Cell::new(false) };
}

#[derive(Debug)]
struct Woken {
    whose: Whose,
    tasks: VecDeque<Arc<Roaming>>,
    /// Woken after they were polled.
    again: VecDeque<Arc<Roaming>>,
    /// Counts the turns of this thread.
    turn: u64,
}

/// Which tasks run where they are woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// None.
    Nobody,
    /// All, and they are known from now on.
    Loop,
    /// Those that are known.
    LoopKnown,
    /// Those of the runtime that this thread is all of.
    Runtime(Id),
}

impl Woken {
    const fn new() -> Self {
        Woken { whose: Whose::Nobody, tasks: VecDeque::new(), again: VecDeque::new(), turn: 0 }
    }

    /// Where a task that was woken is to be noted.
    fn place(&mut self, task: &Arc<Roaming>) -> Place<'_> {
        let mut to = &mut self.tasks;
        match self.whose {
            Whose::Nobody => return Place::Elsewhere,
            Whose::Loop => task.known.store(true, Ordering::Relaxed),
            Whose::LoopKnown if task.known.load(Ordering::Relaxed) => {}
            Whose::Runtime(runtime) if task.alone_in == Some(runtime) => {
                if task.polled_in.load(Ordering::Relaxed) == self.turn {
                    to = &mut self.again;
                }
                if to.len() == MOST_POLLS {
                    return Place::Elsewhere;
                }
            }
            _ => return Place::Elsewhere,
        }
        match to.iter().any(|noted| Arc::ptr_eq(noted, task)) {
            true => Place::Known,
            false => Place::Behind(to),
        }
    }
}

/// Where a woken task is to be noted.
enum Place<'a> {
    /// The runtime is to be told.
    Elsewhere,
    /// It is noted.
    Known,
    /// At the end of these.
    Behind(&'a mut VecDeque<Arc<Roaming>>),
}

/// Says that an event loop runs on this thread.
pub(crate) fn note_loop() {
    HAS_LOOP.set(true);
}

/// Whether a loop runs its tasks on this thread right now.
pub(crate) fn is_at_work() -> bool {
    WOKEN.with_borrow(|woken| matches!(woken.whose, Whose::Loop | Whose::LoopKnown))
}

/// Does what wakes tasks, and runs them here, and those that they wake in turn if they have been run by a loop before. Not under
/// a lock.
pub(crate) fn run_after(wake: impl FnOnce()) {
    let Some(turn) = Turn::begin(Whose::Loop) else { return wake() };
    wake();
    WOKEN.with_borrow_mut(|woken| woken.whose = Whose::LoopKnown);
    for _ in 0..MOST_POLLS {
        let Some(task) = turn.next() else { break };
        task.poll_here();
    }
}

/// Collects what is woken on this thread, so that it can run there. What has not run is left to the runtime when it is dropped.
#[derive(Debug)]
#[must_use = "what it collects runs when it is told to"]
pub(crate) struct Turn {
    number: u64,
}

impl Turn {
    /// `None` if tasks are collected here already.
    fn begin(whose: Whose) -> Option<Self> {
        WOKEN.with_borrow_mut(|woken| {
            let free = woken.whose == Whose::Nobody;
            free.then(|| {
                woken.whose = whose;
                woken.turn += 1;
                Turn { number: woken.turn }
            })
        })
    }

    /// On threads with an event loop only.
    pub(crate) fn of_loop() -> Option<Self> {
        if HAS_LOOP.get() { Self::begin(Whose::Loop) } else { None }
    }

    /// Runs what was woken so far; what that wakes is for the runtime. Not under a lock.
    pub(crate) fn run(self) {
        let woken = WOKEN.with_borrow_mut(|woken| {
            woken.whose = Whose::Nobody;
            std::mem::take(&mut woken.tasks)
        });
        drop(self);
        woken.into_iter().for_each(|task| task.poll_here());
    }

    fn next(&self) -> Option<Arc<Roaming>> {
        WOKEN.with_borrow_mut(|woken| woken.tasks.pop_front())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let next = || {
            WOKEN.with_borrow_mut(|woken| {
                woken.whose = Whose::Nobody;
                woken.tasks.pop_front().or_else(|| woken.again.pop_front())
            })
        };
        while let Some(task) = next() {
            task.call();
        }
    }
}

/// A task that may run where it was woken.
#[derive(Debug)]
struct Roaming {
    slot: Mutex<Slot>,
    /// The task in the runtime.
    task: Task,
    /// Somebody wanted to poll while another did.
    again: AtomicBool,
    /// A loop may run it, whoever woke it there.
    known: AtomicBool,
    /// Its runtime, if that has one thread.
    alone_in: Option<Id>,
    /// The turn in which it was polled last, of that thread.
    polled_in: AtomicU64,
    handle: Handle,
}

/// A task in the runtime, and how it is called. It has the same waker for all of its life as long as it is the task that is
/// spawned, and not a part of one that has others; whoever calls it takes no lock then.
#[derive(Debug, Default)]
struct Task {
    first: OnceLock<Waker>,
    /// It was polled with another one.
    has_changed: AtomicBool,
    latest: Mutex<Option<Waker>>,
}

impl Task {
    /// It is polled.
    fn note(&self, waker: &Waker) {
        let first = self.first.get_or_init(|| waker.clone());
        if self.has_changed.load(Ordering::Acquire) || !first.will_wake(waker) {
            *self.latest() = Some(waker.clone());
            self.has_changed.store(true, Ordering::Release);
        }
    }

    fn call(&self) {
        if !self.has_changed.load(Ordering::Acquire) {
            self.first.get().map(Waker::wake_by_ref);
        } else if let Some(latest) = &*self.latest() {
            latest.wake_by_ref();
        }
    }

    fn latest(&self) -> MutexGuard<'_, Option<Waker>> {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Slot(Option<Work>);

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Slot").field(&self.0.is_some()).finish()
    }
}

/// `work` as a task for the runtime that loops may run as well; `known` says that they may from the beginning, and not only after
/// somebody on the thread of a loop has woken it by what he did. Needs a tokio runtime around it, and runs in that one.
pub(crate) fn roaming(
    work: impl Future<Output = ()> + Send + 'static,
    known: bool,
) -> impl Future<Output = ()> + Send + 'static {
    let handle = Handle::current();
    let alone = handle.runtime_flavor() == RuntimeFlavor::CurrentThread;
    let home = Home(Arc::new(Roaming {
        slot: Mutex::new(Slot(Some(Box::pin(work)))),
        task: Task::default(),
        again: AtomicBool::new(false),
        known: AtomicBool::new(known),
        alone_in: alone.then(|| handle.id()),
        polled_in: AtomicU64::new(0),
        handle,
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
        self.task.note(cx.waker());
        let Some(slot) = self.enter() else { return Poll::Pending };
        let Some(turn) = self.alone_in.and_then(|runtime| Turn::begin(Whose::Runtime(runtime))) else {
            return self.poll(slot);
        };
        self.polled_in.store(turn.number, Ordering::Relaxed);
        let polled = self.poll(slot);
        for _ in 0..MOST_POLLS {
            let Some(task) = turn.next() else { break };
            task.polled_in.store(turn.number, Ordering::Relaxed);
            task.poll_as_guest();
        }
        polled
    }

    /// On the thread of a loop.
    fn poll_here(self: &Arc<Self>) {
        let _entered = self.handle.enter();
        self.poll_as_guest();
    }

    /// Not in its own task. If that ends it, or panics, the task ends as well.
    fn poll_as_guest(self: &Arc<Self>) {
        let Some(mut slot) = self.enter() else { return };
        let work = &mut slot;
        match catch_unwind(AssertUnwindSafe(|| self.poll_work(work))) {
            Ok(Poll::Pending) => self.exit(slot),
            Ok(Poll::Ready(())) | Err(_) => {
                slot.0 = None;
                drop(slot);
                self.call();
            }
        }
    }

    fn poll(self: &Arc<Self>, mut slot: MutexGuard<'_, Slot>) -> Poll<()> {
        let polled = self.poll_work(&mut slot);
        if polled.is_ready() {
            slot.0 = None;
        }
        self.exit(slot);
        polled
    }

    fn poll_work(self: &Arc<Self>, slot: &mut Slot) -> Poll<()> {
        match &mut slot.0 {
            Some(work) => work.as_mut().poll(&mut Context::from_waker(&waker_ref(self))),
            None => Poll::Ready(()),
        }
    }

    /// The slot, unless somebody else has it: then the task in the runtime is called afterwards.
    fn enter(&self) -> Option<MutexGuard<'_, Slot>> {
        enter(&self.slot, &self.again)
    }

    fn exit(&self, slot: MutexGuard<'_, Slot>) {
        drop(slot);
        if self.again.swap(false, Ordering::SeqCst) {
            self.call();
        }
    }

    /// Has the runtime poll it.
    fn call(&self) {
        self.task.call();
    }
}

impl ArcWake for Roaming {
    /// The reference is handed on.
    fn wake(self: Arc<Self>) {
        let mut own = Some(self);
        let here = WOKEN.try_with(|woken| {
            let mut woken = woken.borrow_mut();
            match own.as_ref().map(|task| woken.place(task)) {
                None | Some(Place::Elsewhere) => false,
                Some(Place::Known) => true,
                Some(Place::Behind(line)) => {
                    line.extend(own.take());
                    true
                }
            }
        });
        if let Some(task) = own.filter(|_| !here.unwrap_or(false)) {
            task.call();
        }
    }

    fn wake_by_ref(task: &Arc<Self>) {
        let here = WOKEN.try_with(|woken| {
            let mut woken = woken.borrow_mut();
            match woken.place(task) {
                Place::Elsewhere => false,
                Place::Known => true,
                Place::Behind(line) => {
                    line.push_back(task.clone());
                    true
                }
            }
        });
        // A thread that ends collects nothing any more.
        if !here.unwrap_or(false) {
            task.call();
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

    /// Counts its calls.
    #[derive(Default)]
    struct Called(AtomicUsize);

    impl std::task::Wake for Called {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn a_task_is_called_by_the_waker_it_was_polled_with_last() {
        let wakers = [(); 3].map(|()| Arc::<Called>::default());
        let calls = || wakers.each_ref().map(|waker| waker.0.load(Ordering::Relaxed));
        let task = Task::default();
        task.call();
        for (polled, called) in
            [(0, [1, 0, 0]), (0, [2, 0, 0]), (1, [2, 1, 0]), (2, [2, 1, 1]), (0, [3, 1, 1])]
        {
            task.note(&wakers[polled].clone().into());
            task.call();
            assert_eq!(calls(), called);
        }
    }

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
    async fn in_a_runtime_with_one_thread_what_is_woken_again_comes_behind_what_was_woken_meanwhile() {
        let polled = Arc::new(Mutex::new(Vec::new()));
        let [first, second, other] = [(); 3].map(|()| Arc::new(Notify::new()));
        let station = |name, call: &Arc<Notify>, next: &[&Arc<Notify>]| {
            let (polled, call) = (polled.clone(), call.clone());
            let mut next: Vec<_> = next.iter().copied().cloned().collect();
            async move {
                loop {
                    call.notified().await;
                    polled.lock().unwrap().push(name);
                    next.drain(..).for_each(|next| next.notify_one());
                }
            }
        };
        tokio::spawn(roaming(station("first", &first, &[&second]), true));
        tokio::spawn(roaming(station("second", &second, &[&first, &other]), true));
        tokio::spawn(station("other", &other, &[]));
        tokio::task::yield_now().await;
        first.notify_one();
        soon(async {
            while polled.lock().unwrap().len() < 4 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(*polled.lock().unwrap(), ["first", "second", "other", "first"]);
    }

    #[tokio::test]
    async fn in_a_runtime_with_one_thread_a_long_chain_leaves_others_their_turn() {
        let length = 3 * MOST_POLLS;
        let calls: Vec<_> = (0..=length).map(|_| Arc::new(Notify::new())).collect();
        let polled = Arc::new(AtomicUsize::new(0));
        for (call, next) in calls.iter().zip(calls.iter().skip(1)) {
            let (polled, call, next) = (polled.clone(), call.clone(), next.clone());
            let link = async move {
                call.notified().await;
                polled.fetch_add(1, Ordering::Relaxed);
                next.notify_one();
            };
            tokio::spawn(roaming(link, true));
        }
        let ready = Arc::new(Notify::new());
        let other = tokio::spawn({
            let (polled, ready) = (polled.clone(), ready.clone());
            async move {
                ready.notified().await;
                polled.load(Ordering::Relaxed)
            }
        });
        tokio::task::yield_now().await;
        calls[0].notify_one();
        ready.notify_one();
        let before_other = soon(other).await.unwrap();
        assert!((1..=MOST_POLLS + 1).contains(&before_other), "{before_other} in one turn");
        soon(calls[length].notified()).await;
        assert_eq!(polled.load(Ordering::Relaxed), length);
    }

    #[tokio::test]
    async fn a_panic_ends_only_the_task_it_is_in() {
        let [first, second] = [(); 2].map(|()| Arc::new(Notify::new()));
        let (call, next) = (first.clone(), second.clone());
        let mut told = station(true, &call, Some(&next));
        let panics = tokio::spawn(roaming(
            async move {
                second.notified().await;
                panic!("as it was told to");
            },
            true,
        ));
        tokio::task::yield_now().await;
        for _ in 0..2 {
            first.notify_one();
            soon(told.recv()).await.unwrap();
        }
        soon(panics).await.unwrap();
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
