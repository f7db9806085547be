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
mod tests;
