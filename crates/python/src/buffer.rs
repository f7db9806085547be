//! Bytes without copies, in both directions.
//!
//! In: [`Buffer`] exports a received body through the buffer protocol, so that every `memoryview` and array made from it
//! reads the one buffer the network code filled. Out: [`take_bytes`] sends Python `bytes` from where they are.
//!
//! This module and no other of the crate holds `unsafe` code; each use carries its proof.
#![allow(unsafe_code)]

pub(crate) mod loose;

use std::ffi::{c_int, c_void};
use std::slice;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyBufferError, PyTypeError};
use pyo3::ffi;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyMemoryView};

use self::loose::Loose;

/// Below this many bytes a copy is cheaper than keeping the Python object alive until it has been sent.
const COPY_BELOW: usize = 1024;

/// Bytes of payload that were copied for sending since the process began: a test compares it with what was sent.
static COPIED: AtomicU64 = AtomicU64::new(0);

/// Read-only bytes that the network code received, exported through the buffer protocol without a copy.
#[pyclass(frozen, module = "nnrp._native")]
pub(crate) struct Buffer(Bytes);

impl Buffer {
    pub(crate) fn from_bytes(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

#[pymethods]
impl Buffer {
    fn __len__(&self) -> usize {
        self.0.len()
    }

    fn __repr__(&self) -> String {
        format!("<nnrp buffer of {} bytes>", self.0.len())
    }

    /// The same bytes as a Python object of their own.
    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0)
    }

    /// # Safety
    /// Called by the interpreter with a `view` that is null or points to a `Py_buffer` for us to fill.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("no view to fill"));
        }
        let bytes = &slf.get().0;
        let length = ffi::Py_ssize_t::try_from(bytes.len())
            .map_err(|_| PyBufferError::new_err("too large for the buffer protocol"))?;
        let pointer = bytes.as_ptr().cast_mut().cast::<c_void>();
        // SAFETY: `view` is not null and the caller's to fill. The memory is valid for `length` bytes for as long as the
        // `Bytes` lives, which is as long as `slf` does because the class is frozen, and PyBuffer_FillInfo makes the view
        // own a reference to `slf`. It is exported read-only, so casting away const lets nobody write to it.
        let filled = unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), pointer, length, 1, flags) };
        if filled == 0 { Ok(()) } else { Err(PyErr::fetch(slf.py())) }
    }
}

/// A read-only `memoryview` of `bytes`.
pub(crate) fn view<'py>(py: Python<'py>, bytes: Bytes) -> PyResult<Bound<'py, PyMemoryView>> {
    PyMemoryView::from(Bound::new(py, Buffer::from_bytes(bytes))?.as_any())
}

/// A Python `bytes` object that Rust reads in place.
struct Borrowed {
    pointer: *const u8,
    length: usize,
    /// Keeps the memory alive.
    _object: Loose<PyBytes>,
}

// SAFETY: `bytes` objects never change or move, and are only read here; the reference may be dropped on any thread.
unsafe impl Send for Borrowed {}
// SAFETY: as above; shared readers of immutable memory do not conflict.
unsafe impl Sync for Borrowed {}

impl AsRef<[u8]> for Borrowed {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: pointer and length come from the `bytes` object that `_object` keeps alive; its contents are immutable
        // and initialised. Going through the stored pointer needs no access to the interpreter.
        unsafe { slice::from_raw_parts(self.pointer, self.length) }
    }
}

/// The contents of a bytes-like object, for sending.
///
/// Large `bytes` are referenced, views of a received [`Buffer`] share its memory; everything else is copied now, so
/// that the caller may reuse it.
///
/// # Errors
/// `TypeError` when `object` does not export a buffer.
pub(crate) fn take_bytes(object: &Bound<'_, PyAny>) -> PyResult<Bytes> {
    if let Ok(bytes) = object.cast::<PyBytes>() {
        let contents = bytes.as_bytes();
        if contents.len() < COPY_BELOW {
            return Ok(copied(contents));
        }
        loose::let_go(bytes.py()); // a program that only sends comes by nowhere else
        let (pointer, length) = (contents.as_ptr(), contents.len());
        let object = Loose::new(bytes.clone().unbind());
        return Ok(Bytes::from_owner(Borrowed { pointer, length, _object: object }));
    }
    if let Ok(buffer) = object.cast::<Buffer>() {
        return Ok(buffer.get().0.clone());
    }
    let Ok(exported) = PyUntypedBuffer::get(object) else {
        let kind = object.get_type().name()?;
        return Err(PyTypeError::new_err(format!("a bytes-like object is required, not '{kind}'")));
    };
    if exported.is_c_contiguous() {
        let length = exported.len_bytes();
        let pointer = exported.buf_ptr().cast::<u8>();
        if let Some(shared) = shared(object, pointer, length) {
            return Ok(shared);
        }
        if length == 0 {
            return Ok(Bytes::new());
        }
        // SAFETY: the exporter keeps `length` bytes at `pointer` valid while `exported` lives. We are attached and copy
        // at once; an exporter that another thread writes to meanwhile gives us old or new bytes, as it would give C.
        let contents = unsafe { slice::from_raw_parts(pointer, length) };
        return Ok(copied(contents));
    }
    let packed = PyMemoryView::from(object)?.call_method0(intern!(object.py(), "tobytes"))?;
    COPIED.fetch_add(exported.len_bytes() as u64, Ordering::Relaxed);
    take_bytes(&packed)
}

fn copied(contents: &[u8]) -> Bytes {
    COPIED.fetch_add(contents.len() as u64, Ordering::Relaxed);
    Bytes::copy_from_slice(contents)
}

/// Bytes of payload that were copied for sending since the process began. Small ones are copied on purpose.
#[pyfunction]
pub(crate) fn copied_bytes() -> u64 {
    COPIED.load(Ordering::Relaxed)
}

/// The part of a received [`Buffer`] that a `memoryview` of it covers.
fn shared(object: &Bound<'_, PyAny>, pointer: *const u8, length: usize) -> Option<Bytes> {
    let view = object.cast::<PyMemoryView>().ok()?;
    let exporter = view.getattr(intern!(view.py(), "obj")).ok()?;
    let whole = &exporter.cast::<Buffer>().ok()?.get().0;
    let start = (pointer as usize).checked_sub(whole.as_ptr() as usize)?;
    let end = start.checked_add(length)?;
    (end <= whole.len()).then(|| whole.slice(start..end))
}
