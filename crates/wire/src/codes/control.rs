//! What control messages say.

use super::{wire_enum, wire_mask};

wire_enum! {
    /// A transport binding.
    pub enum TransportId: u32 {
        /// Not stated.
        Unspecified = 0 "UNSPECIFIED",
        /// QUIC.
        Quic = 1 "QUIC",
        /// TCP, plain or with TLS.
        Tcp = 2 "TCP",
    }
}

wire_enum! {
    /// Which binding a client wants.
    pub enum TransportPolicy: u8 {
        /// No preference.
        Auto = 0 "AUTO",
        /// QUIC rather than TCP.
        PreferQuic = 1 "PREFER_QUIC",
        /// TCP rather than QUIC.
        PreferTcp = 2 "PREFER_TCP",
        /// QUIC or nothing.
        ForceQuic = 3 "FORCE_QUIC",
        /// TCP or nothing.
        ForceTcp = 4 "FORCE_TCP",
    }
}

wire_enum! {
    /// When a server may drop a result. Larger numbers tolerate more loss.
    pub enum LossTolerance: u8 {
        /// Only past the deadline.
        Strict = 0 "STRICT",
        /// When the deadline has passed.
        BestEffort = 1 "BEST_EFFORT",
        /// As soon as the path is slow compared with the deadline.
        LowLatency = 2 "LOW_LATENCY",
        /// Sent once, never waited for.
        FireAndForget = 3 "FIRE_AND_FORGET",
    }
}

wire_enum! {
    /// What a server should give up first.
    pub enum DegradePolicy: u16 {
        /// The server decides.
        ServerDefault = 0 "SERVER_DEFAULT",
        /// Latency before quality.
        PreferQuality = 1 "PREFER_QUALITY",
        /// Quality before latency.
        PreferLatency = 2 "PREFER_LATENCY",
        /// Any fallback is welcome.
        AllowAggressiveFallback = 3 "ALLOW_AGGRESSIVE_FALLBACK",
    }
}

wire_enum! {
    /// Outcome of a session patch.
    pub enum SessionPatchAckStatus: u16 {
        /// Everything is in force.
        Accepted = 0 "ACCEPTED",
        /// Some fields are in force.
        PartiallyApplied = 1 "PARTIALLY_APPLIED",
        /// Nothing changed.
        Rejected = 2 "REJECTED",
    }
}

wire_enum! {
    /// Why a session patch, or a part of it, was refused.
    pub enum SessionPatchRejectReason: u16 {
        /// Nothing was refused.
        None = 0 "NONE",
        /// A field that is not known or must not change.
        UnsupportedField = 1 "UNSUPPORTED_FIELD",
        /// A number outside its range.
        InvalidRange = 2 "INVALID_RANGE",
        /// A codec, compression or policy that is not supported.
        UnsupportedStrategy = 3 "UNSUPPORTED_STRATEGY",
        /// No lane, or a lane that does not exist.
        InvalidLaneMask = 4 "INVALID_LANE_MASK",
        /// Too many patches, or busy.
        RateLimited = 5 "RATE_LIMITED",
    }
    aliases { "INVALID_VIEW_MASK" = 4, }
}

wire_enum! {
    /// What a flow update is about.
    pub enum FlowUpdateScopeKind: u8 {
        /// The connection.
        Connection = 0 "CONNECTION",
        /// The session.
        Session = 1 "SESSION",
        /// One piece of work.
        Operation = 2 "OPERATION",
    }
}

wire_enum! {
    /// Why credit changed.
    pub enum FlowUpdateReason: u8 {
        /// Credit is given.
        Grant = 0 "GRANT",
        /// Credit shrinks.
        Reduce = 1 "REDUCE",
        /// Submit nothing new.
        Pause = 2 "PAUSE",
        /// A pause ends.
        Resume = 3 "RESUME",
        /// The path or the server is congested.
        Congestion = 4 "CONGESTION",
    }
}

wire_enum! {
    /// How strongly a server asks for less.
    pub enum FlowUpdateBackpressureLevel: u8 {
        /// Not at all.
        None = 0 "NONE",
        /// Slow down.
        Soft = 1 "SOFT",
        /// Submit nothing new.
        Hard = 2 "HARD",
    }
}

wire_enum! {
    /// What a server did with a budget, as told in a hint. Unrelated to the mask [`super::BudgetPolicy`].
    pub enum ResultHintBudgetPolicy: u32 {
        /// Not stated.
        None = 0 "NONE",
        /// A complete result.
        Full = 1 "FULL",
        /// A partial result.
        Partial = 2 "PARTIAL",
        /// Older content.
        StaleReuse = 3 "STALE_REUSE",
        /// No result.
        Drop = 4 "DROP",
    }
}

wire_enum! {
    /// How loaded a server is.
    pub enum ResultHintCongestionState: u32 {
        /// Not stated.
        None = 0 "NONE",
        /// No congestion.
        Steady = 1 "STEADY",
        /// Getting full.
        Elevated = 2 "ELEVATED",
        /// Full.
        Saturated = 3 "SATURATED",
    }
}

wire_enum! {
    /// Why a hint was sent.
    pub enum ResultHintReason: u32 {
        /// Not stated.
        None = 0 "NONE",
        /// The queue of frames is full.
        QueueFull = 1 "QUEUE_FULL",
        /// The server is busy.
        ServerBusy = 2 "SERVER_BUSY",
        /// The frame's budget ran out.
        BudgetExceeded = 3 "BUDGET_EXCEEDED",
        /// A newer frame took its place.
        Superseded = 4 "SUPERSEDED",
    }
}

wire_enum! {
    /// What a cached or inline object is. u16 in bodies, u32 in CACHE_PUT.
    pub enum CacheObjectKind: u32 {
        /// A camera block.
        CameraBlock = 0x0001 "CAMERA_BLOCK",
        /// A tile index.
        TileIndexBlock = 0x0002 "TILE_INDEX_BLOCK",
        /// All tensor sections of a body.
        TensorSectionTable = 0x0003 "TENSOR_SECTION_TABLE",
        /// A codec table.
        CodecTable = 0x0004 "CODEC_TABLE",
        /// A result that may be used again.
        ReusableResultObject = 0x0005 "REUSABLE_RESULT_OBJECT",
        /// A payload layout template.
        PayloadLayoutTemplate = 0x0006 "PAYLOAD_LAYOUT_TEMPLATE",
        /// A part of a prompt.
        PromptSegment = 0x0007 "PROMPT_SEGMENT",
        /// The schema of a tool.
        ToolSchema = 0x0008 "TOOL_SCHEMA",
        /// The schema of a structured event.
        StructuredEventSchema = 0x0009 "STRUCTURED_EVENT_SCHEMA",
    }
    aliases {
        "TILE_INDEX_TEMPLATE" = 0x0002,
        "CODEC_AUX_BLOCK" = 0x0004,
        "FALLBACK_RESOURCE" = 0x0005,
    }
}

wire_enum! {
    /// Answer to CACHE_PUT.
    pub enum CacheAckStatus: u32 {
        /// Installed.
        Accepted = 0 "ACCEPTED",
        /// Not installed.
        Rejected = 1 "REJECTED",
        /// Installed in place of an older object.
        Replaced = 2 "REPLACED",
    }
}

wire_enum! {
    /// What CACHE_INVALIDATE removes.
    pub enum CacheInvalidateScope: u32 {
        /// Every object.
        WholeSession = 0 "WHOLE_SESSION",
        /// The objects of one namespace.
        Namespace = 1 "NAMESPACE",
        /// The objects of one kind in one namespace.
        ObjectKind = 2 "OBJECT_KIND",
        /// One object.
        ObjectKey = 3 "OBJECT_KEY",
    }
    aliases { "ENTRY" = 3, "SESSION" = 0, }
}

wire_mask! {
    /// Properties of a control extension. Bits without a meaning are ignored.
    pub mask ControlExtensionFlags: u16 {
        /// Refuse the message when the type is not known.
        CRITICAL = 0x0001,
    }
}

wire_mask! {
    /// What a server offers. Bits without a meaning are ignored.
    pub mask ServerFlags: u32 {
        /// Objects may be installed.
        CACHE_ENABLED = 0x0000_0001,
        /// A migrated session keeps its cache.
        SESSION_RESUME_SUPPORTED = 0x0000_0002,
        /// Shapes beyond the clamp need a profile patch first.
        PROFILE_PATCH_REQUIRED_FOR_SHAPE_CLAMP = 0x0000_0004,
    }
}

wire_mask! {
    /// The fields of a session patch.
    pub mask SessionPatchField: u32 {
        /// `target_cadence_x100`.
        TARGET_CADENCE = 0x0000_0001,
        /// `quality_tier`.
        QUALITY_TIER = 0x0000_0002,
        /// `degrade_policy`.
        DEGRADE_POLICY = 0x0000_0004,
        /// `active_lane_mask`.
        ACTIVE_LANE_MASK = 0x0000_0008,
        /// `preferred_codec_bitmap`.
        PREFERRED_CODEC = 0x0000_0010,
        /// `preferred_compression_bitmap`.
        PREFERRED_COMPRESSION = 0x0000_0020,
        /// The profile patch block.
        PROFILE_PATCH = 0x0000_0040,
    }
    aliases { "TARGET_FPS" = 0x01, "ACTIVE_VIEW_MASK" = 0x08, }
}

wire_mask! {
    /// What the numbers of a flow update mean.
    pub mask FlowUpdateFlags: u32 {
        /// The credit of the scope replaces the old one.
        CREDIT_VALID = 0x0000_0001,
        /// `retry_after_ms` holds.
        RETRY_AFTER_VALID = 0x0000_0002,
        /// Only discardable frames.
        BACKGROUND_ONLY = 0x0000_0004,
        /// Nothing new; what runs may finish.
        DRAIN_IN_FLIGHT_ONLY = 0x0000_0008,
    }
}

wire_mask! {
    /// How an object is kept.
    pub mask CachePutFlags: u32 {
        /// Not evicted to make room.
        PINNED = 0x0000_0001,
        /// Needed more than once.
        REUSABLE = 0x0000_0002,
    }
}
