//! The rules of the protocol, as one table.
//!
//! A rule says what is refused (or, for the lenient ones, what is tolerated), with which error code, and how much of the
//! connection it ends. Ids are never reused. This crate enforces the rules of layer [`Layer::Codec`] and the limits that
//! its caller hands in; the session enforces the others and finds their answers here.

use std::fmt;

use crate::{ErrorCode, MessageType};

/// What a receiver does when a rule is broken while a session is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Send ERROR for the connection, accept nothing more, close.
    Fatal,
    /// Send ERROR for the session and drop the message; the session goes on.
    Session,
    /// Send ERROR for the frame and end it; everything else goes on.
    Frame,
    /// Send the acknowledgement that the message asks for, with a refusal in it.
    Refuse,
    /// Nothing on the wire; the local caller gets the error.
    Local,
    /// Discard and count.
    Ignore,
    /// Nothing is wrong; the rule says how to read it.
    Accept,
}

impl Answer {
    /// The answer while the handshake is not finished: whatever would end a frame or a request ends the connection.
    #[must_use]
    pub const fn before_active(self) -> Self {
        match self {
            Self::Session | Self::Frame => Self::Fatal,
            other => other,
        }
    }
}

/// Who can judge a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    /// The packet alone is enough.
    Codec,
    /// It takes the state of the session, a clock, or a limit.
    Session,
}

/// One row of [`RULES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The id in the protocol's spelling, for example `R-HDR-1`.
    pub id: &'static str,
    /// The same id as a value.
    pub rule: RuleId,
    /// Who judges it.
    pub layer: Layer,
    /// The code that goes on the wire, if one does; of a rule that is usually lenient, the code when the application asks to
    /// refuse.
    pub code: Option<ErrorCode>,
    /// The usual answer; [`RuleId::answer`] knows the messages for which it is another one.
    pub answer: Answer,
    /// What is refused or tolerated.
    pub summary: &'static str,
}

macro_rules! rules {
    ($( $id:ident $text:literal $layer:ident $code:ident $answer:ident $summary:literal; )+) => {
        /// Identifies a rule of the protocol: `RuleId::HDR_1` is the rule `R-HDR-1`.
        #[allow(non_camel_case_types, reason = "the protocol's own ids")]
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum RuleId { $( #[doc = $summary] $id, )+ }

        /// Every rule, in the order of [`RuleId`].
        pub static RULES: &[Rule] = &[ $( Rule {
            id: $text,
            rule: RuleId::$id,
            layer: Layer::$layer,
            code: rules!(@code $code),
            answer: Answer::$answer,
            summary: $summary,
        }, )+ ];

        impl RuleId {
            /// The rule's row.
            pub const fn rule(self) -> Rule {
                match self { $( Self::$id => Rule {
                    id: $text,
                    rule: RuleId::$id,
                    layer: Layer::$layer,
                    code: rules!(@code $code),
                    answer: Answer::$answer,
                    summary: $summary,
                }, )+ }
            }
        }
    };
    (@code none) => { None };
    (@code $code:ident) => { Some(ErrorCode::$code) };
}

impl RuleId {
    /// The id in the protocol's spelling.
    pub const fn as_str(self) -> &'static str {
        self.rule().id
    }

    /// The code that goes on the wire when the rule is broken, if one does.
    pub const fn code(self) -> Option<ErrorCode> {
        self.rule().code
    }

    /// The answer when `message` breaks the rule while a session is active.
    pub fn answer(self, message: Option<MessageType>) -> Answer {
        use MessageType as M;
        match (self, message) {
            (Self::PKT_1, Some(M::FrameSubmit | M::ResultPush)) => Answer::Frame,
            (Self::PKT_2, Some(M::FrameSubmit | M::FrameCancel | M::ResultPush | M::ResultDrop)) => {
                Answer::Frame
            }
            (Self::HDR_6 | Self::STATE_3, Some(M::FrameSubmit)) => Answer::Frame,
            (Self::HDR_6, Some(M::ResultPush | M::ResultDrop)) => Answer::Ignore,
            (
                Self::EXT_1 | Self::EXT_2 | Self::EXT_3 | Self::LIM_13,
                Some(M::ClientHello | M::ServerHelloAck),
            ) => Answer::Fatal,
            (Self::LIM_1, Some(M::CachePut)) => Answer::Refuse,
            _ => self.rule().answer,
        }
    }
}

impl fmt::Display for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RuleId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

rules! {
    HDR_1 "R-HDR-1" Codec MalformedHeader Fatal "the magic is not NNRP";
    HDR_2 "R-HDR-2" Codec UnsupportedVersion Fatal "version_major is not 1";
    HDR_3 "R-HDR-3" Codec UnsupportedVersion Fatal "wire_format is not 0";
    HDR_4 "R-HDR-4" Codec UnsupportedCapability Session "the message type is not assigned; its bytes are skipped";
    HDR_5 "R-HDR-5" Codec MalformedHeader Fatal "header_len is not 40";
    HDR_6 "R-HDR-6" Session InvalidState Session "the session id is not that of the connection";
    HDR_7 "R-HDR-7" Session none Accept "CAN_DROP on the result of a keyframe; the flag counts as clear";
    PKT_1 "R-PKT-1" Codec MalformedBody Session "meta_len is not the size of the message's metadata";
    PKT_2 "R-PKT-2" Codec MalformedBody Session "body_len is not possible for the message";
    PKT_3 "R-PKT-3" Codec none Local "the bytes are not exactly one packet where one was expected";
    QUIC_1 "R-QUIC-1" Session none Local "another application protocol was negotiated";
    QUIC_2 "R-QUIC-2" Session InvalidState Frame "FRAME_SUBMIT on the control stream";
    QUIC_3 "R-QUIC-3" Session none Accept "a result on the control stream";
    QUIC_4 "R-QUIC-4" Session none Accept "a control message on a stream made for frames";
    QUIC_5 "R-QUIC-5" Session MalformedHeader Fatal "a stream ends inside a header";
    QUIC_6 "R-QUIC-6" Session MalformedBody Frame "a stream ends inside a packet";
    QUIC_7 "R-QUIC-7" Session none Ignore "a submit or result stream is reset before its packet is complete";
    QUIC_8 "R-QUIC-8" Session none Ignore "a second bidirectional stream; it is reset, the connection stays";
    QUIC_9 "R-QUIC-9" Session none Accept "more than one packet on a unidirectional stream";
    QUIC_10 "R-QUIC-10" Session none Ignore "a datagram that is not exactly one FRAME_CANCEL, PING or PONG";
    TCP_1 "R-TCP-1" Session none Local "another application protocol was negotiated";
    TCP_2 "R-TCP-2" Session none Local "the stream ends inside a packet";
    TCP_3 "R-TCP-3" Session none Local "nothing was received for the idle timeout";
    HELLO_1 "R-HELLO-1" Session UnsupportedVersion Fatal "version 1 is not among those the client takes";
    HELLO_2 "R-HELLO-2" Session UnsupportedVersion Fatal "wire format 0 is not among those the client takes";
    HELLO_3 "R-HELLO-3" Codec MalformedBody Fatal "auth and extension lengths do not add up to the body";
    HELLO_4 "R-HELLO-4" Session AuthFailed Fatal "the auth block is refused";
    HELLO_5 "R-HELLO-5" Codec UnsupportedCapability Fatal "unknown payload kinds are declared";
    HELLO_6 "R-HELLO-6" Session InvalidState Session "a second CLIENT_HELLO";
    HELLO_7 "R-HELLO-7" Session none Local "CLIENT_HELLO is not complete in time";
    ACK_1 "R-ACK-1" Session UnsupportedVersion Fatal "the server chose a version or format that is not ours";
    ACK_2 "R-ACK-2" Session none Local "the server refuses the authentication";
    ACK_3 "R-ACK-3" Session InvalidState Fatal "the session id is 0 or not that of the header";
    ACK_4 "R-ACK-4" Session none Accept "no frame may be submitted yet; credit is 0 until a flow update";
    ACK_5 "R-ACK-5" Codec MalformedBody Fatal "the extension block is longer than the body";
    ACK_6 "R-ACK-6" Session InvalidState Fatal "the first answer is another message";
    ACK_7 "R-ACK-7" Session none Local "there is no answer in time";
    NEG_1 "R-NEG-1" Session UnsupportedCapability Fatal "no common profile";
    NEG_2 "R-NEG-2" Session UnsupportedCapability Frame "a payload kind that was not accepted";
    NEG_3 "R-NEG-3" Session none Accept "a result kind that the client did not declare";
    NEG_4 "R-NEG-4" Session LimitExceeded Accept "a view beyond the lane count; refused only on request";
    SUB_1 "R-SUB-1" Codec UnsupportedCapability Frame "frame_class is not assigned";
    SUB_2 "R-SUB-2" Codec UnsupportedCapability Frame "input_profile is not assigned";
    SUB_3 "R-SUB-3" Codec UnsupportedCapability Frame "tile_index_mode is not assigned";
    SUB_4 "R-SUB-4" Codec UnsupportedCapability Frame "submit_mode is not assigned";
    SUB_5 "R-SUB-5" Codec MalformedBody Frame "budget_policy has unknown bits";
    SUB_6 "R-SUB-6" Codec UnsupportedCapability Frame "loss_tolerance_policy is not assigned";
    SUB_7 "R-SUB-7" Codec MalformedBody Frame "object_ref_mask has unknown bits";
    SUB_8 "R-SUB-8" Codec UnsupportedCapability Frame "payload_kind_bitmap has unknown bits";
    SUB_9 "R-SUB-9" Codec MalformedBody Frame "a tensor field is set in a submit without tensors";
    SUB_10 "R-SUB-10" Session InvalidState Accept "the frame id is live already; refused only on request";
    SUB_11 "R-SUB-11" Session LimitExceeded Frame "no credit is left and credit is enforced";
    RES_1 "R-RES-1" Codec MalformedBody Frame "result_flags has unknown bits";
    RES_2 "R-RES-2" Codec MalformedBody Frame "result_class is not assigned";
    RES_3 "R-RES-3" Codec MalformedBody Frame "applied_budget_policy has unknown bits";
    RES_4 "R-RES-4" Codec UnsupportedCapability Frame "payload_kind_bitmap has unknown bits";
    RES_5 "R-RES-5" Codec MalformedBody Frame "a tensor field is set in a result without tensors";
    RES_6 "R-RES-6" Codec MalformedBody Frame "covered and dropped tiles do not add up";
    RES_7 "R-RES-7" Codec MalformedBody Frame "a partial result that drops nothing";
    RES_8 "R-RES-8" Session none Accept "the applied policy was not allowed; delivered and marked";
    RES_9 "R-RES-9" Session none Accept "stale reuse without the reused frame";
    RES_10 "R-RES-10" Session none Accept "a result for a frame that is not live; delivered";
    ERR_1 "R-ERR-1" Session none Accept "error_scope is not assigned; read as connection";
    ERR_2 "R-ERR-2" Session none Accept "the diagnostic is longer than the body; the whole body is text";
    ERR_3 "R-ERR-3" Session none Ignore "an error for a frame that is not live";
    ERR_4 "R-ERR-4" Session none Accept "bytes after the diagnostic that are no extension block";
    EXT_1 "R-EXT-1" Codec MalformedBody Session "an extension runs past the end of its block";
    EXT_2 "R-EXT-2" Codec MalformedBody Session "padding of an extension is not zero";
    EXT_3 "R-EXT-3" Codec UnsupportedCapability Session "an unknown extension is critical";
    EXT_4 "R-EXT-4" Codec none Accept "an unknown extension is not critical; skipped";
    EXT_5 "R-EXT-5" Codec MalformedBody Fatal "a known handshake extension appears twice";
    EXT_6 "R-EXT-6" Codec none Accept "a known extension in the wrong message counts as unknown";
    HX_1 "R-HX-1" Codec MalformedBody Fatal "the payload of a handshake extension is not 8 bytes";
    HX_2 "R-HX-2" Codec UnsupportedCapability Fatal "a transport policy or id is not assigned";
    HX_3 "R-HX-3" Codec UnsupportedCapability Fatal "a loss tolerance is not assigned, or reserved bytes are set";
    HX_4 "R-HX-4" Codec UnsupportedCapability Fatal "unknown payload kinds or critical extension frames are declared";
    MODEL_1 "R-MODEL-1" Session none Accept "the model name is not UTF-8; decoded with replacement";
    MODEL_2 "R-MODEL-2" Session none Local "the model name is too long; cut";
    PLAIN_1 "R-PLAIN-1" Codec MalformedBody Frame "camera block and tile index are longer than the body";
    PLAIN_2 "R-PLAIN-2" Codec MalformedBody Frame "padding is not zero";
    PLAIN_3 "R-PLAIN-3" Codec MalformedBody Frame "bytes are left over after the last part";
    BODY_1 "R-BODY-1" Codec MalformedBody Frame "the body is shorter than its prelude";
    BODY_2 "R-BODY-2" Codec MalformedBody Frame "body_flags or the reserved field of the prelude is set";
    BODY_3 "R-BODY-3" Codec MalformedBody Frame "the regions do not add up to the body";
    BODY_5 "R-BODY-5" Codec MalformedBody Frame "a region of 16-byte blocks has another size";
    BODY_6 "R-BODY-6" Codec MalformedBody Frame "the descriptors are not as many as the metadata says";
    BODY_7 "R-BODY-7" Codec MalformedBody Frame "payload bytes without a descriptor";
    TILE_1 "R-TILE-1" Codec MalformedBody Frame "a dense range has tile index bytes";
    TILE_2 "R-TILE-2" Codec MalformedBody Frame "the tile index is not two bytes per tile";
    TILE_3 "R-TILE-3" Codec MalformedBody Frame "the bitset does not have one bit per tile";
    TILE_4 "R-TILE-4" Codec MalformedBody Frame "a tile id is above 65535";
    TILE_5 "R-TILE-5" Codec MalformedBody Frame "tile ids do not increase";
    TILE_6 "R-TILE-6" Codec none Accept "a bitset ends with zero bytes";
    SEC_1 "R-SEC-1" Codec MalformedBody Frame "a section runs past the end of its region";
    SEC_2 "R-SEC-2" Codec MalformedBody Frame "the length table is not four bytes per tile";
    SEC_3 "R-SEC-3" Codec MalformedBody Frame "role ids do not increase";
    SEC_4 "R-SEC-4" Codec UnsupportedCapability Frame "dtype_id is not assigned";
    SEC_5 "R-SEC-5" Codec UnsupportedCapability Frame "layout_id is not assigned";
    SEC_6 "R-SEC-6" Codec UnsupportedCapability Frame "scale_policy is not assigned";
    SEC_7 "R-SEC-7" Codec UnsupportedCapability Frame "section flags have unknown bits";
    SEC_8 "R-SEC-8" Codec MalformedBody Frame "the codec table does not fit the mixed_codec flag";
    SEC_9 "R-SEC-9" Codec MalformedBody Frame "the tile lengths do not add up to the payload";
    SEC_10 "R-SEC-10" Codec MalformedBody Frame "the stride does not fit the fixed_stride flag";
    SEC_11 "R-SEC-11" Codec MalformedBody Frame "a tile is longer than its slot, or its slot is not padded with zeros";
    OBJ_1 "R-OBJ-1" Codec MalformedBody Frame "an inline object runs past its region, or its padding is not zero";
    OBJ_2 "R-OBJ-2" Codec UnsupportedCapability Frame "object_kind is not assigned";
    OBJ_3 "R-OBJ-3" Codec MalformedBody Frame "flags or reserved fields of an object are set";
    OBJ_10 "R-OBJ-10" Codec MalformedBody Frame "an inline submit has references";
    OBJ_11 "R-OBJ-11" Codec MalformedBody Frame "a submit by reference names no slot";
    OBJ_12 "R-OBJ-12" Codec MalformedBody Frame "a submit by reference has a standard slot inline";
    OBJ_13 "R-OBJ-13" Codec MalformedBody Frame "the references are not the masked slots in their order";
    OBJ_14 "R-OBJ-14" Codec MalformedBody Frame "a standard slot is filled twice";
    OBJ_15 "R-OBJ-15" Codec none Accept "inline standard slots out of order";
    OBJ_16 "R-OBJ-16" Codec none Accept "a mixed submit without an inline standard slot";
    OBJ_17 "R-OBJ-17" Codec none Accept "inline objects of other kinds";
    OBJ_18 "R-OBJ-18" Codec MalformedBody Frame "camera_bytes is not the size of the inline camera block";
    OBJ_19 "R-OBJ-19" Codec MalformedBody Frame "the inline tile index does not fit the metadata";
    OBJ_20 "R-OBJ-20" Codec MalformedBody Frame "tiles without a tile index block";
    OBJ_21 "R-OBJ-21" Codec MalformedBody Frame "tile_index_bytes is set for a referenced tile index";
    OBJ_22 "R-OBJ-22" Codec MalformedBody Frame "the section table does not hold the sections the metadata counts";
    OBJ_23 "R-OBJ-23" Codec MalformedBody Frame "sections without a section table";
    OBJ_24 "R-OBJ-24" Session CacheMiss Frame "a referenced object is not installed";
    OBJ_25 "R-OBJ-25" Session MalformedBody Frame "a referenced object does not fit the metadata";
    OBJ_26 "R-OBJ-26" Codec MalformedBody Frame "tensor objects in a submit without tensors";
    OBJ_30 "R-OBJ-30" Codec MalformedBody Frame "references of a result do not ascend";
    OBJ_31 "R-OBJ-31" Codec none Accept "inline objects of a result out of order";
    OBJ_32 "R-OBJ-32" Codec MalformedBody Frame "a tensor object of a result is there twice";
    OBJ_33 "R-OBJ-33" Codec MalformedBody Frame "the inline tile index of a result does not fit the metadata";
    OBJ_34 "R-OBJ-34" Codec MalformedBody Frame "a result with tiles but without a tile index block";
    OBJ_35 "R-OBJ-35" Codec MalformedBody Frame "tile_index_bytes is set for a referenced tile index";
    OBJ_36 "R-OBJ-36" Codec MalformedBody Frame "the section table of a result is missing or does not fit";
    OBJ_37 "R-OBJ-37" Session CacheMiss Frame "the client does not hold a referenced object";
    TYP_1 "R-TYP-1" Codec UnsupportedCapability Frame "payload_kind is not exactly one assigned bit";
    TYP_2 "R-TYP-2" Codec MalformedBody Frame "a tensor as a typed payload";
    TYP_3 "R-TYP-3" Codec MalformedBody Frame "flags or reserved field of a descriptor are set";
    TYP_4 "R-TYP-4" Codec MalformedBody Frame "a payload overlaps the one before or runs past its region";
    TYP_5 "R-TYP-5" Codec MalformedBody Frame "a payload kind that the metadata does not announce";
    TYP_6 "R-TYP-6" Codec none Accept "gaps between payloads";
    TYP_7 "R-TYP-7" Codec none Accept "an announced kind without a payload";
    XF_1 "R-XF-1" Codec MalformedBody Frame "extension_flags has unknown bits";
    XF_2 "R-XF-2" Codec MalformedBody Frame "the reserved field of a descriptor is set";
    XF_3 "R-XF-3" Codec MalformedBody Frame "an extension frame overlaps the one before or runs past its region";
    XF_4 "R-XF-4" Codec UnsupportedCapability Frame "an unknown extension frame is critical";
    XF_5 "R-XF-5" Codec none Accept "an unknown extension frame is not critical; skipped";
    STATE_1 "R-STATE-1" Session InvalidState Fatal "a message that is not allowed before a session is active";
    STATE_2 "R-STATE-2" Session InvalidState Session "a message in the wrong direction or out of place";
    STATE_3 "R-STATE-3" Session InvalidState Session "new work while draining";
    STATE_4 "R-STATE-4" Session none Accept "a probe during a session";
    LIFE_1 "R-LIFE-1" Session none Local "a partial result after which nothing comes; the frame counts as delivered";
    LIFE_2 "R-LIFE-2" Session none Local "the session ends before the frame";
    LIFE_3 "R-LIFE-3" Session FrameExpired Frame "no result within the budget, when frames expire";
    LIFE_4 "R-LIFE-4" Session none Ignore "a second RESULT_DROP";
    LIFE_5 "R-LIFE-5" Session none Accept "a result for a frame that is not live; sent";
    CAN_1 "R-CAN-1" Session none Ignore "a cancel for an unknown or finished frame";
    FLOW_1 "R-FLOW-1" Codec MalformedBody Session "scope, reason or level of a flow update is not assigned";
    FLOW_2 "R-FLOW-2" Codec MalformedBody Session "flow_flags has unknown bits";
    FLOW_3 "R-FLOW-3" Codec MalformedBody Session "a flow update carries numbers of another scope";
    FLOW_4 "R-FLOW-4" Codec MalformedBody Session "retry_after_ms without its flag";
    FLOW_5 "R-FLOW-5" Codec InvalidState Session "the header's session id does not fit the scope";
    FLOW_6 "R-FLOW-6" Session none Ignore "an epoch that is not newer";
    HINT_1 "R-HINT-1" Codec MalformedBody Session "a field of a hint is not assigned";
    LOSS_1 "R-LOSS-1" Session none Accept "fire_and_forget on a keyframe; read as best_effort";
    CACHE_1 "R-CACHE-1" Codec MalformedBody Refuse "object_bytes is not the size of the body";
    CACHE_2 "R-CACHE-2" Codec UnsupportedCapability Refuse "object_kind is not assigned or not accepted";
    CACHE_3 "R-CACHE-3" Codec MalformedBody Refuse "CACHE_PUT flags have unknown bits";
    CACHE_4 "R-CACHE-4" Session none Accept "a namespace beyond the announced count";
    CACHE_5 "R-CACHE-5" Session LimitExceeded Refuse "the object does not fit the cache";
    CACHE_6 "R-CACHE-6" Session UnsupportedCapability Refuse "caching is not enabled";
    CACHE_7 "R-CACHE-7" Session CacheMiss Frame "a reference to a key that is not installed";
    CACHE_8 "R-CACHE-8" Codec MalformedBody Session "CACHE_ACK status is not assigned";
    CACHE_9 "R-CACHE-9" Session none Ignore "an acknowledgement nobody waits for";
    CACHE_10 "R-CACHE-10" Session none Local "no acknowledgement in time";
    CACHE_11 "R-CACHE-11" Codec UnsupportedCapability Session "invalidate_scope is not assigned";
    CACHE_12 "R-CACHE-12" Session none Ignore "an invalidation of nothing";
    PATCH_1 "R-PATCH-1" Session none Refuse "patch_mask has unknown bits";
    PATCH_2 "R-PATCH-2" Session none Refuse "a cadence outside its range";
    PATCH_3 "R-PATCH-3" Session none Refuse "no lane, or a lane that does not exist";
    PATCH_4 "R-PATCH-4" Session none Refuse "a policy, codec or compression that is not supported";
    PATCH_5 "R-PATCH-5" Codec MalformedBody Session "the patch block is neither absent nor 16 bytes, or not the body";
    PATCH_6 "R-PATCH-6" Session none Refuse "another profile";
    PATCH_7 "R-PATCH-7" Session none Refuse "a clamp with its minimum above its maximum";
    PATCH_8 "R-PATCH-8" Session none Refuse "too many patches";
    PATCH_9 "R-PATCH-9" Session none Refuse "a profile patch without its block";
    PACK_1 "R-PACK-1" Codec MalformedBody Session "status or reason of a patch answer is not assigned";
    PACK_2 "R-PACK-2" Session none Accept "a field both applied and rejected counts as rejected";
    PACK_3 "R-PACK-3" Codec MalformedBody Session "the patch answer's block is neither absent nor 16 bytes, or not the body";
    PROBE_1 "R-PROBE-1" Codec MalformedBody Session "probe_payload_bytes is not the size of the body";
    PROBE_2 "R-PROBE-2" Session ServerBusy Session "probing is off, or too many probes";
    PROBE_3 "R-PROBE-3" Session none Ignore "an answer to a probe nobody sent";
    PROBE_4 "R-PROBE-4" Session none Local "an answer to a probe with a body";
    MIG_1 "R-MIG-1" Codec UnsupportedCapability Fatal "a transport id is not QUIC or TCP";
    MIG_2 "R-MIG-2" Session MalformedBody Refuse "the last result's frame id does not fit 32 bits";
    MIG_3 "R-MIG-3" Session InvalidState Refuse "no such session, or it cannot be migrated now";
    MIG_4 "R-MIG-4" Session AuthFailed Refuse "the token is refused";
    MIG_5 "R-MIG-5" Session none Refuse "migration is not supported";
    MIG_6 "R-MIG-6" Session none Local "the server refuses the migration";
    MIG_7 "R-MIG-7" Session none Local "the answer names another session or an impossible frame id";
    MIG_8 "R-MIG-8" Session InvalidState Frame "a submit on the old path";
    MIG_9 "R-MIG-9" Session InvalidState Frame "a submit below the frame id to resume from";
    MIG_10 "R-MIG-10" Session InvalidState Refuse "the new transport is not the one the message came on";
    MIG_11 "R-MIG-11" Session none Accept "old and new transport are the same";
    LIM_1 "R-LIM-1" Session LimitExceeded Frame "the body is larger than the receiver takes";
    LIM_2 "R-LIM-2" Session LimitExceeded Fatal "the body is larger than is taken before a session is active";
    LIM_3 "R-LIM-3" Session LimitExceeded Fatal "the body of a control message is too large";
    LIM_4 "R-LIM-4" Session LimitExceeded Frame "too many tensor sections";
    LIM_5 "R-LIM-5" Session none Accept "a text is too long; cut";
    LIM_6 "R-LIM-6" Session none Local "too many frames wait for the application; reading pauses";
    LIM_7 "R-LIM-7" Session none Local "too many results wait for the application; reading pauses";
    LIM_8 "R-LIM-8" Session ServerBusy Session "too many probes";
    LIM_9 "R-LIM-9" Session none Local "the handshake takes too long";
    LIM_10 "R-LIM-10" Session none Local "the connection is idle";
    LIM_11 "R-LIM-11" Session none Local "draining takes too long";
    LIM_12 "R-LIM-12" Session none Ignore "too many PINGs";
    LIM_13 "R-LIM-13" Session LimitExceeded Session "too many extensions in a block";
    LIM_14 "R-LIM-14" Session LimitExceeded Refuse "the cache is full";
    LIM_15 "R-LIM-15" Session none Local "more typed payloads than the count can say";
}
