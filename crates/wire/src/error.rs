//! Why bytes are not a packet, or why values cannot become one.

use std::fmt;

use crate::{Answer, ErrorCode, MessageType, RuleId, field::StructSpec};

/// The part of a packet an offset counts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The 40 header bytes.
    Header,
    /// The fixed metadata after the header.
    Metadata,
    /// The body after the metadata.
    Body,
    /// A block of control extensions, or one extension's payload.
    Extension,
}

impl Part {
    /// The part's name in a sentence.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Metadata => "metadata",
            Self::Body => "body",
            Self::Extension => "extension",
        }
    }
}

/// What exactly is wrong, without the place.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Detail {
    /// A layout or packet has the wrong number of bytes.
    Length {
        /// Bytes there have to be.
        expected: u64,
        /// Bytes there are.
        actual: u64,
    },
    /// An enumeration has no such value.
    NotAssigned {
        /// Name of the enumeration.
        table: &'static str,
        /// The value.
        value: u64,
    },
    /// A mask has no such bits.
    UnknownBits(u64),
    /// A field has to be zero.
    NotZero,
    /// Two numbers that have to agree do not.
    Mismatch {
        /// What the number has to be.
        expected: u64,
        /// What it is.
        actual: u64,
    },
    /// More than a limit allows.
    TooMany {
        /// The limit.
        limit: u64,
        /// What there is.
        actual: u64,
    },
    /// Anything else, as a sentence.
    Because(&'static str),
    /// Anything else, as a sentence with numbers in it.
    Explained(Box<str>),
}

/// A packet that is not one, or values that do not make one.
///
/// The text is one English sentence and then, in brackets, where it happened and which rule of the protocol says so.
/// What to tell the peer is in [`code`](Self::code) and [`answer`](Self::answer).
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub struct WireError {
    /// The message concerned, when it is known.
    pub message: Option<MessageType>,
    /// The part of the packet that `offset` counts from.
    pub part: Part,
    /// The field concerned; empty when it is not one field.
    pub field: &'static str,
    /// Where in the part, in bytes.
    pub offset: usize,
    /// The rule that was broken.
    pub rule: RuleId,
    /// What is wrong.
    pub detail: Detail,
}

impl WireError {
    pub(crate) fn new(rule: RuleId, part: Part, offset: usize, field: &'static str, detail: Detail) -> Self {
        Self { message: None, part, field, offset, rule, detail }
    }

    /// An error about `field` of a fixed layout.
    pub(crate) fn in_layout(spec: &StructSpec, rule: RuleId, field: &'static str, detail: Detail) -> Self {
        let offset = spec.fields.iter().find(|row| row.name == field).map_or(0, |row| row.offset);
        Self { message: spec.message, part: spec.part, field, offset, rule, detail }
    }

    /// The same error, said about `message`.
    #[must_use]
    pub fn in_message(mut self, message: MessageType) -> Self {
        self.message = Some(message);
        self
    }

    /// The same error, `base` bytes further into its part.
    #[must_use]
    pub(crate) fn moved_by(mut self, base: usize) -> Self {
        self.offset += base;
        self
    }

    /// The error code that belongs on the wire. Faults that are never answered with a code count as internal.
    pub fn code(&self) -> ErrorCode {
        match (self.rule, &self.detail) {
            // One rule, two codes: an unassigned level, or reserved bytes that are set.
            (RuleId::HX_3, Detail::NotZero) => ErrorCode::MalformedBody,
            (rule, _) => rule.code().unwrap_or(ErrorCode::InternalError),
        }
    }

    /// What the receiver of the packet does about it, while a session is active.
    pub fn answer(&self) -> Answer {
        self.rule.answer(self.message)
    }

    /// What is wrong, without place and rule.
    pub fn sentence(&self) -> Sentence<'_> {
        Sentence(self)
    }
}

/// Displays the sentence of a [`WireError`] alone.
#[derive(Clone, Copy)]
pub struct Sentence<'a>(&'a WireError);

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = self.0.field;
        match &self.0.detail {
            Detail::Length { expected, actual } => write!(f, "expected {expected} bytes, got {actual}"),
            Detail::NotAssigned { table, value } => write!(f, "{value} is not a valid {table}"),
            Detail::UnknownBits(bits) => write!(f, "{field} contains unknown bits: {bits:#x}"),
            Detail::NotZero if self.0.part == Part::Extension => {
                write!(f, "extension reserved fields must be zero, {field} is not")
            }
            Detail::NotZero => write!(f, "{field} must be 0"),
            Detail::Mismatch { expected, actual } => write!(f, "{field} must be {expected}, got {actual}"),
            Detail::TooMany { limit, actual } => write!(f, "{field} is {actual}, the limit is {limit}"),
            Detail::Because(text) => f.write_str(text),
            Detail::Explained(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (", self.sentence())?;
        if let Some(message) = self.message {
            write!(f, "{message} ")?;
        }
        write!(f, "{}", self.part.name())?;
        if !self.field.is_empty() {
            write!(f, ", {}", self.field)?;
        }
        write!(f, " at offset {}, {})", self.offset, self.rule)
    }
}

impl fmt::Debug for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WireError({self})")
    }
}
