//! What frames and results are made of.

use super::{wire_enum, wire_mask};

wire_enum! {
    /// How a frame relates to its neighbours.
    pub enum FrameClass: u8 {
        /// Later frames may depend on it.
        Keyframe = 0 "KEYFRAME",
        /// An ordinary frame.
        Delta = 1 "DELTA",
        /// Repeats an earlier frame under a new id.
        Retransmit = 2 "RETRANSMIT",
        /// May be dropped.
        Discardable = 3 "DISCARDABLE",
    }
}

wire_enum! {
    /// What the tensors of a submit are a picture of.
    pub enum InputProfile: u8 {
        /// Not stated.
        Unspecified = 0 "UNSPECIFIED",
        /// Luma of the tiles that changed.
        ChangedTilesLuma = 1 "CHANGED_TILES_LUMA",
        /// Luma of the whole frame.
        DenseLumaFrame = 2 "DENSE_LUMA_FRAME",
    }
}

wire_enum! {
    /// How the ids of a frame's tiles are written.
    pub enum TileIndexMode: u8 {
        /// Consecutive ids from a base; no bytes.
        DenseRange = 0 "DENSE_RANGE",
        /// One u16 per tile, any order.
        RawU16 = 1 "RAW_U16",
        /// One u16 per tile: the first id, then differences.
        DeltaU16 = 2 "DELTA_U16",
        /// One bit per possible id.
        Bitset = 3 "BITSET",
    }
}

wire_enum! {
    /// Where the low-frequency objects of a submit are.
    pub enum SubmitMode: u8 {
        /// All in the body.
        Inline = 0 "INLINE",
        /// All referenced from the cache.
        Reference = 1 "REFERENCE",
        /// Some referenced, the others in the body.
        Mixed = 2 "MIXED",
    }
}

wire_enum! {
    /// How complete a result is.
    pub enum ResultClass: u8 {
        /// Everything that was asked for.
        Complete = 0 "COMPLETE",
        /// Some tiles are missing.
        Partial = 1 "PARTIAL",
        /// The content of an earlier frame.
        StaleReuse = 2 "STALE_REUSE",
        /// Complete, at lower quality.
        Degraded = 3 "DEGRADED",
    }
}

wire_enum! {
    /// Number format of tensor elements.
    pub enum TensorDType: u8 {
        /// IEEE 754 half precision.
        Fp16 = 0 "FP16",
        /// IEEE 754 single precision.
        Fp32 = 1 "FP32",
        /// 8 bits, 4 of them exponent.
        Fp8E4m3 = 2 "FP8_E4M3",
        /// 8 bits, 5 of them exponent.
        Fp8E5m2 = 3 "FP8_E5M2",
        /// Signed byte.
        Int8 = 4 "INT8",
        /// Unsigned byte.
        Uint8 = 5 "UINT8",
        /// Signed 16-bit integer.
        Int16 = 6 "INT16",
        /// Unsigned 16-bit integer.
        Uint16 = 7 "UINT16",
    }
}

wire_enum! {
    /// Order of tensor axes.
    pub enum TensorLayout: u8 {
        /// Batch, height, width, channel.
        Nhwc = 0 "NHWC",
        /// Batch, channel, height, width.
        Nchw = 1 "NCHW",
    }
}

wire_enum! {
    /// How integers of a section become real numbers.
    pub enum ScalePolicy: u8 {
        /// As they are.
        None = 0 "NONE",
        /// Multiplied by a scale.
        Linear = 1 "LINEAR",
        /// Shifted by a zero point and scaled.
        ZeroPoint = 2 "ZERO_POINT",
    }
}

wire_mask! {
    /// Kinds of payload. A descriptor carries exactly one bit, a bitmap any number.
    pub mask PayloadKind: u32 {
        /// Tensor sections.
        TENSOR = 0x01,
        /// A piece of generated text or tokens.
        TOKEN_CHUNK = 0x02,
        /// A piece of sound.
        AUDIO_CHUNK = 0x04,
        /// A piece of video.
        VIDEO_CHUNK = 0x08,
        /// An event with a structure the application knows.
        STRUCTURED_EVENT = 0x10,
        /// A step of a tool call.
        TOOL_DELTA = 0x20,
        /// Bytes without a stated meaning.
        OPAQUE_BYTES = 0x40,
    }
}

wire_mask! {
    /// What a client takes instead of a complete result, and what a server made use of.
    pub mask BudgetPolicy: u8 {
        /// A part of the tiles.
        ALLOW_PARTIAL = 0x01,
        /// The content of an earlier frame.
        ALLOW_STALE_REUSE = 0x02,
        /// Lower quality.
        ALLOW_DEGRADED = 0x04,
        /// No result at all.
        ALLOW_DROP = 0x08,
    }
}

wire_mask! {
    /// Which standard slots of a submit are filled by reference.
    pub mask ObjectRefMask: u32 {
        /// The camera block.
        CAMERA_BLOCK = 0x0000_0001,
        /// The tile index.
        TILE_INDEX_BLOCK = 0x0000_0002,
        /// The table of tensor sections.
        TENSOR_SECTION_TABLE = 0x0000_0004,
        /// The payload layout template.
        PAYLOAD_LAYOUT_TEMPLATE = 0x0000_0008,
    }
}

wire_mask! {
    /// Properties of a result.
    pub mask ResultFlags: u16 {
        /// Content of an earlier frame.
        STALE = 0x0001,
        /// Made by a fallback.
        FALLBACK = 0x0002,
        /// Some tiles are missing.
        PARTIAL = 0x0004,
    }
}

wire_mask! {
    /// How a tensor section stores its tiles.
    pub mask SectionFlags: u16 {
        /// A codec table names the codec of each tile.
        MIXED_CODEC = 0x0001,
        /// Every tile has a slot of the same size.
        FIXED_STRIDE = 0x0002,
    }
}

wire_mask! {
    /// Properties of an extension frame.
    pub mask ExtensionFrameFlags: u16 {
        /// Refuse the body when the kind is not known.
        CRITICAL = 0x0001,
    }
}
