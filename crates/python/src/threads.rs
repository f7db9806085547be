//! Native threads that call into Python. Each has one thread state for its life, made by whoever starts it, and waits
//! detached from it: CPython 3.11 crashes where `tracemalloc` is stopped while a thread makes itself a thread state,
//! which is what attaching from outside does every time.
//!
//! None of them does I/O. None of them is in Python when the interpreter goes, which would crash as well: its exit waits for
//! those that are, and those that are outside stay there for ever.

use std::ffi::CStr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyTuple};

use crate::runtime::lock;

/// How often the interpreter's exit looks whether somebody has pressed Ctrl-C while it waits.
const SIGNAL_CHECK: Duration = Duration::from_millis(100);

/// No thread may enter any more; a bit of [`IN_PYTHON`].
const CLOSED: u32 = 1 << 31;

/// How many of them are in Python. It is changed without a lock, which a fork might find taken.
static IN_PYTHON: AtomicU32 = AtomicU32::new(0);
/// Somebody has left after the exit had begun.
static LEFT: Condvar = Condvar::new();
static LEAVING: Mutex<()> = Mutex::new(());

/// Starts a thread that is attached from its first moment on. It waits in [`wait`] and ends with `body`.
///
/// # Errors
/// `RuntimeError` when there can be no more threads, or when the interpreter is on its way out.
pub(crate) fn start(
    py: Python<'_>,
    name: &'static CStr,
    body: impl FnOnce(Python<'_>) + Send + 'static,
) -> PyResult<()> {
    let body = Mutex::new(Some(body));
    let run = PyCFunction::new_closure(py, Some(name), None, move |arguments, _| {
        let body = lock(&body).take();
        if let Some(body) = body
            && enter()
        {
            // Also when it panics: the exit would wait for it for ever.
            let _inside = Inside;
            name_thread(name);
            body(arguments.py());
        }
    })?;
    py.import("_thread")?.call_method1("start_new_thread", (run, PyTuple::empty(py))).map(drop)
}

/// What the thread is called by tools that show the threads of a process.
fn name_thread(name: &CStr) {
    // It fails for names that are too long, and costs nothing but the name.
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::set_name(name);
    #[cfg(not(target_os = "linux"))]
    let _ = name;
}

/// Waits outside of Python, and does not return once the interpreter exits. For threads that [`start`] has started.
pub(crate) fn wait<T: Send>(py: Python<'_>, waiting: impl FnOnce() -> T + Send) -> T {
    py.detach(|| {
        leave();
        let _outside = Outside;
        waiting()
    })
}

/// A thread that is in Python until this is dropped.
struct Inside;

impl Drop for Inside {
    fn drop(&mut self) {
        leave();
    }
}

/// A thread that is outside until this is dropped, and for ever once the interpreter exits.
struct Outside;

impl Drop for Outside {
    fn drop(&mut self) {
        while !enter() {
            std::thread::park();
        }
    }
}

/// Whether the interpreter is there, and stays until [`leave`].
fn enter() -> bool {
    let enter = |inside| if inside & CLOSED == 0 { Some(inside + 1) } else { None };
    IN_PYTHON.fetch_update(Ordering::AcqRel, Ordering::Acquire, enter).is_ok()
}

fn leave() {
    // A thread that has forked in Python finds itself not counted in the child.
    let leave = |inside| if inside & !CLOSED > 0 { Some(inside - 1) } else { None };
    if IN_PYTHON
        .fetch_update(Ordering::AcqRel, Ordering::Acquire, leave)
        .is_ok_and(|inside| inside & CLOSED != 0)
    {
        drop(lock(&LEAVING));
        LEFT.notify_all();
    }
}

/// None of the parent's threads is in a forked child.
pub(crate) fn forget_parents() {
    IN_PYTHON.fetch_and(CLOSED, Ordering::AcqRel);
}

/// Whether the interpreter's exit has begun.
pub(crate) fn closed() -> bool {
    IN_PYTHON.load(Ordering::Acquire) & CLOSED != 0
}

/// Lets nobody in any more, and waits for those who are inside: the interpreter is about to go. That takes as long as what
/// they are at: a log handler that blocks for ever keeps the process, as `logging` itself then does next.
///
/// # Errors
/// What a signal handler raises.
pub(crate) fn close(py: Python<'_>) -> PyResult<()> {
    IN_PYTHON.fetch_or(CLOSED, Ordering::AcqRel);
    let somebody = || IN_PYTHON.load(Ordering::Acquire) != CLOSED;
    while somebody() {
        py.detach(|| {
            let left = LEFT.wait_timeout_while(lock(&LEAVING), SIGNAL_CHECK, |()| somebody());
            drop(left.unwrap_or_else(PoisonError::into_inner));
        });
        py.check_signals()?;
    }
    Ok(())
}
