//! One bridge per event loop: where operations are that tasks wait on.
//!
//! Ownership runs loop → reader callback → bridge → operations → tasks, all of it strong. asyncio itself holds tasks
//! weakly; because of this chain a task that waits for the network cannot vanish, even when nobody else refers to it.
//! In the other direction everything is weak, so a loop that is dropped takes its bridge along.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
#[cfg(unix)]
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::Waker;

use nnrp::LoopSockets;
use pyo3::exceptions::PyNotImplementedError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyWeakrefMethods, PyWeakrefReference};

use crate::buffer::loose::{self, Loose};
use crate::open::Held;
use crate::operation::Operation;
use crate::runtime::{self, Owned, lock};
use crate::signal::{Signal, Token, Waking};
use crate::threads;

thread_local! {
    /// The bridge of the loop that last waited on this thread, weakly. A thread that ends is not attached any more.
    static RECENT: RefCell<Option<Loose<PyWeakrefReference>>> = const { RefCell::new(None) };

    /// The bridge that the loop of this thread has called, as long as that lasts. In a child that is forked meanwhile no loop
    /// runs.
    static CALLED: RefCell<Option<Owned<Py<Bridge>>>> = const { RefCell::new(None) };
}

/// A loop calls its bridge, on the thread where this is: nobody has to ask which loop runs, which is a system call.
struct Calling(Option<Owned<Py<Bridge>>>);

impl Calling {
    fn on(bridge: &Bound<'_, Bridge>) -> Self {
        Self(CALLED.replace(Some(Owned::new(bridge.clone().unbind()))))
    }

    fn bridge(py: Python<'_>) -> Option<Bound<'_, Bridge>> {
        CALLED.with_borrow(|called| Some(called.as_ref()?.get().ok()?.clone_ref(py).into_bound(py)))
    }
}

impl Drop for Calling {
    fn drop(&mut self) {
        let done = CALLED.replace(self.0.take());
        drop(done);
    }
}

/// The operations that tasks of one loop wait on, by token. Waking carries no value: the task polls its operation again, which
/// takes the item itself, so an item can never be stuck on the way to a cancelled task.
#[derive(Default)]
pub(crate) struct Waiting(Mutex<HashMap<Token, Py<Operation>, BuildHasherDefault<TokenHasher>>>);

/// Spreads tokens, which are counted up here and nobody else chooses: each frame that is waited for is looked for three times.
#[derive(Default)]
struct TokenHasher(u64);

impl Hasher for TokenHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u64(&mut self, number: u64) {
        // By the golden ratio: the upper bits, which tables look at, differ as well as the lower ones.
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

impl Waiting {
    pub(crate) fn insert(&self, token: Token, operation: Py<Operation>) {
        let replaced = lock(&self.0).insert(token, operation);
        drop(replaced); // outside the lock: dropping a Python object may run Python code
    }

    pub(crate) fn remove(&self, token: Token) -> Option<Py<Operation>> {
        lock(&self.0).remove(&token)
    }

    fn clear(&self) {
        let operations = std::mem::take(&mut *lock(&self.0));
        drop(operations);
    }
}

/// Connects native wake-ups with one event loop.
#[pyclass(frozen, weakref, module = "nnrp._native")]
pub(crate) struct Bridge {
    event_loop: Py<PyWeakrefReference>,
    signal: Arc<Signal>,
    waiting: Arc<Waiting>,
    next_token: AtomicU64,
    /// What sends when this turn of the loop is over. Not in a forked child: its parent sends the same.
    corked: Mutex<Vec<Owned<Arc<Held>>>>,
    /// Sockets that this loop serves itself; empty where that is not possible.
    sockets: OnceLock<Owned<LoopSockets>>,
}

/// Connections that keep back what they send as long as this lives.
struct Corked(Vec<Owned<Arc<Held>>>);

impl Drop for Corked {
    fn drop(&mut self) {
        for held in &self.0 {
            if let Ok(held) = held.get() {
                held.uncork();
            }
        }
    }
}

/// What an operation keeps of the bridge it waits on.
pub(crate) struct Registration {
    pub(crate) token: Token,
    pub(crate) waiting: Arc<Waiting>,
    pub(crate) waker: Waker,
}

impl Registration {
    /// Whether this registration is on `bridge`.
    pub(crate) fn is_on(&self, bridge: &Bridge) -> bool {
        Arc::ptr_eq(&self.waiting, &bridge.waiting)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        drop(self.waiting.remove(self.token));
    }
}

impl Bridge {
    /// The running loop and its bridge, which is made on first use.
    ///
    /// # Errors
    /// `RuntimeError` when no loop runs in this thread.
    pub(crate) fn current(py: Python<'_>) -> PyResult<(Bound<'_, PyAny>, Bound<'_, Self>)> {
        static GET_RUNNING_LOOP: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        if let Some(bridge) = Calling::bridge(py)
            && let Some(event_loop) = bridge.get().event_loop.bind(py).upgrade()
        {
            return Ok((event_loop, bridge));
        }
        let event_loop = GET_RUNNING_LOOP.import(py, "asyncio", "get_running_loop")?.call0()?;
        let recent = RECENT.with_borrow(|recent| recent.as_ref().map(|bridge| bridge.clone_ref(py)));
        if let Some(bridge) = recent.and_then(|bridge| bridge.bind(py).upgrade_as::<Self>().ok().flatten())
            && bridge.get().serves(&event_loop)
        {
            return Ok((event_loop, bridge));
        }
        let bridge = Self::of(&event_loop)?;
        let weak = Loose::new(PyWeakrefReference::new(bridge.as_any())?.unbind());
        let replaced = RECENT.replace(Some(weak));
        drop(replaced);
        Ok((event_loop, bridge))
    }

    /// Registers an operation; its waker rings this bridge.
    pub(crate) fn registration(&self) -> Registration {
        let token = self.next_token.fetch_add(1, Ordering::Relaxed);
        let waking = Arc::new(Waking { signal: Arc::clone(&self.signal), token });
        Registration { token, waiting: Arc::clone(&self.waiting), waker: Waker::from(waking) }
    }

    /// Keeps back what the running task sends on a connection until its loop has run what is ready now, or it waits for a
    /// frame: results that are queued in one turn leave in one write, those of few frames in a few. Without a loop nothing is kept back.
    pub(crate) fn cork(py: Python<'_>, held: &Arc<Held>) -> PyResult<()> {
        if held.cork() {
            return Ok(());
        }
        let Ok((event_loop, bridge)) = Self::current(py) else {
            held.uncork();
            return Ok(());
        };
        let first = {
            let mut corked = lock(&bridge.get().corked);
            corked.push(Owned::new(Arc::clone(held)));
            corked.len() == 1
        };
        // A bridge that is being called sends it when that is over.
        if first && Calling::bridge(py).is_none() {
            let uncork = bridge.getattr(intern!(py, "_uncork"))?;
            event_loop.call_method1(intern!(py, "call_soon"), (uncork,))?;
        }
        Ok(())
    }

    /// Has the loop of the task that is about to wait for a frame read the connection's socket itself, if that is possible.
    pub(crate) fn lend(py: Python<'_>, held: &Held) -> PyResult<()> {
        if held.stays_lent() {
            return Ok(());
        }
        if let Ok((_, bridge)) = Self::current(py)
            && let Some(sockets) = bridge.get().sockets.get()
        {
            held.lend(sockets.get()?);
        }
        Ok(())
    }

    /// Wakes the tasks that wait under `tokens`.
    fn wake(&self, py: Python<'_>, tokens: Vec<Token>) -> PyResult<()> {
        let mut tokens = tokens.into_iter();
        while let Some(token) = tokens.next() {
            let Some(operation) = self.waiting.remove(token) else { continue };
            if let Err(error) = Operation::wake(operation.bind(py)) {
                // Something ends the loop. If it is run again, the others are woken then.
                tokens.for_each(|token| self.signal.push(token));
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes what is kept back; dropping it sends it.
    fn take_corked(&self) -> Corked {
        Corked(std::mem::take(&mut *lock(&self.corked)))
    }

    /// Makes `event_loop` watch the sockets that will be lent to it, if it can.
    #[cfg(unix)]
    fn gather(this: &Bound<'_, Self>, event_loop: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = this.py();
        let Ok(sockets) = LoopSockets::new(runtime::handle()?) else { return Ok(()) };
        let serve = this.getattr(intern!(py, "_serve"))?;
        event_loop.call_method1(intern!(py, "add_reader"), (sockets.as_raw_fd(), serve))?;
        let _ = this.get().sockets.set(Owned::new(sockets));
        Ok(())
    }

    fn serves(&self, event_loop: &Bound<'_, PyAny>) -> bool {
        self.event_loop.bind(event_loop.py()).upgrade().is_some_and(|own| own.is(event_loop))
    }

    /// The bridge of `event_loop`, found or made.
    fn of<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        static BRIDGES: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        let py = event_loop.py();
        let bridges = BRIDGES
            .get_or_try_init(py, || {
                py.import("weakref")?.call_method0("WeakKeyDictionary").map(Bound::unbind)
            })?
            .bind(py);
        let known = bridges.call_method1(intern!(py, "get"), (event_loop,))?;
        if let Ok(weak) = known.cast::<PyWeakrefReference>()
            && let Some(bridge) = weak.upgrade_as::<Self>()?
        {
            return Ok(bridge);
        }
        let bridge = Self::attach_to(event_loop)?;
        bridges.set_item(event_loop, PyWeakrefReference::new(bridge.as_any())?)?;
        Ok(bridge)
    }

    fn new(event_loop: &Bound<'_, PyAny>, signal: Arc<Signal>) -> PyResult<Self> {
        Ok(Self {
            event_loop: PyWeakrefReference::new(event_loop)?.unbind(),
            signal,
            waiting: Arc::default(),
            next_token: AtomicU64::new(0),
            corked: Mutex::default(),
            sockets: OnceLock::new(),
        })
    }

    fn attach_to<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        #[cfg(unix)]
        {
            let signal = Arc::new(Signal::watched()?);
            let descriptor = signal.descriptor();
            let bridge = Bound::new(py, Self::new(event_loop, signal)?)?;
            let drain = bridge.getattr(intern!(py, "_drain"))?;
            match event_loop.call_method1(intern!(py, "add_reader"), (descriptor, drain)) {
                Ok(_) => {
                    Self::gather(&bridge, event_loop)?;
                    return Ok(bridge);
                }
                Err(error) if error.is_instance_of::<PyNotImplementedError>(py) => {}
                Err(error) => return Err(error),
            }
        }
        Self::attach_with_thread(event_loop)
    }

    /// For loops that cannot watch a descriptor: a thread waits for the signal and calls into the loop.
    fn attach_with_thread<'py>(event_loop: &Bound<'py, PyAny>) -> PyResult<Bound<'py, Self>> {
        let py = event_loop.py();
        let signal = Arc::new(Signal::awaited());
        let bridge = Bound::new(py, Self::new(event_loop, Arc::clone(&signal))?)?;
        let held = bridge.clone().unbind();
        threads::start(py, c"nnrp-loop-bell", move |py| {
            // Ends with the loop: at the first token after the loop was closed.
            loop {
                threads::wait(py, || signal.wait());
                if !held.get().call_loop(py, held.bind(py)) {
                    break;
                }
            }
        })?;
        Ok(bridge)
    }

    /// Hands the queued tokens to the loop; `false` when the loop is gone or closed, and nobody waits for them any more.
    fn call_loop(&self, py: Python<'_>, this: &Bound<'_, Self>) -> bool {
        let Some(event_loop) = self.event_loop.bind(py).upgrade() else { return false };
        let Ok(drain) = this.getattr(intern!(py, "_drain_tokens")) else { return false };
        event_loop.call_method1(intern!(py, "call_soon_threadsafe"), (drain, self.signal.take())).is_ok()
    }
}

#[pymethods]
impl Bridge {
    /// Wakes every task whose operation can make progress. Called by the event loop.
    fn _drain(slf: &Bound<'_, Self>) -> PyResult<()> {
        Self::_drain_tokens(slf, slf.get().signal.take())
    }

    /// Wakes the tasks that wait under `tokens`, and sends what they kept back.
    fn _drain_tokens(slf: &Bound<'_, Self>, tokens: Vec<Token>) -> PyResult<()> {
        let woken = {
            let _calling = Calling::on(slf);
            slf.get().wake(slf.py(), tokens)
        };
        slf.get()._uncork(slf.py());
        woken
    }

    /// Reads what has arrived on lent sockets, and wakes the tasks that waited for it. Called by the event loop.
    fn _serve(slf: &Bound<'_, Self>) -> PyResult<()> {
        let this = slf.get();
        let Some(sockets) = this.sockets.get() else { return Ok(()) };
        let sockets = sockets.get()?;
        Self::_drain_tokens(slf, this.signal.collect(|| sockets.serve()))
    }

    /// Sends what was kept back. Called by the event loop once it has run what was ready.
    fn _uncork(&self, py: Python<'_>) {
        let corked = self.take_corked();
        if !corked.0.is_empty() {
            py.detach(move || drop(corked));
        }
        loose::let_go(py);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.event_loop)?;
        // The lock is only held for moments and never across Python code, so it is free while the collector runs.
        if let Ok(waiting) = self.waiting.0.try_lock() {
            for operation in waiting.values() {
                visit.call(operation)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        self.waiting.clear();
    }
}

impl Drop for Bridge {
    /// A bridge goes with its loop. The tasks that waited go too, although their operations share the table.
    fn drop(&mut self) {
        self.waiting.clear();
        drop(self.take_corked());
    }
}
