//! The one awaitable of the package: a Rust future that is polled on the event loop's own thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use pyo3::exceptions::asyncio::CancelledError;
use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBool, PyDict};
use tokio::runtime::Handle;

use crate::bridge::{Bridge, Registration};
use crate::buffer::loose;
use crate::runtime::{self, Owned, lock};

/// Turns what a future yielded into a Python object; runs attached, right after the poll that yielded it.
pub(crate) type Finish = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

type Pending = Pin<Box<dyn Future<Output = Finish> + Send>>;

/// An awaitable native operation.
///
/// If it can finish at once, awaiting it does not suspend the task and costs no turn of the event loop. Otherwise it is
/// itself the future that the task waits on, one that is only ever woken, never given a value: the item is taken by the poll
/// that follows, on the task's own thread. A cancelled task therefore leaves the item where it was. Dropping an operation
/// drops the Rust future, all of which are cancel-safe.
///
/// A future of asyncio's would wake its task in the loop's next turn. This one does it in the callback in which the loop
/// learns of the item, which saves that turn.
#[pyclass(frozen, module = "nnrp._native")]
pub(crate) struct Operation {
    running: Mutex<Option<Owned<Running>>>,
    /// Other tasks get a turn before the next poll.
    gives_way: AtomicBool,
    /// What asyncio calls `_asyncio_future_blocking`: this was yielded by an `await`.
    blocking: AtomicBool,
    /// The task that waits was cancelled.
    cancelled: AtomicBool,
    waiter: Mutex<Waiter>,
}

/// Who waits for an operation, and where.
#[derive(Default)]
struct Waiter {
    event_loop: Option<Py<PyAny>>,
    /// The callback of the task, and its context.
    callback: Option<(Py<PyAny>, Option<Py<PyAny>>)>,
}

struct Running {
    // Dropped in this order: first the future, which may hold the waker, then the registration.
    future: Pending,
    registration: Option<Registration>,
    /// What the future needs around it while it is polled.
    handle: Option<Handle>,
}

impl Operation {
    /// An operation that runs `future` and turns its output into a Python object with `finish`.
    pub(crate) fn new<F, T>(
        future: F,
        finish: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> PyResult<Self>
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        Ok(Self::within(Some(runtime::handle()?), future, finish))
    }

    /// The same for a future that only waits to be woken, for no timer and no task: no runtime is entered for it.
    pub(crate) fn without_runtime<F, T>(
        future: F,
        finish: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> Self
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        Self::within(None, future, finish)
    }

    fn within<F, T>(
        handle: Option<Handle>,
        future: F,
        finish: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> Self
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let future: Pending = Box::pin(async move {
            let output = future.await;
            let finish: Finish = Box::new(move |py| finish(py, output));
            finish
        });
        let running = Running { future, registration: None, handle };
        Self {
            running: Mutex::new(Some(Owned::new(running))),
            gives_way: AtomicBool::new(false),
            blocking: AtomicBool::new(false),
            cancelled: AtomicBool::new(false),
            waiter: Mutex::default(),
        }
    }

    /// The same, once all other tasks of the loop had a turn.
    pub(crate) fn after_others(self) -> Self {
        self.gives_way.store(true, Ordering::Relaxed);
        self
    }

    /// What `future` yields if that is there at once, else an operation that goes on with it: what is sent and received all
    /// the time then needs no awaitable at all.
    pub(crate) fn now_or_later<F, T>(
        py: Python<'_>,
        future: F,
        finish: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> PyResult<Py<PyAny>>
    where
        F: Future<Output = T> + Send + 'static,
        T: Send + 'static,
    {
        let mut future = Box::pin(future);
        let polled = {
            let handle = runtime::handle()?;
            let _entered = handle.enter();
            future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
        };
        loose::let_go(py);
        match polled {
            Poll::Ready(output) => finish(py, output),
            // Its waker is set when it is polled again, by the task that awaits it.
            Poll::Pending => Ok(Py::new(py, Self::new(future, finish)?)?.into_any()),
        }
    }
}

impl Running {
    fn poll(&mut self, bridge: &Bridge) -> Poll<Finish> {
        let registration = match self.registration.take() {
            Some(registration) if registration.is_on(bridge) => registration,
            _ => bridge.registration(),
        };
        let registration = self.registration.insert(registration);
        let _entered = self.handle.as_ref().map(Handle::enter);
        self.future.as_mut().poll(&mut Context::from_waker(&registration.waker))
    }
}

#[pymethods]
impl Operation {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    /// Polls once: raises `StopIteration` with the value, or returns itself for the task to wait on, or `None` to be called
    /// again in the loop's next turn.
    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        loose::let_go(py);
        if this.gives_way.load(Ordering::Relaxed) {
            this.gives_way.store(false, Ordering::Relaxed);
            return Ok(py.None());
        }
        let (event_loop, bridge) = Bridge::current(py)?;
        let mut slot = lock(&this.running);
        let finish = match slot.as_mut() {
            None => return Err(PyRuntimeError::new_err("this operation has already been awaited")),
            Some(running) => {
                let running = running.get_mut()?;
                match running.poll(bridge.get()) {
                    Poll::Ready(finish) => finish,
                    Poll::Pending => {
                        if let Some(registration) = &running.registration {
                            registration.waiting.insert(registration.token, slf.clone().unbind());
                        }
                        drop(slot);
                        this.blocking.store(true, Ordering::Relaxed);
                        let before = lock(&this.waiter).event_loop.replace(event_loop.unbind());
                        drop(before);
                        return Ok(slf.clone().into_any().unbind());
                    }
                }
            }
        };
        drop(slot);
        this.close();
        Err(PyStopIteration::new_err((finish(py)?,)))
    }

    /// The task that waits is cancelled: the operation ends now, not when the last traceback that shows it is gone.
    #[pyo3(signature = (kind, value=None, _traceback=None))]
    fn throw(
        &self,
        kind: Bound<'_, PyAny>,
        value: Option<Bound<'_, PyAny>>,
        _traceback: Option<Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        self.close();
        Err(PyErr::from_value(value.unwrap_or(kind)))
    }

    /// Lets go of what it was doing.
    fn close(&self) {
        let running = lock(&self.running).take();
        drop(running); // outside the lock: a future of the loop may go with it
    }

    // What a task needs of a future that it waits on.

    #[getter]
    fn _asyncio_future_blocking(&self) -> bool {
        self.blocking.load(Ordering::Relaxed)
    }

    #[setter(_asyncio_future_blocking)]
    fn set_blocking(&self, blocking: bool) {
        self.blocking.store(blocking, Ordering::Relaxed);
    }

    /// The loop whose task waits.
    fn get_loop(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        lock(&self.waiter).event_loop.as_ref().map(|event_loop| event_loop.clone_ref(py))
    }

    /// Has `callback` called when there is something to poll for.
    #[pyo3(signature = (callback, *, context=None))]
    fn add_done_callback(&self, callback: Py<PyAny>, context: Option<Py<PyAny>>) -> PyResult<()> {
        let mut waiter = lock(&self.waiter);
        if waiter.callback.is_some() {
            drop(waiter);
            return Err(PyRuntimeError::new_err("another task waits for this operation"));
        }
        waiter.callback = Some((callback, context));
        Ok(())
    }

    /// Takes a callback back; returns how many that were.
    fn remove_done_callback(&self, callback: &Bound<'_, PyAny>) -> usize {
        let mut waiter = lock(&self.waiter);
        let known = waiter.callback.as_ref().is_some_and(|(known, _)| known.is(callback));
        let removed = known.then(|| waiter.callback.take());
        drop(waiter);
        removed.map_or(0, |_| 1)
    }

    /// Wakes the task that waits with the news that it was cancelled. False if none waits.
    #[pyo3(signature = (msg=None))]
    fn cancel(slf: &Bound<'_, Self>, msg: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let (py, this) = (slf.py(), slf.get());
        let _ = msg; // the task keeps it itself
        let (event_loop, callback) = {
            let mut waiter = lock(&this.waiter);
            let event_loop = waiter.event_loop.as_ref().map(|event_loop| event_loop.clone_ref(py));
            (event_loop, waiter.callback.take())
        };
        let (Some(event_loop), Some((callback, context))) = (event_loop, callback) else { return Ok(false) };
        this.cancelled.store(true, Ordering::Relaxed);
        let named = PyDict::new(py);
        named.set_item(intern!(py, "context"), context)?;
        event_loop.call_method(py, intern!(py, "call_soon"), (callback, slf), Some(&named))?;
        Ok(true)
    }

    /// Whether the task that waits was cancelled.
    fn cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// Whether nobody waits.
    fn done(&self) -> bool {
        lock(&self.waiter).callback.is_none()
    }

    /// Nothing: the value comes with the next poll. Raises in a task that was cancelled.
    fn result(&self) -> PyResult<()> {
        if self.cancelled() { Err(CancelledError::new_err(())) } else { Ok(()) }
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        // The lock is only held for moments and never across Python code, so it is free while the collector runs.
        if let Ok(waiter) = self.waiter.try_lock() {
            visit.call(&waiter.event_loop)?;
            if let Some((callback, context)) = &waiter.callback {
                visit.call(callback)?;
                visit.call(context)?;
            }
        }
        Ok(())
    }

    fn __clear__(&self) {
        let waiter = std::mem::take(&mut *lock(&self.waiter));
        drop(waiter);
    }
}

impl Operation {
    /// Wakes the task that waits, which runs before this returns.
    ///
    /// # Errors
    /// What ends a loop: `SystemExit` and `KeyboardInterrupt` out of the task.
    pub(crate) fn wake(slf: &Bound<'_, Self>) -> PyResult<()> {
        let Some((callback, context)) = lock(&slf.get().waiter).callback.take() else { return Ok(()) };
        let py = slf.py();
        // Whatever happens, the task is called: nobody would call it again.
        let finished = finished(py).unwrap_or(slf.as_any());
        match context {
            Some(context) => context.call_method1(py, intern!(py, "run"), (callback, finished))?,
            None => callback.call1(py, (finished,))?,
        };
        Ok(())
    }
}

/// A future of asyncio's that is done. Tasks are woken with it instead of with the operation: all they want to know is that it has not
/// failed, which they see at a glance in one of their own, and ask of others by name.
fn finished(py: Python<'_>) -> PyResult<&Bound<'_, PyAny>> {
    static FINISHED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let make = || {
        // It never calls anybody, so its loop need not be one, and none is kept alive. It is asked whether it debugs.
        let named = PyDict::new(py);
        named.set_item("get_debug", py.get_type::<PyBool>())?;
        let no_loop = py.import("types")?.call_method("SimpleNamespace", (), Some(&named))?;
        let named = PyDict::new(py);
        named.set_item("loop", no_loop)?;
        let future = py.import("asyncio")?.call_method("Future", (), Some(&named))?;
        future.call_method1("set_result", (py.None(),))?;
        Ok::<_, PyErr>(future.unbind())
    };
    Ok(FINISHED.get_or_try_init(py, make)?.bind(py))
}
