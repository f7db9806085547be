//! CLIENT_HELLO and SERVER_HELLO_ACK.

use crate::field::wire_struct;

wire_struct! {
    /// What a client can do and wants.
    pub struct ClientHelloMetadata: 64, length PKT_1, of ClientHello {
        /// Lowest acceptable major version.
        0 min_version_major: u8;
        /// Highest acceptable major version.
        1 max_version_major: u8;
        /// Bit n stands for wire format n.
        2 supported_wire_format_bitmap: u16;
        /// Bit 0 stands for the tensor profile.
        4 supported_profile_bitmap: u32;
        /// Payload kinds the client declares. Often understated, see extension 0x0105.
        8 supported_payload_kind_bitmap: u32 as PayloadKind => HELLO_5;
        /// Bit n stands for codec id n.
        12 supported_codec_bitmap: u32;
        /// Bit 0 none, bit 1 LZ4 by usage.
        16 supported_compression_bitmap: u32;
        /// Bit n stands for dtype id n.
        20 supported_dtype_bitmap: u32;
        /// Bit n stands for layout id n.
        24 supported_layout_bitmap: u32;
        /// Without a published meaning.
        28 cache_digest_bitmap: u16;
        /// Object kinds the client can cache, bit kind - 1; 0 for no cache.
        30 cache_object_bitmap: u16;
        /// Cache namespaces the client supports.
        32 cache_namespace_count: u16;
        /// Lanes (views), at least 1.
        34 max_lane_count: u16;
        /// Objects the client will hold.
        36 max_cache_entries: u32;
        /// Bytes the client will hold.
        40 max_cache_bytes: u32;
        /// Wanted frames per second, times 100.
        44 target_cadence_x100: u16;
        /// Wanted latency in milliseconds; a preference, never a deadline.
        46 latency_budget_ms: u16;
        /// Wanted quality, larger is better.
        48 quality_tier: u16;
        /// What to give up first; an unassigned value counts as the server's default.
        50 degrade_policy: u16 as DegradePolicy;
        /// Wanted session id; 0 lets the server choose.
        52 requested_session_id: u32;
        /// Length of the auth block in the body.
        56 auth_bytes: u32;
        /// Length of the extension block in the body.
        60 control_extension_bytes: u32;
    }
}

wire_struct! {
    /// What was agreed.
    pub struct ServerHelloAckMetadata: 80, length PKT_1, of ServerHelloAck {
        /// The major version in use.
        0 selected_version_major: u8;
        /// The wire format in use.
        1 selected_wire_format: u8;
        /// 0 accepted, anything else refused.
        2 auth_status: u8;
        /// Reserved.
        3 reserved0: u8 [rsv];
        /// The session's id.
        4 session_id: u32;
        /// Profiles both sides know.
        8 accepted_profile_bitmap: u32;
        /// Payload kinds the server takes.
        12 accepted_payload_kind_bitmap: u32 as PayloadKind;
        /// Codecs both sides know.
        16 accepted_codec_bitmap: u32;
        /// Compressions both sides know.
        20 accepted_compression_bitmap: u32;
        /// Number formats both sides know.
        24 accepted_dtype_bitmap: u32;
        /// Axis orders both sides know.
        28 accepted_layout_bitmap: u32;
        /// Without a published meaning.
        32 cache_digest_bitmap: u32;
        /// Object kinds the server caches, bit kind - 1.
        36 cache_object_bitmap: u32;
        /// Objects the server will hold.
        40 max_cache_entries: u32;
        /// Bytes the server will hold.
        44 max_cache_bytes: u32;
        /// Lanes (views) the server allows.
        48 max_lane_count: u16;
        /// Initial credit.
        50 max_concurrent_frames: u16;
        /// Accepted frames per second, times 100; 0 for not stated.
        52 target_cadence_x100: u16;
        /// Accepted latency in milliseconds; 0 for not stated.
        54 latency_budget_ms: u16;
        /// Accepted quality.
        56 quality_tier: u16;
        /// Accepted policy.
        58 degrade_policy: u16 as DegradePolicy;
        /// Largest body the server takes; 0 for not stated.
        60 max_body_bytes: u32;
        /// How long the authentication lasts in milliseconds; 0 for not stated.
        64 token_ttl_ms: u32;
        /// When to try again after a refusal, in milliseconds.
        68 retry_after_ms: u32;
        /// Length of the extension block at the start of the body.
        72 control_extension_bytes: u32;
        /// What the server offers.
        76 server_flags: u32 as ServerFlags;
    }
}
