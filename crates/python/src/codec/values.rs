//! Numbers and sections out of Python objects, with errors that name what is wrong.

use std::cell::Cell;

use bytes::Bytes;
use nnrp::wire::{PayloadKind, Section, TypedPayload};
use pyo3::exceptions::{PyAttributeError, PyOverflowError, PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyInt, PyString, PyTuple, PyType};

use crate::buffer::take_bytes;
use crate::packet;

/// An unsigned number of the wire.
pub(crate) trait Number: TryFrom<u64> + Copy {
    /// The highest value.
    const MAX: u64;
}

macro_rules! numbers {
    ($($int:ident)+) => { $( impl Number for $int { const MAX: u64 = $int::MAX as u64; } )+ };
}
numbers!(u8 u16 u32 u64);

/// The number that `value` is, if it is one that fits.
fn fitting<T: Number>(value: &Bound<'_, PyAny>) -> Option<T> {
    static ZERO: PyOnceLock<Py<PyInt>> = PyOnceLock::new();
    // What most fields are: there is one object for it.
    let zero = ZERO.get_or_init(value.py(), || {
        0_u8.into_pyobject(value.py()).map_or_else(|never| match never {}, Bound::unbind)
    });
    let wide = if value.is(zero) { 0 } else { value.extract::<u64>().ok()? };
    T::try_from(wide).ok()
}

/// The number that is the value of `name`, which is looked at only for an error.
///
/// # Errors
/// As [`number`].
fn named<T: Number>(value: &Bound<'_, PyAny>, name: &Bound<'_, PyString>) -> PyResult<T> {
    match fitting(value) {
        Some(fits) => Ok(fits),
        None => number(value, name.to_str()?),
    }
}

/// The number that `value` is.
///
/// # Errors
/// `TypeError` when it is no integer, `ValueError` when it does not fit; both name it `what`.
pub(crate) fn number<T: Number>(value: &Bound<'_, PyAny>, what: &str) -> PyResult<T> {
    match value.extract::<u64>() {
        Ok(wide) => T::try_from(wide).map_err(|_| out_of_range::<T>(value, what)),
        Err(error) if error.is_instance_of::<PyOverflowError>(value.py()) => {
            Err(out_of_range::<T>(value, what))
        }
        Err(_) => {
            let kind = value.get_type().name()?;
            Err(PyTypeError::new_err(format!("{what} must be an integer, not {kind}")))
        }
    }
}

fn out_of_range<T: Number>(value: &Bound<'_, PyAny>, what: &str) -> PyErr {
    PyValueError::new_err(format!("{what} must be between 0 and {}, got {value}", T::MAX))
}

/// The numbers of an iterable.
///
/// # Errors
/// As [`number`], for each of them.
pub(crate) fn numbers<T: Number>(values: &Bound<'_, PyAny>, what: &str) -> PyResult<Vec<T>> {
    if let Ok(tuple) = values.cast::<PyTuple>() {
        return tuple.iter_borrowed().map(|value| number(&value, what)).collect();
    }
    let mut all = Vec::with_capacity(values.len().unwrap_or(0));
    let each = values.try_iter().map_err(|_| {
        PyTypeError::new_err(format!("{what} must be a sequence of integers, not '{}'", type_name(values)))
    })?;
    for value in each {
        all.push(number(&value?, what)?);
    }
    Ok(all)
}

/// Arguments of a builder, by name.
pub(crate) enum Arguments<'a, 'py> {
    /// Keyword arguments.
    Named(&'a Bound<'py, PyDict>),
    /// Values in the order of their names: the cheap way for what is sent all the time.
    Listed(Listed<'a, 'py>),
}

/// Values and their names, which are the interned ones. Cheapest to ask for in the order of the list.
pub(crate) struct Listed<'a, 'py> {
    names: &'a Bound<'py, PyTuple>,
    values: &'a Bound<'py, PyTuple>,
    /// Where the last one was found, and one further.
    next: Cell<usize>,
}

impl<'py> Listed<'_, 'py> {
    fn get(&self, name: &Bound<'py, PyString>) -> Option<Bound<'py, PyAny>> {
        let (start, count) = (self.next.get(), self.names.len());
        let place = (start..count)
            .chain(0..start.min(count))
            .find(|place| self.names.get_borrowed_item(*place).is_ok_and(|known| known.is(name)))?;
        self.next.set(place + 1);
        self.values.get_item(place).ok()
    }
}

impl<'a, 'py> Arguments<'a, 'py> {
    /// The values of `names`.
    pub(crate) fn listed(names: &'a Bound<'py, PyTuple>, values: &'a Bound<'py, PyTuple>) -> Self {
        Arguments::Listed(Listed { names, values, next: Cell::new(0) })
    }
}

impl<'py> Arguments<'_, 'py> {
    pub(crate) fn py(&self) -> Python<'py> {
        match self {
            Arguments::Named(arguments) => arguments.py(),
            Arguments::Listed(listed) => listed.names.py(),
        }
    }

    /// The argument as it was given, or `None` when it is missing. Listed ones are found by the identity of their name.
    pub(crate) fn given(&self, name: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(match self {
            Arguments::Named(arguments) => arguments.get_item(name)?,
            Arguments::Listed(listed) => listed.get(name),
        })
    }

    /// The argument, or `None` when it is missing or `None`.
    pub(crate) fn get(&self, name: &Bound<'py, PyString>) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.given(name)?.filter(|value| !value.is_none()))
    }

    /// A number, 0 when it is missing.
    pub(crate) fn number<T: Number + Default>(&self, name: &Bound<'py, PyString>) -> PyResult<T> {
        match self.get(name)? {
            Some(value) => named(&value, name),
            None => Ok(T::default()),
        }
    }

    /// A duration in milliseconds, or the longest one that its field can say.
    pub(crate) fn milliseconds(&self, name: &Bound<'py, PyString>) -> PyResult<u16> {
        let Some(value) = self.get(name)? else { return Ok(0) };
        let fits = named(&value, name);
        let too_long = matches!(&fits, Err(error) if error.is_instance_of::<PyValueError>(value.py()));
        if too_long && value.gt(u16::MAX)? { Ok(u16::MAX) } else { fits }
    }
}

impl<'py> Arguments<'_, 'py> {
    /// The tile ids.
    pub(crate) fn tile_ids(&self) -> PyResult<Vec<u16>> {
        match self.get(intern!(self.py(), "tile_ids"))? {
            Some(ids) => numbers(&ids, "tile ids"),
            None => Ok(Vec::new()),
        }
    }

    /// The tensor sections.
    pub(crate) fn sections(&self) -> PyResult<Vec<Section>> {
        match self.get(intern!(self.py(), "sections"))? {
            Some(given) => sections(&given),
            None => Ok(Vec::new()),
        }
    }

    /// The typed payloads.
    pub(crate) fn typed_payloads(&self) -> PyResult<Vec<TypedPayload>> {
        match self.get(intern!(self.py(), "frames"))? {
            Some(given) => each(&given, &TYPED_PAYLOADS, typed_payload),
            None => Ok(Vec::new()),
        }
    }
}

/// The tensor sections of an iterable.
///
/// # Errors
/// `TypeError` naming `sections` for anything else; as [`section`] for each of them.
pub(crate) fn sections(given: &Bound<'_, PyAny>) -> PyResult<Vec<Section>> {
    each(given, &SECTIONS, section)
}

fn each<'py, T>(
    values: &Bound<'py, PyAny>,
    items: &Items,
    take: impl Fn(&Bound<'py, PyAny>) -> PyResult<T>,
) -> PyResult<Vec<T>> {
    // Anything with the right attributes is taken, so that what is missing tells what it is not.
    let take = |at, value: &Bound<'py, PyAny>| {
        take(value).map_err(|error| match error.is_instance_of::<PyAttributeError>(value.py()) {
            true => items.no_item(at, value),
            false => error,
        })
    };
    let mut taken = Vec::with_capacity(values.len().unwrap_or(0).min(MOST_ROOM));
    // A tuple, which it mostly is, needs no iterator.
    if let Ok(tuple) = values.cast::<PyTuple>() {
        for (at, value) in tuple.iter_borrowed().enumerate() {
            taken.push(take(at, &value)?);
        }
        return Ok(taken);
    }
    let each = values.try_iter().map_err(|_| items.no_sequence(values))?;
    for (at, value) in each.enumerate() {
        taken.push(take(at, &value?)?);
    }
    Ok(taken)
}

/// Items that there is room for from the start; what says that it has more may be wrong.
const MOST_ROOM: usize = 64;

/// What an argument takes several of, for those who give something else.
struct Items {
    /// The argument, as users know it.
    argument: &'static str,
    kind: &'static str,
    /// How one gets one.
    advice: &'static str,
}

const SECTIONS: Items = Items {
    argument: "sections",
    kind: "TensorSectionData",
    advice: "nnrp.arrays.tensor_section(array, role_id=…) makes one of an array",
};

const TYPED_PAYLOADS: Items = Items {
    argument: "typed_payloads",
    kind: "TypedPayload",
    advice: "TypedPayload.token_chunk(data), .opaque_bytes(data) and others make one of bytes",
};

impl Items {
    fn no_sequence(&self, given: &Bound<'_, PyAny>) -> PyErr {
        let Self { argument, kind, .. } = self;
        let found = type_name(given);
        let hint = if found == *kind { format!("; write {argument}=(…,)") } else { String::new() };
        PyTypeError::new_err(format!("{argument} must be a sequence of {kind}, not '{found}'{hint}"))
    }

    fn no_item(&self, at: usize, given: &Bound<'_, PyAny>) -> PyErr {
        let Self { argument, kind, advice } = self;
        let found = type_name(given);
        PyTypeError::new_err(format!("{argument}[{at}] must be a {kind}, not '{found}'; {advice}"))
    }
}

fn type_name(given: &Bound<'_, PyAny>) -> String {
    given.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string())
}

/// The tensor section that an object with the attributes of `TensorSectionData` describes.
///
/// # Errors
/// Attributes that are missing, of another type, or do not fit.
pub(crate) fn section(object: &Bound<'_, PyAny>) -> PyResult<Section> {
    let py = object.py();
    if let Some(received) = received_section(object)? {
        return Ok(received);
    }
    let small = |name: &Bound<'_, PyString>| named::<u8>(&object.getattr(name)?, name);
    let large = |name: &Bound<'_, PyString>| named::<u32>(&object.getattr(name)?, name);
    let tiles = object.getattr(intern!(py, "tile_payloads"))?;
    let tiles = match tiles.cast::<PyTuple>() {
        Ok(tiles) => tiles.iter_borrowed().map(|tile| take_bytes(&tile)).collect::<PyResult<Vec<Bytes>>>()?,
        Err(_) => tiles.try_iter()?.map(|tile| take_bytes(&tile?)).collect::<PyResult<_>>()?,
    };
    Ok(Section {
        role_id: number(&object.getattr(intern!(py, "role_id"))?, "role_id")?,
        codec_id: small(intern!(py, "default_codec_id"))?,
        dtype: small(intern!(py, "dtype_id"))?.into(),
        layout: small(intern!(py, "layout_id"))?.into(),
        scale_policy: small(intern!(py, "scale_policy"))?.into(),
        element_count_per_tile: large(intern!(py, "element_count_per_tile"))?,
        payload_stride_bytes: large(intern!(py, "payload_stride_bytes"))?,
        codec_ids: numbers(&object.getattr(intern!(py, "codec_ids"))?, "codec_ids")?,
        tiles,
    })
}

/// The section behind an object that stands for a received one, which nothing has to be read of.
fn received_section(object: &Bound<'_, PyAny>) -> PyResult<Option<Section>> {
    static RECEIVED: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    let py = object.py();
    if !object.get_type().is(RECEIVED.import(py, "nnrp._lazy", "LazySection")?) {
        return Ok(None);
    }
    let place = object.getattr(intern!(py, "_place"))?.extract()?;
    let source = object.getattr(intern!(py, "_source"))?;
    Ok(source.cast::<packet::Submit>().ok().and_then(|submit| submit.get().section_to_send(place)))
}

/// The typed payload that an object with the attributes of `TypedPayloadFrame` describes.
///
/// # Errors
/// Attributes that are missing, of another type, or do not fit.
pub(crate) fn typed_payload(object: &Bound<'_, PyAny>) -> PyResult<TypedPayload> {
    let py = object.py();
    let kind: u32 = number(&object.getattr(intern!(py, "payload_kind"))?, "payload_kind")?;
    let flags = object.getattr_opt(intern!(py, "descriptor_flags"))?;
    if flags.is_some_and(|flags| flags.is_truthy().unwrap_or(true)) {
        return Err(PyValueError::new_err("descriptor_flags must be 0"));
    }
    Ok(TypedPayload {
        kind: PayloadKind::from(kind),
        profile_id: number(&object.getattr(intern!(py, "profile_id"))?, "profile_id")?,
        data: take_bytes(&object.getattr(intern!(py, "payload"))?)?,
    })
}
