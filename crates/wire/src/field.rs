//! Tables of fixed layouts: what a field is, and the macro that turns a table into a struct.

use crate::{Detail, MessageType, Part, RuleId, codes::CodeTable};

/// What the number in a field means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// A plain unsigned number.
    Number,
    /// A value of an enumeration.
    Enum(&'static CodeTable),
    /// Bits of a mask.
    Mask(&'static CodeTable),
}

/// How reserved space is treated when it is not zero. A sender always writes zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reserved {
    /// Refused (`mbz`).
    MustBeZero,
    /// Ignored, kept and written back as read (`rsv`).
    Ignored,
}

/// One field of a fixed layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FieldSpec {
    /// The protocol's name.
    pub name: &'static str,
    /// First byte, counted from the start of the layout.
    pub offset: usize,
    /// Size in bytes: 1, 2, 4 or 8.
    pub size: usize,
    /// What the number means.
    pub kind: FieldKind,
    /// Set when the field is reserved space.
    pub reserved: Option<Reserved>,
    /// The rule that refuses an unassigned value, an unknown bit or a non-zero reserved field; `None` when any value
    /// is accepted on its own (rules between fields are not listed here).
    pub rule: Option<RuleId>,
    /// What the field says.
    pub doc: &'static str,
}

/// A fixed layout: the metadata of a message, or a block inside a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StructSpec {
    /// Name of the type, the same in Rust and Python.
    pub name: &'static str,
    /// Size in bytes.
    pub len: usize,
    /// The part of a packet it belongs to.
    pub part: Part,
    /// The message whose metadata this is; `None` for a block of a body or an extension.
    pub message: Option<MessageType>,
    /// Every field in the order of the wire, reserved ones included, without gaps.
    pub fields: &'static [FieldSpec],
    /// What the layout is for.
    pub doc: &'static str,
}

/// A type that stands for a number in a field.
pub(crate) trait Code: Copy {
    const KIND: FieldKind;
    /// The value for a number; a number that does not fit the type becomes one that is refused.
    fn from_number(number: u64) -> Self;
    fn number(self) -> u64;
    /// Why the value has no meaning, if it has none.
    fn refusal(self) -> Option<Detail>;
}

macro_rules! plain_numbers {
    ($($int:ident)+) => { $(
        impl Code for $int {
            const KIND: FieldKind = FieldKind::Number;
            fn from_number(number: u64) -> Self { $int::try_from(number).unwrap_or($int::MAX) }
            fn number(self) -> u64 { u64::from(self) }
            fn refusal(self) -> Option<Detail> { None }
        }
    )+ };
}
plain_numbers!(u8 u16 u32 u64);

/// Checks one field by its own row.
pub(crate) fn check_value<T: Code>(value: T, reserved: Option<Reserved>) -> Option<Detail> {
    match reserved {
        Some(Reserved::MustBeZero) if value.number() != 0 => Some(Detail::NotZero),
        Some(_) => None,
        None => value.refusal(),
    }
}

/// Turns a layout table into a struct with its decoder, encoder, checks and [`StructSpec`].
///
/// A row reads `offset name: width;` with, in this order and each optional: `as Type` when the number is a value of an
/// enumeration or mask, `[mbz]` or `[rsv]` for reserved space, `=> RULE` for the rule that refuses the value.
/// The offsets are typed in so that a row reads like the protocol's table; they are checked when compiling.
macro_rules! wire_struct {
    (
        $(#[doc = $doc:literal])+
        pub struct $Name:ident: $len:literal, length $len_rule:ident $(, of $message:ident)? $(, in $part:ident)? {
            $(
                $(#[doc = $field_doc:literal])+
                $offset:literal $field:ident: $width:ident $(as $Ty:ident)? $([$mark:ident])? $(=> $rule:ident)?;
            )+
        }
        $( default { $( $default_field:ident: $default_value:expr ),+ } )?
        $( contract $contract:path; )?
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct $Name {
            $( $(#[doc = $field_doc])+ pub $field: $crate::field::wire_struct!(@type $width $($Ty)?), )+
        }

        impl $Name {
            /// Size on the wire in bytes.
            pub const LEN: usize = $len;
            /// Name of the layout.
            pub const NAME: &'static str = stringify!($Name);
            /// The table the type is made from.
            pub const FIELDS: &'static [$crate::FieldSpec] = Self::SPEC.fields;
            /// The table with its name and length.
            pub const SPEC: &'static $crate::StructSpec = &$crate::StructSpec {
                name: stringify!($Name),
                len: $len,
                part: $crate::field::wire_struct!(@part $($message)? $(in $part)?),
                message: $crate::field::wire_struct!(@message $($message)?),
                fields: &[ $( $crate::FieldSpec {
                    name: stringify!($field),
                    offset: $offset,
                    size: size_of::<$width>(),
                    kind: <$crate::field::wire_struct!(@type $width $($Ty)?) as $crate::field::Code>::KIND,
                    reserved: $crate::field::wire_struct!(@reserved $($mark)?),
                    rule: $crate::field::wire_struct!(@rule $($rule)?),
                    doc: concat!($($field_doc),+).trim_ascii(),
                }, )+ ],
                doc: concat!($($doc),+).trim_ascii(),
            };

            /// Reads the layout and applies the rules of its fields, first those of single fields in their order,
            /// then those between fields.
            ///
            /// # Errors
            /// When `bytes` is not [`Self::LEN`] long, or a rule refuses a value.
            pub fn decode(bytes: &[u8]) -> Result<Self, $crate::WireError> {
                let this = Self::decode_unchecked(bytes)?;
                this.check()?;
                Ok(this)
            }

            /// Reads the layout and looks at nothing but its length.
            pub(crate) fn decode_unchecked(bytes: &[u8]) -> Result<Self, $crate::WireError> {
                match bytes.try_into() {
                    Ok(raw) => Ok(Self::parse(raw)),
                    Err(_) => {
                        let detail = $crate::Detail::Length { expected: $len, actual: bytes.len() as u64 };
                        Err(Self::refuse($crate::RuleId::$len_rule, "", detail))
                    }
                }
            }

            /// Reads the layout from bytes that are as many as it has, and looks at none of the values.
            #[inline]
            pub(crate) fn parse(raw: &[u8; $len]) -> Self {
                Self { $(
                    $field: $crate::field::Code::from_number(u64::from($crate::reader::$width(raw, $offset))),
                )+ }
            }

            /// The layout's bytes. Call [`Self::check`] first for values that came from outside: a value that is wider
            /// than its field is written as the field's highest number.
            pub fn encode(&self) -> [u8; $len] {
                let mut raw = [0; $len];
                $( $crate::writer::$width(
                    &mut raw,
                    $offset,
                    <$width as $crate::field::Code>::from_number($crate::field::Code::number(self.$field)),
                ); )+
                raw
            }

            /// Applies every rule of the layout to the values.
            ///
            /// # Errors
            /// The first rule that refuses a value.
            #[inline]
            pub fn check(&self) -> Result<(), $crate::WireError> {
                $( if let Some(rule) = const { $crate::field::wire_struct!(@rule $($rule)?) }
                    && let Some(detail) = $crate::field::check_value(
                        self.$field,
                        const { $crate::field::wire_struct!(@reserved $($mark)?) },
                    )
                {
                    return Err(Self::refuse(rule, stringify!($field), detail));
                } )+
                $( $contract(self)?; )?
                Ok(())
            }

            /// An error about `field` of this layout.
            #[cold]
            pub(crate) fn refuse(
                rule: $crate::RuleId,
                field: &'static str,
                detail: $crate::Detail,
            ) -> $crate::WireError {
                $crate::WireError::in_layout(Self::SPEC, rule, field, detail)
            }
        }

        impl Default for $Name {
            fn default() -> Self {
                #[allow(unused_mut)]
                let mut this = Self { $( $field: $crate::field::Code::from_number(0), )+ };
                $( $( this.$default_field = $default_value; )+ )?
                this
            }
        }

        // The rows follow each other without gaps and end at the stated length.
        const _: () = {
            let mut end = 0;
            let mut rows = $Name::FIELDS;
            while let [row, rest @ ..] = rows {
                assert!(row.offset == end);
                end += row.size;
                rows = rest;
            }
            assert!(end == $len);
        };
    };

    (@type $width:ident) => { $width };
    (@type $width:ident $Ty:ident) => { $crate::$Ty };
    (@part) => { $crate::Part::Body };
    (@part in $part:ident) => { $crate::Part::$part };
    (@part $message:ident) => { $crate::Part::Metadata };
    (@message) => { None };
    (@message $message:ident) => { Some($crate::MessageType::$message) };
    (@reserved) => { None };
    (@reserved mbz) => { Some($crate::Reserved::MustBeZero) };
    (@reserved rsv) => { Some($crate::Reserved::Ignored) };
    (@rule) => { None::<$crate::RuleId> };
    (@rule $rule:ident) => { Some($crate::RuleId::$rule) };
}

pub(crate) use wire_struct;
