//! The one awaitable of the package: a Rust future that is polled on the event loop's own thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use pyo3::exceptions::{PyRuntimeError, PyStopIteration};
use pyo3::intern;
use pyo3::prelude::*;
use tokio::runtime::Handle;

use crate::bridge::{Bridge, Registration};
use crate::runtime::{self, Owned, lock};

/// Turns what a future yielded into a Python object; runs attached, right after the poll that yielded it.
pub(crate) type Finish = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

type Pending = Pin<Box<dyn Future<Output = Finish> + Send>>;

/// An awaitable native operation.
///
/// If it can finish at once, awaiting it does not suspend the task and costs no turn of the event loop. Otherwise the
/// task waits on a future that is only ever woken, never given a value: the item is taken by the poll that follows, on
/// the task's own thread. A cancelled task therefore leaves the item where it was. Dropping an operation drops the Rust
/// future, all of which are cancel-safe.
#[pyclass(frozen, module = "nnrp._native")]
pub(crate) struct Operation {
    running: Mutex<Option<Owned<Running>>>,
    /// Other tasks get a turn before the next poll.
    gives_way: AtomicBool,
}

struct Running {
    // Dropped in this order: first the future, which may hold the waker, then the registration.
    future: Pending,
    registration: Option<Registration>,
    handle: Handle,
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
        let future: Pending = Box::pin(async move {
            let output = future.await;
            let finish: Finish = Box::new(move |py| finish(py, output));
            finish
        });
        let running = Running { future, registration: None, handle: runtime::handle()? };
        Ok(Self { running: Mutex::new(Some(Owned::new(running))), gives_way: AtomicBool::new(false) })
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
        let _entered = self.handle.enter();
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

    /// Polls once: raises `StopIteration` with the value, or returns a future for the task to wait on, or `None` to be called
    /// again in the loop's next turn.
    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        if self.gives_way.swap(false, Ordering::Relaxed) {
            return Ok(py.None());
        }
        let (event_loop, bridge) = Bridge::current(py)?;
        let mut slot = lock(&self.running);
        let finish = match slot.as_mut() {
            None => return Err(PyRuntimeError::new_err("this operation has already been awaited")),
            Some(running) => match running.get_mut()?.poll(bridge.get()) {
                Poll::Ready(finish) => finish,
                Poll::Pending => {
                    drop(slot);
                    return self.wait(&event_loop);
                }
            },
        };
        drop(slot);
        self.close();
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
}

impl Operation {
    /// A future of `event_loop` that is done when this operation should be polled again.
    fn wait(&self, event_loop: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = event_loop.py();
        let future = event_loop.call_method0(intern!(py, "create_future"))?;
        // What asyncio's own `Future.__await__` does: it tells the task that this yield is a request to wait.
        future.setattr(intern!(py, "_asyncio_future_blocking"), true)?;
        if let Some(running) = lock(&self.running).as_ref()
            && let Some(registration) = &running.get()?.registration
        {
            registration.waiting.insert(registration.token, future.clone().unbind());
        }
        Ok(future.unbind())
    }
}
