//! The process's tokio runtime: started when first needed, never shared with a forked child, stopped at exit.
//!
//! None of its threads ever takes the interpreter's lock. They speak to Python only through a [`Signal`], and the one
//! thing of Python's they may hold is a reference to a `bytes` object that is being sent; when it has been, they leave that to
//! threads that are attached ([`Loose`]).
//!
//! [`Signal`]: crate::signal::Signal
//! [`Loose`]: crate::buffer::loose::Loose

use std::mem;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use tokio::runtime::{Builder, Handle, Runtime};

use crate::{listener, log, open, threads};

/// Network threads on a machine of more than two cores: one serves its sockets while another connection's cryptography
/// runs; the event loop and the application's own threads need the rest of the machine. On a small machine there is one:
/// two threads there take turns on the same core, and waking each other costs three system calls a frame.
const NETWORK_THREADS: usize = 2;

/// Says how many there are to be, for machines that serve many busy sessions.
const NETWORK_THREADS_VARIABLE: &str = "NNRP_NETWORK_THREADS";

/// More than any machine has use for.
const MAX_NETWORK_THREADS: usize = 256;

/// How long the interpreter's exit waits for what was accepted for sending to reach the network.
const EXIT_FLUSH: Duration = Duration::from_secs(1);

/// Counts forks: state made under another value belongs to the parent process.
static EPOCH: AtomicU32 = AtomicU32::new(0);

/// The runtime and the process it lives in.
///
/// The lock is only taken while the interpreter's lock is held and never across a call into Python, so no other thread
/// can own it while the process forks.
static RUNNING: Mutex<State> = Mutex::new(State::Idle);

enum State {
    Idle,
    Running(u32, Runtime),
    Stopped(u32),
}

/// Takes a lock that no panic can leave in a bad state, because what it guards is replaced whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many forks lie between the process that loaded this module and this one.
pub(crate) fn epoch() -> u32 {
    EPOCH.load(Ordering::Relaxed)
}

/// A handle on this process's runtime, which is started if it is not running.
///
/// # Errors
/// `RuntimeError` when the interpreter is on its way out, or the system gives no threads.
pub(crate) fn handle() -> PyResult<Handle> {
    if let Some(running) = running(&lock(&RUNNING)) {
        return running;
    }
    let mut state = lock(&RUNNING);
    if let Some(running) = running(&state) {
        return running;
    }
    let runtime = Builder::new_multi_thread()
        .worker_threads(network_threads()?)
        .thread_name("nnrp-io")
        .on_thread_start(leave_signals_to_python)
        .enable_all()
        .build()
        .map_err(|error| PyRuntimeError::new_err(format!("cannot start the network threads: {error}")))?;
    let handle = runtime.handle().clone();
    // A parent's runtime has no threads here; joining or even waking them could block for ever.
    mem::forget(mem::replace(&mut *state, State::Running(epoch(), runtime)));
    Ok(handle)
}

/// Has this thread, and those it starts, take no signal that programs handle. The kernel prefers the main thread, but any thread that
/// starts another one while a signal arrives looks for it as well: taken there it wakes nobody, and a main thread that waits for
/// a lock misses its Ctrl-C.
#[cfg(unix)]
fn leave_signals_to_python() {
    use nix::sys::signal::{SigSet, Signal};
    let handled = [
        Signal::SIGINT,
        Signal::SIGTERM,
        Signal::SIGHUP,
        Signal::SIGQUIT,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGALRM,
        Signal::SIGCHLD,
        Signal::SIGWINCH,
    ];
    // It fails for no set that can be made this way; without it all works but for that one moment.
    let _ = SigSet::from_iter(handled).thread_block();
}

#[cfg(not(unix))]
fn leave_signals_to_python() {}

fn network_threads() -> PyResult<usize> {
    let Some(wanted) = std::env::var_os(NETWORK_THREADS_VARIABLE) else {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        return Ok(if cores > 2 { NETWORK_THREADS } else { 1 });
    };
    let number = wanted.to_str().and_then(|text| text.parse().ok());
    number.filter(|threads| (1..=MAX_NETWORK_THREADS).contains(threads)).ok_or_else(|| {
        let text = wanted.to_string_lossy();
        PyRuntimeError::new_err(format!(
            "{NETWORK_THREADS_VARIABLE} must be a number between 1 and {MAX_NETWORK_THREADS}, not {text:?}"
        ))
    })
}

/// What there is to say about the runtime without starting one.
fn running(state: &State) -> Option<PyResult<Handle>> {
    match state {
        State::Running(owner, runtime) if *owner == epoch() => Some(Ok(runtime.handle().clone())),
        State::Stopped(owner) if *owner == epoch() => {
            let text = "nnrp cannot do network work while the interpreter exits";
            Some(Err(PyRuntimeError::new_err(text)))
        }
        _ => None,
    }
}

/// A native value that must not be used, nor even dropped, in a forked child: the threads it talks to are not there.
pub(crate) struct Owned<T> {
    epoch: u32,
    value: Option<T>,
}

impl<T> Owned<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { epoch: epoch(), value: Some(value) }
    }

    /// The value.
    ///
    /// # Errors
    /// `RuntimeError` in a process other than the one that made it.
    pub(crate) fn get(&self) -> PyResult<&T> {
        match &self.value {
            Some(value) if self.is_ours() => Ok(value),
            _ => Err(inherited()),
        }
    }

    /// The value, for changing it.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub(crate) fn get_mut(&mut self) -> PyResult<&mut T> {
        let ours = self.is_ours();
        match &mut self.value {
            Some(value) if ours => Ok(value),
            _ => Err(inherited()),
        }
    }

    fn is_ours(&self) -> bool {
        self.epoch == epoch()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if !self.is_ours() {
            mem::forget(self.value.take());
        }
    }
}

/// Something of which each process has its own. In a forked child its parent's may be locked by a thread that is not there, and
/// is about what the parent has.
pub(crate) struct PerProcess<T> {
    epoch: u32,
    value: OnceLock<T>,
    of_child: OnceLock<Box<PerProcess<T>>>,
}

impl<T: Default> PerProcess<T> {
    pub(crate) const fn new() -> Self {
        Self::made_in(0)
    }

    const fn made_in(epoch: u32) -> Self {
        Self { epoch, value: OnceLock::new(), of_child: OnceLock::new() }
    }

    /// The one of this process. A forked child asks for it before it has other threads, since it might be forked as well.
    pub(crate) fn get(&self) -> &T {
        self.of(epoch())
    }

    fn of(&self, epoch: u32) -> &T {
        let mut own = self;
        while own.epoch != epoch {
            own = own.of_child.get_or_init(|| Box::new(Self::made_in(own.epoch + 1)));
        }
        own.value.get_or_init(T::default)
    }
}

fn inherited() -> PyErr {
    PyRuntimeError::new_err(
        "this nnrp object belongs to the process that created it; after a fork, create a new one",
    )
}

/// Called by `os.register_at_fork` in a new child.
#[pyfunction]
fn _after_fork_in_child() {
    EPOCH.fetch_add(1, Ordering::Relaxed);
    threads::forget_parents();
    log::after_fork();
    open::after_fork();
    listener::after_fork();
}

/// Called by `atexit`: gives what was accepted for sending a moment to leave, then stops the threads.
#[pyfunction]
fn _stop_runtime(py: Python<'_>) -> PyResult<()> {
    let epoch = epoch();
    let state = mem::replace(&mut *lock(&RUNNING), State::Stopped(epoch));
    match state {
        State::Running(owner, runtime) if owner == epoch => py.detach(move || {
            open::close_all(runtime.handle(), EXIT_FLUSH);
            runtime.shutdown_background();
        }),
        inherited => mem::forget(inherited),
    }
    log::flush(py);
    threads::close(py)
}

/// Registers what the interpreter has to tell this module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    log::install();
    let after_fork = wrap_pyfunction!(_after_fork_in_child, module)?;
    let stop = wrap_pyfunction!(_stop_runtime, module)?;
    let os = py.import("os")?;
    if os.hasattr("register_at_fork")? {
        let arguments = pyo3::types::PyDict::new(py);
        arguments.set_item("after_in_child", after_fork)?;
        os.call_method("register_at_fork", (), Some(&arguments))?;
    }
    py.import("atexit")?.call_method1("register", (stop,))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_and_its_children_have_their_own() {
        static NUMBERS: PerProcess<Mutex<Vec<u32>>> = PerProcess::new();
        // As another thread of the parent's had it when the child was forked.
        let _locked_for_ever = lock(NUMBERS.of(0));
        lock(NUMBERS.of(1)).push(1);
        assert!(lock(NUMBERS.of(2)).is_empty());
        assert_eq!(*lock(NUMBERS.of(1)), [1], "the same again");
    }
}
