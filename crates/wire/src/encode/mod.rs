//! What an application sends: frames and results with their tensors and payloads.
//!
//! The metadata's counts and lengths, the layout of the body and the object mask follow from what is given; payloads are attached, not
//! copied. The bytes are those the reference peer builds from the same values.

mod composed;
mod frame;
mod result;
mod section;
mod submit;

pub use result::ResultFrame;
pub use section::Section;
pub use submit::SubmitFrame;

use crate::{Detail, Part, PayloadKind, RuleId, TypedPayload, WireError, meta::check_typed_kind};

/// A number of things as the metadata's u16 says it.
fn count(rule: RuleId, field: &'static str, count: usize) -> Result<u16, WireError> {
    u16::try_from(count).map_err(|_| {
        let detail = Detail::TooMany { limit: u16::MAX.into(), actual: count as u64 };
        WireError::new(rule, Part::Metadata, 0, field, detail)
    })
}

/// The kinds of some typed payloads, each of which must be exactly one.
fn kinds_of(payloads: &[TypedPayload]) -> Result<PayloadKind, WireError> {
    payloads.iter().try_fold(PayloadKind::NONE, |kinds, payload| {
        check_typed_kind(payload.kind)?;
        Ok(kinds | payload.kind)
    })
}

fn refuse(rule: RuleId, field: &'static str, text: String) -> WireError {
    WireError::new(rule, Part::Body, 0, field, Detail::Explained(text.into()))
}
