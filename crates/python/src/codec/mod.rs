//! The native half of `nnrp.core`: tables for its generator, checks for its parsers, and the encoder for its builders.
//!
//! Everything here is pure: no runtime, no event loop, no session. What is refused becomes a `ValueError` that carries the
//! text of the [`WireError`].

mod bodies;
pub(crate) mod build;
mod extensions;
mod layouts;
mod tables;
pub(crate) mod values;

use nnrp::wire::WireError;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::buffer;

/// The submodule's name for the import system.
const FULL_NAME: &str = "nnrp._native.codec";

/// Adds the submodule `codec` to the native module.
pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    let codec = PyModule::new(py, FULL_NAME)?;
    let functions = [
        wrap_pyfunction!(tables::tables, &codec)?,
        wrap_pyfunction!(layouts::check_header, &codec)?,
        wrap_pyfunction!(layouts::check_metadata, &codec)?,
        wrap_pyfunction!(layouts::check_coverage, &codec)?,
        wrap_pyfunction!(bodies::check_submit_body, &codec)?,
        wrap_pyfunction!(bodies::check_result_body, &codec)?,
        wrap_pyfunction!(bodies::check_regions, &codec)?,
        wrap_pyfunction!(bodies::check_inline_objects, &codec)?,
        wrap_pyfunction!(bodies::check_object_references, &codec)?,
        wrap_pyfunction!(bodies::check_typed_payloads, &codec)?,
        wrap_pyfunction!(bodies::check_extension_frames, &codec)?,
        wrap_pyfunction!(bodies::check_tensor_body, &codec)?,
        wrap_pyfunction!(bodies::decode_tile_index, &codec)?,
        wrap_pyfunction!(build::encode_tile_index, &codec)?,
        wrap_pyfunction!(build::encode_section, &codec)?,
        wrap_pyfunction!(build::encode_submit, &codec)?,
        wrap_pyfunction!(build::encode_result, &codec)?,
        wrap_pyfunction!(build::check_message, &codec)?,
        wrap_pyfunction!(extensions::encode_extensions, &codec)?,
        wrap_pyfunction!(extensions::decode_extensions, &codec)?,
        wrap_pyfunction!(extensions::check_extension, &codec)?,
    ];
    functions.into_iter().try_for_each(|function| codec.add_function(function))?;
    module.add("codec", &codec)?;
    // The native module is no package, so the import system finds its submodule only where it looks first.
    py.import("sys")?.getattr("modules")?.set_item(FULL_NAME, codec)
}

/// What Python sees of a refusal.
fn refused(error: &WireError) -> PyErr {
    PyValueError::new_err(error.to_string())
}

/// Calls `read` with the contents of any bytes-like object; `bytes` are read in place.
fn with_bytes<T>(payload: &Bound<'_, PyAny>, read: impl FnOnce(&[u8]) -> T) -> PyResult<T> {
    match payload.cast::<PyBytes>() {
        Ok(bytes) => Ok(read(bytes.as_bytes())),
        Err(_) => buffer::take_bytes(payload).map(|bytes| read(&bytes)),
    }
}
