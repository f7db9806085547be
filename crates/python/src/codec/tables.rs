//! The tables of the wire crate as Python objects, for the generator of `nnrp.core` and for the tests that hold the two
//! together.

use nnrp::wire::codes::{CodeTable, ENUMS, MASKS};
use nnrp::wire::meta::{INHERIT, METADATA};
use nnrp::wire::{
    FieldKind, FieldSpec, Header, HeaderLayout, MAGIC, Reserved, Revision, StructSpec, extension,
};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

/// Everything that has a name and a number: `enums`, `masks`, `header`, `layouts`, `extensions`, `messages` and `constants`.
#[pyfunction]
pub(super) fn tables(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let tables = PyDict::new(py);
    tables.set_item("enums", rows(py, ENUMS, code_table)?)?;
    tables.set_item("masks", rows(py, MASKS, code_table)?)?;
    tables.set_item("header", layout(py, HeaderLayout::SPEC)?)?;
    tables.set_item("layouts", rows(py, METADATA, layout)?)?;
    tables.set_item("extensions", extensions(py)?)?;
    let messages = PyDict::new(py);
    for spec in Revision::Current.messages() {
        messages.set_item(spec.message.name(), spec.meta_len)?;
    }
    tables.set_item("messages", messages)?;
    tables.set_item("constants", constants(py)?)?;
    Ok(tables)
}

/// One dictionary for each row, in the order of the table.
fn rows<'py, T>(
    py: Python<'py>,
    table: &[&T],
    describe: fn(Python<'py>, &T) -> PyResult<Bound<'py, PyDict>>,
) -> PyResult<Vec<Bound<'py, PyDict>>> {
    table.iter().map(|row| describe(py, row)).collect()
}

fn code_table<'py>(py: Python<'py>, table: &CodeTable) -> PyResult<Bound<'py, PyDict>> {
    let members: Vec<_> = table.rows.iter().map(|row| (row.name, row.value, row.doc)).collect();
    let dict = PyDict::new(py);
    dict.set_item("name", table.name)?;
    dict.set_item("doc", table.doc)?;
    dict.set_item("members", members)?;
    dict.set_item("aliases", table.aliases.to_vec())?;
    Ok(dict)
}

fn layout<'py>(py: Python<'py>, spec: &StructSpec) -> PyResult<Bound<'py, PyDict>> {
    let fields = spec.fields.iter().map(|row| field(py, row)).collect::<PyResult<Vec<_>>>()?;
    let dict = PyDict::new(py);
    dict.set_item("name", spec.name)?;
    dict.set_item("length", spec.len)?;
    dict.set_item("message", spec.message.and_then(nnrp::wire::MessageType::name))?;
    dict.set_item("doc", spec.doc)?;
    dict.set_item("fields", fields)?;
    Ok(dict)
}

fn field<'py>(py: Python<'py>, row: &FieldSpec) -> PyResult<Bound<'py, PyDict>> {
    let kind = match row.kind {
        FieldKind::Number => None,
        FieldKind::Enum(table) | FieldKind::Mask(table) => Some(table.name),
    };
    let reserved = row.reserved.map(|reserved| match reserved {
        Reserved::MustBeZero => "mbz",
        Reserved::Ignored => "rsv",
    });
    let dict = PyDict::new(py);
    dict.set_item("name", row.name)?;
    dict.set_item("offset", row.offset)?;
    dict.set_item("size", row.size)?;
    dict.set_item("kind", kind)?;
    dict.set_item("reserved", reserved)?;
    dict.set_item("rule", row.rule.map(|rule| rule.to_string()))?;
    dict.set_item("doc", row.doc)?;
    Ok(dict)
}

/// The payload layouts of the handshake extensions, by their type.
fn extensions(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    for ((_, ext_type), spec) in EXTENSION_TYPES.into_iter().zip(extension::LAYOUTS) {
        dict.set_item(ext_type, layout(py, spec)?)?;
    }
    Ok(dict)
}

/// The handshake extensions, in the order of [`extension::LAYOUTS`], with the names of their types in Python.
const EXTENSION_TYPES: [(&str, u16); 6] = [
    ("CLIENT_HELLO_TRANSPORT_POLICY_EXTENSION", extension::TRANSPORT_POLICY),
    ("SERVER_HELLO_ACK_TRANSPORT_POLICY_EXTENSION", extension::TRANSPORT_POLICY_ACK),
    ("CLIENT_HELLO_LOSS_TOLERANCE_EXTENSION", extension::LOSS_TOLERANCE),
    ("SERVER_HELLO_ACK_LOSS_TOLERANCE_EXTENSION", extension::LOSS_TOLERANCE_ACK),
    ("CLIENT_HELLO_PAYLOAD_CAPABILITIES_EXTENSION", extension::PAYLOAD_CAPABILITIES),
    ("SERVER_HELLO_ACK_PAYLOAD_CAPABILITIES_EXTENSION", extension::PAYLOAD_CAPABILITIES_ACK),
];

/// Fixed numbers that are not a column of any table.
fn constants(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("HEADER_MAGIC", PyBytes::new(py, &MAGIC))?;
    dict.set_item("HEADER_LENGTH", Header::LEN)?;
    dict.set_item("INHERIT_LOSS_TOLERANCE", INHERIT)?;
    for (name, ext_type) in EXTENSION_TYPES {
        dict.set_item(name, ext_type)?;
    }
    Ok(dict)
}
