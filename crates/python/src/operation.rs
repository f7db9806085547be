//! The one awaitable of the package: a Rust future that is polled on the event loop's own thread.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

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
pub(crate) struct Operation(Mutex<Option<Owned<Running>>>);

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
        Ok(Self(Mutex::new(Some(Owned::new(running)))))
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

    /// Polls once: raises `StopIteration` with the value, or returns a future for the task to wait on.
    fn __next__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let (event_loop, bridge) = Bridge::current(py)?;
        let mut slot = lock(&self.0);
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
        let finished = slot.take();
        drop(slot);
        drop(finished);
        Err(PyStopIteration::new_err((finish(py)?,)))
    }
}

impl Operation {
    /// A future of `event_loop` that is done when this operation should be polled again.
    fn wait(&self, event_loop: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = event_loop.py();
        let future = event_loop.call_method0(intern!(py, "create_future"))?;
        // What asyncio's own `Future.__await__` does: it tells the task that this yield is a request to wait.
        future.setattr(intern!(py, "_asyncio_future_blocking"), true)?;
        if let Some(running) = lock(&self.0).as_ref()
            && let Some(registration) = &running.get()?.registration
        {
            registration.waiting.insert(registration.token, future.clone().unbind());
        }
        Ok(future.unbind())
    }
}
