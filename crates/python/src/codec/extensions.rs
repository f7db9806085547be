//! Control extension blocks, and checks of the six entries of the handshake.

use nnrp::wire::{
    ControlExtension, ControlExtensions, Detail, LossToleranceAckExtension, LossToleranceExtension,
    MessageType, PayloadCapabilitiesAckExtension, PayloadCapabilitiesExtension, TransportPolicyAckExtension,
    TransportPolicyExtension, WireError,
};
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use super::values;
use crate::buffer::take_bytes;

/// Type, flags and payload of an entry.
type Entry<'py> = (u16, u16, Bound<'py, PyBytes>);

/// What Python sees of a refused block: the sentence alone, which programs compare as a whole.
fn refused(error: &WireError) -> PyErr {
    PyValueError::new_err(error.sentence().to_string())
}

/// The bytes of a block. An entry is type, flags and payload.
#[pyfunction]
pub(super) fn encode_extensions<'py>(
    py: Python<'py>,
    entries: Vec<(Bound<'py, PyAny>, Bound<'py, PyAny>, Bound<'py, PyAny>)>,
) -> PyResult<Bound<'py, PyBytes>> {
    let entries = entries.iter().map(|(ext_type, flags, payload)| {
        Ok(ControlExtension {
            ext_type: values::number(ext_type, "ext_type")?,
            flags: values::number::<u16>(flags, "ext_flags")?.into(),
            payload: take_bytes(payload)?,
        })
    });
    let entries = entries.collect::<PyResult<Vec<_>>>()?;
    let block = ControlExtensions::encode(&entries).map_err(|error| refused(&error))?;
    Ok(PyBytes::new(py, &block))
}

/// The entries of a block, those of unknown types included. `known` are the types a critical entry may have; `None` for any.
#[pyfunction]
pub(super) fn decode_extensions<'py>(
    py: Python<'py>,
    block: &Bound<'py, PyAny>,
    known: Option<&Bound<'py, PyAny>>,
) -> PyResult<Vec<Entry<'py>>> {
    let known = known.map(|types| values::numbers(types, "known_types")).transpose()?;
    // A block by itself belongs to no message; ERROR is the one whose blocks have no rules beyond those of every block.
    let entries = ControlExtensions::decode(&take_bytes(block)?, known.as_deref(), MessageType::Error)
        .map_err(|error| refused(&error))?;
    let entry =
        |entry: ControlExtension| (entry.ext_type, entry.flags.bits(), PyBytes::new(py, &entry.payload));
    Ok(entries.into_iter().map(entry).collect())
}

/// Checks that an entry is of the handshake extension `expected` and that its payload is one.
#[pyfunction]
pub(super) fn check_extension(
    expected: u16,
    ext_type: &Bound<'_, PyAny>,
    payload: &Bound<'_, PyAny>,
) -> PyResult<()> {
    let ext_type = values::number(ext_type, "ext_type")?;
    let entry = ControlExtension { ext_type, payload: take_bytes(payload)?, ..ControlExtension::default() };
    let checked = match expected {
        TransportPolicyExtension::TYPE => TransportPolicyExtension::from_extension(&entry).map(drop),
        TransportPolicyAckExtension::TYPE => TransportPolicyAckExtension::from_extension(&entry).map(drop),
        LossToleranceExtension::TYPE => LossToleranceExtension::from_extension(&entry).map(drop),
        LossToleranceAckExtension::TYPE => LossToleranceAckExtension::from_extension(&entry).map(drop),
        PayloadCapabilitiesExtension::TYPE => PayloadCapabilitiesExtension::from_extension(&entry).map(drop),
        PayloadCapabilitiesAckExtension::TYPE => {
            PayloadCapabilitiesAckExtension::from_extension(&entry).map(drop)
        }
        _ => return Err(PyKeyError::new_err(expected)),
    };
    checked.map_err(|error| match error.detail {
        Detail::NotZero => PyValueError::new_err(format!("reserved fields must be zero: {error}")),
        _ => refused(&error),
    })
}
