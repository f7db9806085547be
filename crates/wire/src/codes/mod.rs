//! Every number of the protocol that has a name, as tables.
//!
//! Each enumeration and mask is written once, as rows of value, name and meaning. From the rows come the Rust type,
//! its text, the checks of unassigned values and the Python classes of the same name; that is why this is a macro.
//!
//! An unassigned value is kept (`Unknown(n)`, or the bits of a mask) so that it can be printed and refused by name.
//! Whether it *is* refused is decided by the table of the field that carries it, see [`crate::meta`].

mod control;
mod frame;
mod identity;

pub use control::*;
pub use frame::*;
pub use identity::*;

/// One named value of an enumeration or one named bit of a mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeRow {
    /// The name in the protocol's own spelling, for example `FRAME_SUBMIT`.
    pub name: &'static str,
    /// The value, or the bit of a mask (the mask value, not the bit's number).
    pub value: u64,
    /// What it means.
    pub doc: &'static str,
}

/// What the tables of one enumeration or mask say, for generators and for error texts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeTable {
    /// Name of the type, the same in Rust and Python.
    pub name: &'static str,
    /// `true` for a mask, `false` for an enumeration.
    pub is_mask: bool,
    /// What the type is for.
    pub doc: &'static str,
    /// The assigned values in ascending order.
    pub rows: &'static [CodeRow],
    /// Second names of assigned values, which the Python enumerations keep for older programs.
    pub aliases: &'static [(&'static str, u64)],
}

/// An enumeration's table.
pub type EnumTable = CodeTable;
/// A mask's table.
pub type MaskTable = CodeTable;

macro_rules! wire_enum {
    (
        $(#[doc = $doc:literal])+
        pub enum $Name:ident: $int:ident {
            $( $(#[doc = $row_doc:literal])+ $Variant:ident = $value:literal $name:literal, )+
        }
        $( aliases { $( $alias:literal = $alias_value:literal, )+ } )?
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum $Name {
            $( $(#[doc = $row_doc])+ $Variant, )+
            /// A value without a meaning in this generation.
            Unknown($int),
        }

        impl $Name {
            /// Name, value and meaning of every assigned value.
            pub const TABLE: &'static [(&'static str, $int, &'static str)] =
                &[ $( ($name, $value, concat!($($row_doc),+).trim_ascii()), )+ ];

            /// The same table in the form the generators read.
            pub const SPEC: &'static $crate::codes::EnumTable = &$crate::codes::CodeTable {
                name: stringify!($Name),
                is_mask: false,
                doc: concat!($($doc),+).trim_ascii(),
                rows: &[ $( $crate::codes::CodeRow {
                    name: $name, value: $value, doc: concat!($($row_doc),+).trim_ascii(),
                }, )+ ],
                aliases: &[ $( $( ($alias, $alias_value), )+ )? ],
            };

            /// The number on the wire.
            pub const fn value(self) -> $int {
                match self { $( Self::$Variant => $value, )+ Self::Unknown(value) => value }
            }

            /// The protocol's name, or `None` for an unassigned value.
            pub const fn name(self) -> Option<&'static str> {
                match self { $( Self::$Variant => Some($name), )+ Self::Unknown(_) => None }
            }

            /// Whether the protocol gives the value a meaning.
            pub const fn is_assigned(self) -> bool {
                !matches!(self, Self::Unknown(_))
            }
        }

        impl From<$int> for $Name {
            fn from(value: $int) -> Self {
                match value { $( $value => Self::$Variant, )+ other => Self::Unknown(other) }
            }
        }

        impl From<$Name> for $int {
            fn from(value: $Name) -> $int { value.value() }
        }

        impl Default for $Name {
            fn default() -> Self { Self::from(0) }
        }

        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                match self.name() {
                    Some(name) => f.write_str(name),
                    None => write!(f, "{:#x}", self.value()),
                }
            }
        }

        impl std::fmt::Debug for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        impl $crate::field::Code for $Name {
            const KIND: $crate::field::FieldKind = $crate::field::FieldKind::Enum($Name::SPEC);
            fn from_number(number: u64) -> Self {
                $int::try_from(number).map_or(Self::Unknown($int::MAX), Self::from)
            }
            fn number(self) -> u64 { u64::from(self.value()) }
            fn refusal(self) -> Option<$crate::error::Detail> {
                match self {
                    Self::Unknown(value) => Some($crate::error::Detail::NotAssigned {
                        table: stringify!($Name),
                        value: u64::from(value),
                    }),
                    _ => None,
                }
            }
        }
    };
}

macro_rules! wire_mask {
    (
        $(#[doc = $doc:literal])+
        pub mask $Name:ident: $int:ident {
            $( $(#[doc = $row_doc:literal])+ $BIT:ident = $value:literal, )+
        }
        $( aliases { $( $alias:literal = $alias_value:literal, )+ } )?
    ) => {
        $(#[doc = $doc])+
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $Name($int);

        impl $Name {
            /// No bit set.
            pub const NONE: Self = Self(0);
            $( $(#[doc = $row_doc])+ pub const $BIT: Self = Self($value); )+
            /// Every bit with a meaning.
            pub const KNOWN: Self = Self(0 $( | $value )+);

            /// Name, bit and meaning of every assigned bit.
            pub const TABLE: &'static [(&'static str, $int, &'static str)] =
                &[ $( (stringify!($BIT), $value, concat!($($row_doc),+).trim_ascii()), )+ ];

            /// The same table in the form the generators read.
            pub const SPEC: &'static $crate::codes::MaskTable = &$crate::codes::CodeTable {
                name: stringify!($Name),
                is_mask: true,
                doc: concat!($($doc),+).trim_ascii(),
                rows: &[ $( $crate::codes::CodeRow {
                    name: stringify!($BIT), value: $value, doc: concat!($($row_doc),+).trim_ascii(),
                }, )+ ],
                aliases: &[ $( $( ($alias, $alias_value), )+ )? ],
            };

            /// The mask with exactly these bits, those without a meaning included.
            pub const fn from_bits(bits: $int) -> Self { Self(bits) }
            /// All bits, those without a meaning included.
            pub const fn bits(self) -> $int { self.0 }
            /// The bits without a meaning.
            pub const fn unknown_bits(self) -> $int { self.0 & !Self::KNOWN.0 }
            /// Whether no bit is set.
            pub const fn is_empty(self) -> bool { self.0 == 0 }
            /// Whether every bit of `other` is set here.
            pub const fn contains(self, other: Self) -> bool { self.0 & other.0 == other.0 }
            /// Whether any bit of `other` is set here.
            pub const fn intersects(self, other: Self) -> bool { self.0 & other.0 != 0 }
            /// The bits of `self` that `other` does not have.
            #[must_use]
            pub const fn without(self, other: Self) -> Self { Self(self.0 & !other.0) }
        }

        impl From<$int> for $Name {
            fn from(bits: $int) -> Self { Self(bits) }
        }
        impl From<$Name> for $int {
            fn from(mask: $Name) -> $int { mask.0 }
        }
        impl std::ops::BitOr for $Name {
            type Output = Self;
            fn bitor(self, other: Self) -> Self { Self(self.0 | other.0) }
        }
        impl std::ops::BitOrAssign for $Name {
            fn bitor_assign(&mut self, other: Self) { self.0 |= other.0; }
        }
        impl std::ops::BitAnd for $Name {
            type Output = Self;
            fn bitand(self, other: Self) -> Self { Self(self.0 & other.0) }
        }

        impl std::fmt::Display for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                $crate::codes::write_bits(f, Self::SPEC, u64::from(self.0))
            }
        }

        impl std::fmt::Debug for $Name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                std::fmt::Display::fmt(self, f)
            }
        }

        impl $crate::field::Code for $Name {
            const KIND: $crate::field::FieldKind = $crate::field::FieldKind::Mask($Name::SPEC);
            fn from_number(number: u64) -> Self {
                Self($int::try_from(number).unwrap_or($int::MAX))
            }
            fn number(self) -> u64 { u64::from(self.0) }
            fn refusal(self) -> Option<$crate::error::Detail> {
                match self.unknown_bits() {
                    0 => None,
                    bits => Some($crate::error::Detail::UnknownBits(u64::from(bits))),
                }
            }
        }
    };
}

pub(crate) use {wire_enum, wire_mask};

/// Writes `A|B|0x80`, or `NONE` for an empty mask.
fn write_bits(f: &mut std::fmt::Formatter<'_>, table: &MaskTable, bits: u64) -> std::fmt::Result {
    if bits == 0 {
        return f.write_str("NONE");
    }
    let mut rest = bits;
    let mut separator = "";
    for row in table.rows.iter().filter(|row| bits & row.value != 0) {
        write!(f, "{separator}{}", row.name)?;
        separator = "|";
        rest &= !row.value;
    }
    if rest != 0 {
        write!(f, "{separator}{rest:#x}")?;
    }
    Ok(())
}

/// Every enumeration, for generators and tests.
pub static ENUMS: &[&EnumTable] = &[
    WireFormat::SPEC,
    MessageType::SPEC,
    ErrorCode::SPEC,
    ErrorScope::SPEC,
    TransportId::SPEC,
    TransportPolicy::SPEC,
    LossTolerance::SPEC,
    DegradePolicy::SPEC,
    SessionPatchAckStatus::SPEC,
    SessionPatchRejectReason::SPEC,
    FlowUpdateScopeKind::SPEC,
    FlowUpdateReason::SPEC,
    FlowUpdateBackpressureLevel::SPEC,
    ResultHintBudgetPolicy::SPEC,
    ResultHintCongestionState::SPEC,
    ResultHintReason::SPEC,
    CacheObjectKind::SPEC,
    CacheAckStatus::SPEC,
    CacheInvalidateScope::SPEC,
    FrameClass::SPEC,
    InputProfile::SPEC,
    TileIndexMode::SPEC,
    SubmitMode::SPEC,
    ResultClass::SPEC,
    TensorDType::SPEC,
    TensorLayout::SPEC,
    ScalePolicy::SPEC,
];

/// Every mask, for generators and tests.
pub static MASKS: &[&MaskTable] = &[
    HeaderFlags::SPEC,
    ControlExtensionFlags::SPEC,
    ServerFlags::SPEC,
    SessionPatchField::SPEC,
    FlowUpdateFlags::SPEC,
    CachePutFlags::SPEC,
    PayloadKind::SPEC,
    BudgetPolicy::SPEC,
    ObjectRefMask::SPEC,
    ResultFlags::SPEC,
    SectionFlags::SPEC,
    ExtensionFrameFlags::SPEC,
];
