BODY_REGION_PRELUDE_LENGTH = 32

CACHE_ACK_METADATA_LENGTH = 28

CACHE_INVALIDATE_METADATA_LENGTH = 20

CACHE_PUT_METADATA_LENGTH = 32

CLIENT_HELLO_LOSS_TOLERANCE_EXTENSION = 259

CLIENT_HELLO_METADATA_LENGTH = 64

CLIENT_HELLO_PAYLOAD_CAPABILITIES_EXTENSION = 261

CLIENT_HELLO_TRANSPORT_POLICY_EXTENSION = 257

CONTROL_EXTENSION_ALIGNMENT = 8

CONTROL_EXTENSION_HEADER_LENGTH = 8

ERROR_METADATA_LENGTH = 32

EXTENSION_FRAME_DESCRIPTOR_LENGTH = 16

FLOW_UPDATE_METADATA_LENGTH = 32

FRAME_SUBMIT_METADATA_LENGTH = 72

HEADER_LENGTH = 40

HEADER_MAGIC = b"NNRP"

INLINE_OBJECT_BLOCK_HEADER_LENGTH = 16

OBJECT_REFERENCE_BLOCK_LENGTH = 16

RESULT_HINT_METADATA_LENGTH = 16

RESULT_PUSH_METADATA_LENGTH = 64

SERVER_HELLO_ACK_LOSS_TOLERANCE_EXTENSION = 260

SERVER_HELLO_ACK_METADATA_LENGTH = 80

SERVER_HELLO_ACK_PAYLOAD_CAPABILITIES_EXTENSION = 262

SERVER_HELLO_ACK_TRANSPORT_POLICY_EXTENSION = 258

SESSION_MIGRATE_ACK_METADATA_LENGTH = 24

SESSION_MIGRATE_METADATA_LENGTH = 24

SESSION_PATCH_ACK_METADATA_LENGTH = 48

SESSION_PATCH_METADATA_LENGTH = 36

TENSOR_PROFILE_CACHE_OBJECT_BITMAP = 7

TENSOR_PROFILE_PATCH_ACK_BLOCK_LENGTH = 16

TENSOR_PROFILE_PATCH_BLOCK_LENGTH = 16

TENSOR_SECTION_DESC_LENGTH = 32

TRANSPORT_PROBE_ACK_METADATA_LENGTH = 16

TRANSPORT_PROBE_METADATA_LENGTH = 16

TYPED_PAYLOAD_DESCRIPTOR_LENGTH = 16

@dataclass(slots=True)
class BodyRegionPrelude:
    inline_object_bytes: ...
    object_reference_bytes: ...
    typed_payload_descriptor_bytes: ...
    typed_payload_frame_bytes: ...
    extension_descriptor_bytes: ...
    extension_payload_bytes: ...
    body_flags: ... = 0
    reserved: ... = 0
    def __init__(
        self,
        inline_object_bytes,
        object_reference_bytes,
        typed_payload_descriptor_bytes,
        typed_payload_frame_bytes,
        extension_descriptor_bytes,
        extension_payload_bytes,
        body_flags=0,
        reserved=0,
    ): ...
    STRUCT: ...
    def pack(self): ...
    @classmethod
    def unpack(cls, payload): ...

@dataclass(frozen=True, slots=True)
class BodyView:
    prelude: ...
    inline_object_region: ...
    object_reference_region: ...
    typed_payload_descriptor_region: ...
    typed_payload_frame_region: ...
    extension_descriptor_region: ...
    extension_payload_region: ...

class BudgetPolicy(IntFlag):
    NONE = 0x0
    ALLOW_PARTIAL = 0x1
    ALLOW_STALE_REUSE = 0x2
    ALLOW_DEGRADED = 0x4
    ALLOW_DROP = 0x8

@dataclass(slots=True)
class CacheAckMetadata:
    cache_namespace: ...
    cache_key_hi: ...
    cache_key_lo: ...
    status: ...
    accepted_ttl_ms: ...
    max_object_bytes: ...
    detail_code: ...
    def __init__(
        self,
        cache_namespace,
        cache_key_hi,
        cache_key_lo,
        status,
        accepted_ttl_ms,
        max_object_bytes,
        detail_code,
    ): ...
    STRUCT: ...
    @property
    def key(self): ...
    def pack(self): ...
    @classmethod
    def unpack(cls, payload): ...

class CacheAckStatus(IntEnum):
    ACCEPTED = 0
    REJECTED = 1
    REPLACED = 2

@dataclass(slots=True)
class CacheInvalidateMetadata:
    invalidate_scope: ...
    cache_namespace: ...
    cache_key_hi: ...
    cache_key_lo: ...
    reason_code: ...
    def __init__(self, invalidate_scope, cache_namespace, cache_key_hi, cache_key_lo, reason_code): ...
    STRUCT: ...
    def pack(self): ...
    @property
    def scope(self): ...
    @classmethod
    def unpack(cls, payload): ...

class CacheInvalidateScope(IntEnum):
    WHOLE_SESSION = 0
    NAMESPACE = 1
    OBJECT_KIND = 2
    OBJECT_KEY = 3
    ENTRY = 3
    SESSION = 0

class CacheObjectKind(IntEnum):
    CAMERA_BLOCK = 1
    TILE_INDEX_BLOCK = 2
    TENSOR_SECTION_TABLE = 3
    CODEC_TABLE = 4
    REUSABLE_RESULT_OBJECT = 5
    PAYLOAD_LAYOUT_TEMPLATE = 6
    PROMPT_SEGMENT = 7
    TOOL_SCHEMA = 8
    STRUCTURED_EVENT_SCHEMA = 9
    TILE_INDEX_TEMPLATE = 2
    CODEC_AUX_BLOCK = 4
    FALLBACK_RESOURCE = 5

class CachePutFlags(IntFlag):
    NONE = 0x0
    PINNED = 0x1
    REUSABLE = 0x2

@dataclass(slots=True)
class CachePutMetadata:
    cache_namespace: ...
    cache_key_hi: ...
    cache_key_lo: ...
    object_kind: ...
    ttl_ms: ...
    object_bytes: ...
    codec_bitmap: ...
    flags: ... = CachePutFlags.NONE
    def __init__(
        self,
        cache_namespace,
        cache_key_hi,
        cache_key_lo,
        object_kind,
        ttl_ms,
        object_bytes,
        codec_bitmap,
        flags=CachePutFlags.NONE,
    ): ...
    STRUCT: ...
    def pack(self): ...
    @classmethod
    def unpack(cls, payload): ...

@dataclass(frozen=True, slots=True)
class ClientHelloLossToleranceExtension:
    session_loss_tolerance: ... = LossTolerance.BEST_EFFORT

@dataclass(slots=True)
class ClientHelloMetadata:
    min_version_major: ...
    max_version_major: ...
    supported_wire_format_bitmap: ...
    supported_profile_bitmap: ...
    supported_payload_kind_bitmap: ...
    supported_codec_bitmap: ...
    supported_compression_bitmap: ...
    supported_dtype_bitmap: ...
    supported_layout_bitmap: ...
    cache_digest_bitmap: ...
    cache_object_bitmap: ...
    cache_namespace_count: ...
    max_lane_count: ...
    max_cache_entries: ...
    max_cache_bytes: ...
    target_cadence_x100: ...
    latency_budget_ms: ...
    quality_tier: ...
    degrade_policy: ...
    requested_session_id: ...
    auth_bytes: ...
    control_extension_bytes: ...
    def __init__(
        self,
        min_version_major,
        max_version_major,
        supported_wire_format_bitmap,
        supported_profile_bitmap,
        supported_payload_kind_bitmap,
        supported_codec_bitmap,
        supported_compression_bitmap,
        supported_dtype_bitmap,
        supported_layout_bitmap,
        cache_digest_bitmap,
        cache_object_bitmap,
        cache_namespace_count,
        max_lane_count,
        max_cache_entries,
        max_cache_bytes,
        target_cadence_x100,
        latency_budget_ms,
        quality_tier,
        degrade_policy,
        requested_session_id,
        auth_bytes,
        control_extension_bytes,
    ): ...
    STRUCT: ...
    @property
    def enable_cache(self): ...
    @property
    def max_views(self): ...
    def pack(self): ...
    @property
    def payload_kind_mask(self): ...
    @property
    def session_id(self): ...
    @classmethod
    def unpack(cls, payload): ...

@dataclass(frozen=True, slots=True)
class ClientHelloPayloadCapabilitiesExtension:
    payload_kind_bitmap: ... = PayloadKind.TENSOR
    critical_extension_frame_bitmap: ... = 0

@dataclass(frozen=True, slots=True)
class ClientHelloTransportPolicyExtension:
    transport_policy: ... = TransportPolicy.AUTO
    preferred_transport_id: ... = TransportId.UNSPECIFIED

@dataclass(frozen=True, slots=True)
class ControlExtensionEntry:
    ext_type: ...
    ext_flags: ... = ControlExtensionFlags.NONE
    payload: ... = b""
    @property
    def flags(self): ...
    @property
    def type_id(self): ...

class ControlExtensionFlags(IntFlag):
    NONE = 0x0
    CRITICAL = 0x1

class ErrorCode(IntEnum):
    UNSUPPORTED_VERSION = 1
    AUTH_FAILED = 2
    INVALID_STATE = 3
    MALFORMED_HEADER = 4
    MALFORMED_BODY = 5
    UNSUPPORTED_CAPABILITY = 6
    LIMIT_EXCEEDED = 7
    FRAME_EXPIRED = 8
    FRAME_CANCELLED = 9
    CACHE_MISS = 10
    SERVER_BUSY = 11
    INTERNAL_ERROR = 12

@dataclass(slots=True)
class ErrorMetadata:
    error_code: ...
    error_scope: ...
    is_fatal: ...
    retry_after_ms: ...
    related_session_id: ...
    related_frame_id: ...
    related_view_id: ...
    diagnostic_bytes: ...
    def __init__(
        self,
        error_code,
        error_scope,
        is_fatal,
        retry_after_ms,
        related_session_id,
        related_frame_id,
        related_view_id,
        diagnostic_bytes,
    ): ...
    STRUCT: ...
    @property
    def frame_id(self): ...
    def pack(self): ...
    @property
    def session_id(self): ...
    @classmethod
    def unpack(cls, payload): ...

class ErrorScope(IntEnum):
    CONNECTION = 0
    SESSION = 1
    FRAME = 2

@dataclass(frozen=True, slots=True)
class ExtensionFrame:
    extension_kind: ...
    payload: ...
    profile_id: ... = 0
    extension_flags: ... = ExtensionFrameFlags.NONE

@dataclass(slots=True)
class ExtensionFrameDescriptor:
    extension_kind: ...
    extension_flags: ...
    profile_id: ...
    reserved0: ...
    payload_offset: ...
    payload_length: ...
    def __init__(
        self, extension_kind, extension_flags, profile_id, reserved0, payload_offset, payload_length
    ): ...
    STRUCT: ...
    def pack(self): ...
    @classmethod
    def unpack(cls, payload): ...

class ExtensionFrameFlags(IntFlag):
    NONE = 0x0
    CRITICAL = 0x1

class FlowUpdateBackpressureLevel(IntEnum):
    NONE = 0
    SOFT = 1
    HARD = 2

class FlowUpdateFlags(IntFlag):
    NONE = 0x0
    CREDIT_VALID = 0x1
    RETRY_AFTER_VALID = 0x2
    BACKGROUND_ONLY = 0x4
    DRAIN_IN_FLIGHT_ONLY = 0x8

@dataclass(slots=True)
class FlowUpdateMetadata:
    scope_kind: ... = FlowUpdateScopeKind.SESSION
    update_reason: ... = FlowUpdateReason.GRANT
    backpressure_level: ... = FlowUpdateBackpressureLevel.NONE
    connection_credit: ... = 0
    session_credit: ... = 0
    operation_credit: ... = 0
    operation_id: ... = 0
    retry_after_ms: ... = 0
    credit_epoch: ... = 0
    flags: ... = FlowUpdateFlags.NONE
    def __init__(
        self,
        scope_kind=FlowUpdateScopeKind.SESSION,
        update_reason=FlowUpdateReason.GRANT,
        backpressure_level=FlowUpdateBackpressureLevel.NONE,
        connection_credit=0,
        session_credit=0,
        operation_credit=0,
        operation_id=0,
        retry_after_ms=0,
        credit_epoch=0,
        flags=FlowUpdateFlags.NONE,
    ): ...
    STRUCT: ...
    @property
    def backpressure(self): ...
    def pack(self): ...
    @property
    def reason(self): ...
    @classmethod
    def unpack(cls, payload): ...

class FlowUpdateReason(IntEnum):
    GRANT = 0
    REDUCE = 1
    PAUSE = 2
    RESUME = 3
    CONGESTION = 4

class FlowUpdateScopeKind(IntEnum):
    CONNECTION = 0
    SESSION = 1
    OPERATION = 2

class FrameClass(IntEnum):
    KEYFRAME = 0
    DELTA = 1
    RETRANSMIT = 2
    DISCARDABLE = 3

@dataclass(slots=True)
class FrameSubmitMetadata:
    src_width: ...
    src_height: ...
    tile_width: ...
    tile_height: ...
    tile_count: ...
    section_count: ...
    frame_class: ...
    input_profile: ...
    tile_index_mode: ...
    reserved0: ...
    latency_budget_ms: ...
    target_fps_x100: ...
    retry_of_frame: ...
    tile_base_id: ...
    camera_bytes: ...
    tile_index_bytes: ...
    submit_mode: ... = SubmitMode.INLINE
    budget_policy: ... = BudgetPolicy.NONE
    reserved1: ... = 0
    reserved2: ... = 0
    loss_tolerance_policy: ... = 255
    reserved3: ... = 0
    object_ref_mask: ... = 0
    dependency_frame_id: ... = 0
    payload_kind_bitmap: ... = PayloadKind.TENSOR
    payload_frame_count: ... = 0
    reserved4: ... = 0
    frame_id: KW_ONLY = 0
    deadline_ms: KW_ONLY = 0
    def __init__(
        self,
        src_width,
        src_height,
        tile_width,
        tile_height,
        tile_count,
        section_count,
        frame_class,
        input_profile,
        tile_index_mode,
        reserved0,
        latency_budget_ms,
        target_fps_x100,
        retry_of_frame,
        tile_base_id,
        camera_bytes,
        tile_index_bytes,
        submit_mode=SubmitMode.INLINE,
        budget_policy=BudgetPolicy.NONE,
        reserved1=0,
        reserved2=0,
        loss_tolerance_policy=255,
        reserved3=0,
        object_ref_mask=0,
        dependency_frame_id=0,
        payload_kind_bitmap=PayloadKind.TENSOR,
        payload_frame_count=0,
        reserved4=0,
        *,
        frame_id=0,
        deadline_ms=0,
    ): ...
    STRUCT: ...
    @property
    def inference_budget_ms(self): ...
    def pack(self): ...
    @classmethod
    def unpack(cls, payload): ...

class HeaderFlags(IntFlag):
    NONE = 0x0
    ACK_REQUIRED = 0x1
    CAN_DROP = 0x2
    STALE = 0x4
    EOS = 0x8
    RETRANSMIT = 0x10
    KEYFRAME = 0x20

@dataclass(slots=True)
class InlineObjectBlockHeader:
    object_kind: ...
    object_flags: ...
    profile_id: ...
    reserved0: ...
    object_bytes: ...
    reserved1: ... = 0
    def __init__(self, object_kind, object_flags, profile_id, reserved0, object_bytes, reserved1=0): ...
    STRUCT: ...
    def pack(self): ...
    @classmethod
    def unpack(cls, payload): ...

@dataclass(frozen=True, slots=True)
class InlineObjectBlockView:
    header: ...
    payload: ...

class InputProfile(IntEnum):
    UNSPECIFIED = 0
    CHANGED_TILES_LUMA = 1
    DENSE_LUMA_FRAME = 2

class LossTolerance(IntEnum):
    STRICT = 0
    BEST_EFFORT = 1
    LOW_LATENCY = 2
    FIRE_AND_FORGET = 3

class MessageType(IntEnum):
    CLIENT_HELLO = 1
    SERVER_HELLO_ACK = 2
    SESSION_PATCH = 3
    SESSION_PATCH_ACK = 4
    CLOSE = 5
    ERROR = 6
    FRAME_SUBMIT = 16
    FRAME_CANCEL = 17
    RESULT_PUSH = 18
    RESULT_DROP = 19
    CACHE_PUT = 20
    CACHE_ACK = 21
    CACHE_INVALIDATE = 22
    FLOW_UPDATE = 23
    RESULT_HINT = 24
    TRANSPORT_PROBE = 25
    TRANSPORT_PROBE_ACK = 26
    SESSION_MIGRATE = 27
    SESSION_MIGRATE_ACK = 28
    PING = 32
    PONG = 33

@dataclass(slots=True)
class NnrpHeader:
    version_major: ...
    wire_format: ...
    msg_type: ...
    flags: ...
    meta_len: ...
    body_len: ...
    session_id: ...
    frame_id: ...
    view_id: ...
    route_id: ...
    trace_id: ...
    header_len: ... = 40
    def pack(self): ...
    @classmethod
    def unpack(cls, payload, *, expected_wire_format=None): ...

@dataclass(slots=True)
class NnrpPacket:
    header: ...
    metadata: ... = b""
    body: ... = b""
    @classmethod
    def build(
        cls,
        msg_type,
        *,
        version_major=1,
        wire_format=WireFormat.CURRENT,
        flags=HeaderFlags.NONE,
        session_id=0,
        frame_id=0,
        view_id=0,
        route_id=0,
        trace_id=0,
        metadata=b"",
        body=b"",
    ): ...
    def pack(self): ...
    @classmethod
    def unpack(cls, payload): ...

@dataclass(slots=True)
class ObjectReferenceBlock:
    object_kind: ...
    ref_flags: ...
    cache_namespace: ...
    cache_key_hi: ...
    cache_key_lo: ...
    def __init__(self, object_kind, ref_flags, cache_namespace, cache_key_hi, cache_key_lo): ...
    STRUCT: ...
    def pack(self): ...
    @classmethod
    def unpack(cls, payload): ...

class PayloadKind(IntFlag):
    NONE = 0x0
    TENSOR = 0x1
    TOKEN_CHUNK = 0x2
    AUDIO_CHUNK = 0x4
    VIDEO_CHUNK = 0x8
    STRUCTURED_EVENT = 0x10
    TOOL_DELTA = 0x20
    OPAQUE_BYTES = 0x40

class ResultClass(IntEnum):
    COMPLETE = 0
    PARTIAL = 1
    STALE_REUSE = 2
    DEGRADED = 3

class ResultFlags(IntFlag):
    NONE = 0x0
    STALE = 0x1
    FALLBACK = 0x2
    PARTIAL = 0x4

class ResultHintBudgetPolicy(IntEnum):
    NONE = 0
    FULL = 1
    PARTIAL = 2
    STALE_REUSE = 3
    DROP = 4

class ResultHintCongestionState(IntEnum):
    NONE = 0
    STEADY = 1
    ELEVATED = 2
    SATURATED = 3

@dataclass(slots=True)
class ResultHintMetadata:
    applied_budget_policy: ... = ResultHintBudgetPolicy.NONE
    congestion_state: ... = ResultHintCongestionState.NONE
    reason: ... = ResultHintReason.NONE
    retry_after_ms: ... = 0
    def __init__(
        self,
        applied_budget_policy=ResultHintBudgetPolicy.NONE,
        congestion_state=ResultHintCongestionState.NONE,
        reason=ResultHintReason.NONE,
        retry_after_ms=0,
    ): ...
    STRUCT: ...
    @property
    def budget_policy(self): ...
    @property
    def estimated_wait_ms(self): ...
    @property
    def frame_id(self): ...
    def pack(self): ...
    @classmethod
    def unpack(cls, payload): ...

class ResultHintReason(IntEnum):
    NONE = 0
    QUEUE_FULL = 1
    SERVER_BUSY = 2
    BUDGET_EXCEEDED = 3
    SUPERSEDED = 4

@dataclass(slots=True)
class ResultPushMetadata:
    status_code: ...
    result_flags: ...
    section_count: ...
    tile_count: ...
    active_profile_id: ...
    reserved0: ...
    inference_ms: ...
    queue_ms: ...
    server_total_ms: ...
    reserved1: ...
    tile_base_id: ...
    tile_index_bytes: ...
    reserved2: ... = 0
    reserved3: ... = 0
    result_class: ... = ResultClass.COMPLETE
    applied_budget_policy: ... = BudgetPolicy.NONE
    reserved4: ... = 0
    reused_frame_id: ... = 0
    covered_tile_count: ... = 0
    dropped_tile_count: ... = 0
    payload_kind_bitmap: ... = PayloadKind.TENSOR
    payload_frame_count: ... = 0
    reserved5: ... = 0
    def __init__(
        self,
        status_code,
        result_flags,
        section_count,
        tile_count,
        active_profile_id,
        reserved0,
        inference_ms,
        queue_ms,
        server_total_ms,
        reserved1,
        tile_base_id,
        tile_index_bytes,
        reserved2=0,
        reserved3=0,
        result_class=ResultClass.COMPLETE,
        applied_budget_policy=BudgetPolicy.NONE,
        reserved4=0,
        reused_frame_id=0,
        covered_tile_count=0,
        dropped_tile_count=0,
        payload_kind_bitmap=PayloadKind.TENSOR,
        payload_frame_count=0,
        reserved5=0,
    ): ...
    STRUCT: ...
    def pack(self): ...
    @property
    def tile_index_mode(self): ...
    @classmethod
    def unpack(cls, payload): ...

class ScalePolicy(IntEnum):
    NONE = 0
    LINEAR = 1
    ZERO_POINT = 2

class SectionFlags(IntFlag):
    NONE = 0x0
    MIXED_CODEC = 0x1
    FIXED_STRIDE = 0x2

@dataclass(frozen=True, slots=True)
class ServerHelloAckLossToleranceExtension:
    accepted_loss_tolerance: ... = LossTolerance.BEST_EFFORT

@dataclass(slots=True)
class ServerHelloAckMetadata:
    selected_version_major: ...
    selected_wire_format: ...
    auth_status: ...
    session_id: ...
    accepted_profile_bitmap: ...
    accepted_payload_kind_bitmap: ...
    accepted_codec_bitmap: ...
    accepted_compression_bitmap: ...
    accepted_dtype_bitmap: ...
    accepted_layout_bitmap: ...
    cache_digest_bitmap: ...
    cache_object_bitmap: ...
    max_cache_entries: ...
    max_cache_bytes: ...
    max_lane_count: ...
    max_concurrent_frames: ...
    target_cadence_x100: ...
    latency_budget_ms: ...
    quality_tier: ...
    degrade_policy: ...
    max_body_bytes: ...
    token_ttl_ms: ...
    retry_after_ms: ...
    control_extension_bytes: ...
    server_flags: ...
    reserved0: ... = 0
    def __init__(
        self,
        selected_version_major,
        selected_wire_format,
        auth_status,
        session_id,
        accepted_profile_bitmap,
        accepted_payload_kind_bitmap,
        accepted_codec_bitmap,
        accepted_compression_bitmap,
        accepted_dtype_bitmap,
        accepted_layout_bitmap,
        cache_digest_bitmap,
        cache_object_bitmap,
        max_cache_entries,
        max_cache_bytes,
        max_lane_count,
        max_concurrent_frames,
        target_cadence_x100,
        latency_budget_ms,
        quality_tier,
        degrade_policy,
        max_body_bytes,
        token_ttl_ms,
        retry_after_ms,
        control_extension_bytes,
        server_flags,
        reserved0=0,
    ): ...
    STRUCT: ...
    @property
    def enable_cache(self): ...
    def pack(self): ...
    @property
    def payload_kind_mask(self): ...
    @classmethod
    def unpack(cls, payload): ...

@dataclass(frozen=True, slots=True)
class ServerHelloAckPayloadCapabilitiesExtension:
    accepted_payload_kind_bitmap: ... = PayloadKind.TENSOR
    accepted_critical_extension_frame_bitmap: ... = 0

@dataclass(frozen=True, slots=True)
class ServerHelloAckTransportPolicyExtension:
    transport_policy: ... = TransportPolicy.AUTO
    accepted_transport_policy: ... = TransportPolicy.AUTO
    active_transport_id: ... = TransportId.UNSPECIFIED

@dataclass(slots=True)
class SessionMigrateAckMetadata:
    accept_code: ...
    resume_from_frame_id: ...
    grace_window_ms: ...
    server_migrate_ts_us: ...
    def __init__(self, accept_code, resume_from_frame_id, grace_window_ms, server_migrate_ts_us): ...
    STRUCT: ...
    def pack(self): ...
    @classmethod
    def unpack(cls, payload): ...

@dataclass(slots=True)
class SessionMigrateMetadata:
    old_transport_id: ...
    new_transport_id: ...
    last_result_frame_id: ...
    client_migrate_ts_us: ...
    def __init__(self, old_transport_id, new_transport_id, last_result_frame_id, client_migrate_ts_us): ...
    STRUCT: ...
    def pack(self): ...
    @classmethod
    def unpack(cls, payload): ...

@dataclass(slots=True)
class SessionPatchAckMetadata:
    ack_status: ...
    reject_reason: ...
    applied_patch_mask: ...
    rejected_patch_mask: ...
    retry_after_ms: ...
    effective_profile_id: ...
    effective_target_cadence_x100: ...
    effective_quality_tier: ...
    effective_degrade_policy: ...
    effective_lane_mask: ...
    effective_codec_bitmap: ...
    effective_compression_bitmap: ...
    profile_patch_ack_bytes: ...
    reserved0: ... = 0
    def __init__(
        self,
        ack_status,
        reject_reason,
        applied_patch_mask,
        rejected_patch_mask,
        retry_after_ms,
        effective_profile_id,
        effective_target_cadence_x100,
        effective_quality_tier,
        effective_degrade_policy,
        effective_lane_mask,
        effective_codec_bitmap,
        effective_compression_bitmap,
        profile_patch_ack_bytes,
        reserved0=0,
    ): ...
    STRUCT: ...
    def pack(self): ...
    @property
    def patch_fields(self): ...
    @property
    def rejected_fields(self): ...
    @property
    def status(self): ...
    @classmethod
    def unpack(cls, payload): ...

class SessionPatchAckStatus(IntEnum):
    ACCEPTED = 0
    PARTIALLY_APPLIED = 1
    REJECTED = 2

class SessionPatchField(IntFlag):
    NONE = 0x0
    TARGET_CADENCE = 0x1
    QUALITY_TIER = 0x2
    DEGRADE_POLICY = 0x4
    ACTIVE_LANE_MASK = 0x8
    PREFERRED_CODEC = 0x10
    PREFERRED_COMPRESSION = 0x20
    PROFILE_PATCH = 0x40
    TARGET_FPS = 0x1
    ACTIVE_VIEW_MASK = 0x8

@dataclass(slots=True)
class SessionPatchMetadata:
    profile_id: ...
    patch_mask: ...
    target_cadence_x100: ...
    quality_tier: ...
    degrade_policy: ...
    active_lane_mask: ...
    preferred_codec_bitmap: ...
    preferred_compression_bitmap: ...
    profile_patch_bytes: ...
    reserved0: ... = 0
    def __init__(
        self,
        profile_id,
        patch_mask,
        target_cadence_x100,
        quality_tier,
        degrade_policy,
        active_lane_mask,
        preferred_codec_bitmap,
        preferred_compression_bitmap,
        profile_patch_bytes,
        reserved0=0,
    ): ...
    STRUCT: ...
    def pack(self): ...
    @property
    def patch_fields(self): ...
    @property
    def preferred_codec(self): ...
    @property
    def preferred_compression(self): ...
    @property
    def target_cadence(self): ...
    @classmethod
    def unpack(cls, payload): ...

class SessionPatchRejectReason(IntEnum):
    NONE = 0
    UNSUPPORTED_FIELD = 1
    INVALID_RANGE = 2
    UNSUPPORTED_STRATEGY = 3
    INVALID_LANE_MASK = 4
    RATE_LIMITED = 5
    INVALID_VIEW_MASK = 4

class SubmitMode(IntEnum):
    INLINE = 0
    REFERENCE = 1
    MIXED = 2

@dataclass(frozen=True, slots=True)
class TensorBodyView:
    tile_index_block: ...
    sections: ...

class TensorDType(IntEnum):
    FP16 = 0
    FP32 = 1
    FP8_E4M3 = 2
    FP8_E5M2 = 3
    INT8 = 4
    UINT8 = 5
    INT16 = 6
    UINT16 = 7

class TensorLayout(IntEnum):
    NHWC = 0
    NCHW = 1

@dataclass(slots=True)
class TensorProfilePatchAckBlock:
    min_width: ...
    min_height: ...
    max_width: ...
    max_height: ...
    def __init__(self, min_width, min_height, max_width, max_height): ...
    STRUCT: ...
    def pack(self): ...
    @classmethod
    def unpack(cls, payload): ...

@dataclass(slots=True)
class TensorProfilePatchBlock:
    min_width: ...
    min_height: ...
    max_width: ...
    max_height: ...
    def __init__(self, min_width, min_height, max_width, max_height): ...
    STRUCT: ...
    def pack(self): ...
    @classmethod
    def unpack(cls, payload): ...

@dataclass(frozen=True, slots=True)
class TensorSectionData:
    role_id: ...
    default_codec_id: ...
    dtype_id: ...
    tile_payloads: ...
    codec_ids: ... = ()
    layout_id: ... = TensorLayout.NHWC
    scale_policy: ... = ScalePolicy.NONE
    payload_stride_bytes: ... = 0
    element_count_per_tile: ... = 0
    def normalized_codec_ids(self): ...
    def normalized_tile_payloads(self): ...
    def numpy(self, shape=None): ...
    def packed_tiles(self): ...
    def tile_arrays(self, shape=None): ...
    def tile_buffers(self): ...

@dataclass(slots=True)
class TensorSectionDesc:
    role_id: ...
    codec_id: ...
    dtype_id: ...
    layout_id: ...
    scale_policy: ...
    flags: ...
    element_count_per_tile: ...
    codec_table_bytes: ...
    length_table_bytes: ...
    payload_bytes: ...
    payload_stride_bytes: ...
    reserved: ... = 0
    def __init__(
        self,
        role_id,
        codec_id,
        dtype_id,
        layout_id,
        scale_policy,
        flags,
        element_count_per_tile,
        codec_table_bytes,
        length_table_bytes,
        payload_bytes,
        payload_stride_bytes,
        reserved=0,
    ): ...
    STRUCT: ...
    def pack(self): ...
    @classmethod
    def unpack(cls, payload): ...

@dataclass(frozen=True, slots=True)
class TensorSectionView:
    desc: ...
    codec_table: ...
    length_table: ...
    payload: ...
    @property
    def codec_ids(self): ...
    @property
    def default_codec_id(self): ...
    @property
    def dtype_id(self): ...
    @property
    def element_count_per_tile(self): ...
    @property
    def layout_id(self): ...
    def numpy(self, shape=None): ...
    def packed_tiles(self): ...
    def payload_slices(self): ...
    @property
    def payload_stride_bytes(self): ...
    @property
    def role_id(self): ...
    @property
    def scale_policy(self): ...
    def tile_arrays(self, shape=None): ...
    def tile_buffers(self): ...
    def tile_lengths(self): ...
    @property
    def tile_payloads(self): ...
    def to_data(self): ...
    @property
    def total_bytes(self): ...

class TileIndexMode(IntEnum):
    DENSE_RANGE = 0
    RAW_U16 = 1
    DELTA_U16 = 2
    BITSET = 3

class TransportId(IntEnum):
    UNSPECIFIED = 0
    QUIC = 1
    TCP = 2

class TransportPolicy(IntEnum):
    AUTO = 0
    PREFER_QUIC = 1
    PREFER_TCP = 2
    FORCE_QUIC = 3
    FORCE_TCP = 4

@dataclass(slots=True)
class TransportProbeAckMetadata:
    probe_id: ...
    reserved: ...
    server_recv_ts_us: ...
    def __init__(self, probe_id, reserved, server_recv_ts_us): ...
    STRUCT: ...
    def pack(self): ...
    @classmethod
    def unpack(cls, payload): ...

@dataclass(slots=True)
class TransportProbeMetadata:
    probe_id: ...
    probe_payload_bytes: ...
    client_send_ts_us: ...
    def __init__(self, probe_id, probe_payload_bytes, client_send_ts_us): ...
    STRUCT: ...
    def pack(self): ...
    @classmethod
    def unpack(cls, payload): ...

@dataclass(slots=True)
class TypedPayloadDescriptor:
    payload_kind: ...
    descriptor_flags: ...
    profile_id: ...
    payload_offset: ...
    payload_length: ...
    reserved: ... = 0
    def __init__(
        self, payload_kind, descriptor_flags, profile_id, payload_offset, payload_length, reserved=0
    ): ...
    STRUCT: ...
    def pack(self): ...
    @classmethod
    def unpack(cls, payload): ...

@dataclass(frozen=True, slots=True)
class TypedPayloadFrame:
    payload_kind: ...
    payload: ...
    profile_id: ... = 0
    descriptor_flags: ... = 0

class WireFormat(IntEnum):
    CURRENT = 0

def build_audio_chunk_frame(payload, *, profile_id=0): ...
def build_cache_object_bitmap(*object_kinds): ...
def build_camera_inline_object_block(payload, *, profile_id=0): ...
def build_camera_reference_block(*, cache_namespace, cache_key_hi, cache_key_lo): ...
def build_client_hello_loss_tolerance_extension(extension): ...
def build_client_hello_payload_capabilities_extension(extension): ...
def build_client_hello_transport_policy_extension(extension): ...
def build_degraded_result_push_packet(
    session_id,
    frame_id,
    *,
    tile_ids=(),
    sections=(),
    active_profile_id=0,
    inference_ms=0,
    queue_ms=0,
    server_total_ms=0,
    status_code=0,
    tile_index_mode=TileIndexMode.RAW_U16,
    tile_base_id=0,
    covered_tile_count=None,
    dropped_tile_count=0,
    version_major=1,
    wire_format=WireFormat.CURRENT,
    flags=HeaderFlags.NONE,
    view_id=0,
    route_id=0,
    trace_id=0,
): ...
def build_extension_frame(
    extension_kind, payload, *, profile_id=0, extension_flags=ExtensionFrameFlags.NONE
): ...
def build_flow_update_packet(
    session_id=0,
    *,
    metadata,
    route_id=0,
    trace_id=0,
    flags=HeaderFlags.NONE,
    version_major=1,
    wire_format=WireFormat.CURRENT,
): ...
def build_frame_cancel_packet(
    session_id,
    frame_id,
    *,
    view_id=0,
    route_id=0,
    trace_id=0,
    flags=HeaderFlags.NONE,
    version_major=1,
    wire_format=WireFormat.CURRENT,
): ...
def build_frame_submit_mixed_packet(
    session_id,
    frame_id,
    *,
    src_width=0,
    src_height=0,
    tile_width=0,
    tile_height=0,
    tile_ids=(),
    sections=(),
    frames,
    camera_block=b"",
    frame_class=0,
    input_profile=InputProfile.UNSPECIFIED,
    tile_index_mode=TileIndexMode.RAW_U16,
    latency_budget_ms=0,
    target_fps_x100=0,
    retry_of_frame=0,
    tile_base_id=0,
    budget_policy=BudgetPolicy.NONE,
    dependency_frame_id=0,
    loss_tolerance_policy=255,
    version_major=1,
    wire_format=WireFormat.CURRENT,
    flags=HeaderFlags.NONE,
    view_id=0,
    route_id=0,
    trace_id=0,
    inference_budget_ms=0,
): ...
def build_frame_submit_packet(
    session_id,
    frame_id,
    *,
    src_width=0,
    src_height=0,
    tile_width=0,
    tile_height=0,
    tile_ids=(),
    sections=(),
    camera_block=b"",
    frame_class=0,
    input_profile=InputProfile.UNSPECIFIED,
    tile_index_mode=TileIndexMode.RAW_U16,
    latency_budget_ms=0,
    target_fps_x100=0,
    retry_of_frame=0,
    tile_base_id=0,
    submit_mode=SubmitMode.INLINE,
    object_ref_mask=0,
    camera_reference=None,
    tile_index_reference=None,
    tensor_section_table_reference=None,
    budget_policy=BudgetPolicy.NONE,
    dependency_frame_id=0,
    loss_tolerance_policy=255,
    payload_kind_bitmap=PayloadKind.TENSOR,
    payload_frame_count=0,
    version_major=1,
    wire_format=WireFormat.CURRENT,
    flags=HeaderFlags.NONE,
    view_id=0,
    route_id=0,
    trace_id=0,
    inference_budget_ms=0,
): ...
def build_frame_submit_typed_payload_packet(
    session_id,
    frame_id,
    *,
    frames,
    frame_class=0,
    latency_budget_ms=0,
    target_fps_x100=0,
    retry_of_frame=0,
    budget_policy=BudgetPolicy.NONE,
    dependency_frame_id=0,
    loss_tolerance_policy=255,
    version_major=1,
    wire_format=WireFormat.CURRENT,
    flags=HeaderFlags.NONE,
    view_id=0,
    route_id=0,
    trace_id=0,
    inference_budget_ms=0,
): ...
def build_header_only_packet(
    session_id=0,
    frame_id=0,
    *,
    msg_type,
    view_id=0,
    route_id=0,
    trace_id=0,
    flags=HeaderFlags.NONE,
    version_major=1,
    wire_format=WireFormat.CURRENT,
): ...
def build_opaque_bytes_frame(payload, *, profile_id=0): ...
def build_partial_result_push_packet(
    session_id,
    frame_id,
    *,
    tile_ids=(),
    sections=(),
    covered_tile_count,
    dropped_tile_count,
    active_profile_id=0,
    inference_ms=0,
    queue_ms=0,
    server_total_ms=0,
    status_code=0,
    tile_index_mode=TileIndexMode.RAW_U16,
    tile_base_id=0,
    version_major=1,
    wire_format=WireFormat.CURRENT,
    flags=HeaderFlags.NONE,
    view_id=0,
    route_id=0,
    trace_id=0,
): ...
def build_ping_packet(
    session_id=0,
    frame_id=0,
    *,
    route_id=0,
    trace_id=0,
    flags=HeaderFlags.NONE,
    version_major=1,
    wire_format=WireFormat.CURRENT,
): ...
def build_pong_packet(
    session_id=0,
    frame_id=0,
    *,
    route_id=0,
    trace_id=0,
    flags=HeaderFlags.NONE,
    version_major=1,
    wire_format=WireFormat.CURRENT,
): ...
def build_result_drop_packet(
    session_id,
    frame_id,
    *,
    view_id=0,
    route_id=0,
    trace_id=0,
    flags=HeaderFlags.NONE,
    version_major=1,
    wire_format=WireFormat.CURRENT,
): ...
def build_result_hint_packet(
    session_id=0,
    frame_id=0,
    *,
    metadata,
    route_id=0,
    trace_id=0,
    flags=HeaderFlags.NONE,
    version_major=1,
    wire_format=WireFormat.CURRENT,
): ...
def build_result_push_mixed_packet(
    session_id,
    frame_id,
    *,
    tile_ids=(),
    sections=(),
    frames,
    result_flags=ResultFlags.NONE,
    active_profile_id=0,
    inference_ms=0,
    queue_ms=0,
    server_total_ms=0,
    status_code=0,
    tile_index_mode=TileIndexMode.RAW_U16,
    tile_base_id=0,
    result_class=ResultClass.COMPLETE,
    applied_budget_policy=BudgetPolicy.NONE,
    reused_frame_id=0,
    covered_tile_count=None,
    dropped_tile_count=0,
    version_major=1,
    wire_format=WireFormat.CURRENT,
    flags=HeaderFlags.NONE,
    view_id=0,
    route_id=0,
    trace_id=0,
): ...
def build_result_push_packet(
    session_id,
    frame_id,
    *,
    tile_ids=(),
    sections=(),
    result_flags=ResultFlags.NONE,
    active_profile_id=0,
    inference_ms=0,
    queue_ms=0,
    server_total_ms=0,
    status_code=0,
    tile_index_mode=TileIndexMode.RAW_U16,
    tile_base_id=0,
    result_class=ResultClass.COMPLETE,
    applied_budget_policy=BudgetPolicy.NONE,
    reused_frame_id=0,
    covered_tile_count=None,
    dropped_tile_count=0,
    payload_kind_bitmap=PayloadKind.TENSOR,
    payload_frame_count=0,
    version_major=1,
    wire_format=WireFormat.CURRENT,
    flags=HeaderFlags.NONE,
    view_id=0,
    route_id=0,
    trace_id=0,
): ...
def build_result_push_typed_payload_packet(
    session_id,
    frame_id,
    *,
    frames,
    result_flags=ResultFlags.NONE,
    active_profile_id=0,
    inference_ms=0,
    queue_ms=0,
    server_total_ms=0,
    status_code=0,
    result_class=ResultClass.COMPLETE,
    applied_budget_policy=BudgetPolicy.NONE,
    reused_frame_id=0,
    version_major=1,
    wire_format=WireFormat.CURRENT,
    flags=HeaderFlags.NONE,
    view_id=0,
    route_id=0,
    trace_id=0,
): ...
def build_server_hello_ack_loss_tolerance_extension(extension): ...
def build_server_hello_ack_payload_capabilities_extension(extension): ...
def build_server_hello_ack_transport_policy_extension(extension): ...
def build_session_migrate_ack_packet(
    session_id,
    *,
    metadata,
    route_id=0,
    trace_id=0,
    flags=HeaderFlags.NONE,
    body=b"",
    version_major=1,
    wire_format=WireFormat.CURRENT,
): ...
def build_session_migrate_packet(
    session_id,
    *,
    metadata,
    route_id=0,
    trace_id=0,
    flags=HeaderFlags.NONE,
    body=b"",
    version_major=1,
    wire_format=WireFormat.CURRENT,
): ...
def build_stale_reuse_result_push_packet(
    session_id,
    frame_id,
    *,
    tile_ids=(),
    sections=(),
    reused_frame_id,
    active_profile_id=0,
    inference_ms=0,
    queue_ms=0,
    server_total_ms=0,
    status_code=0,
    tile_index_mode=TileIndexMode.RAW_U16,
    tile_base_id=0,
    covered_tile_count=None,
    dropped_tile_count=0,
    version_major=1,
    wire_format=WireFormat.CURRENT,
    flags=HeaderFlags.NONE,
    view_id=0,
    route_id=0,
    trace_id=0,
): ...
def build_structured_event_frame(payload, *, profile_id=0): ...
def build_tensor_section_table_inline_object_block(payload, *, profile_id=0): ...
def build_tensor_section_table_reference_block(*, cache_namespace, cache_key_hi, cache_key_lo): ...
def build_tile_index_inline_object_block(tile_ids, *, mode, tile_base_id=0, profile_id=0): ...
def build_tile_index_reference_block(*, cache_namespace, cache_key_hi, cache_key_lo): ...
def build_token_chunk_frame(payload, *, profile_id=0): ...
def build_tool_delta_frame(payload, *, profile_id=0): ...
def build_transport_probe_ack_packet(
    session_id=0,
    *,
    metadata,
    route_id=0,
    trace_id=0,
    flags=HeaderFlags.NONE,
    version_major=1,
    wire_format=WireFormat.CURRENT,
): ...
def build_transport_probe_packet(
    session_id=0,
    *,
    metadata,
    body,
    route_id=0,
    trace_id=0,
    flags=HeaderFlags.NONE,
    version_major=1,
    wire_format=WireFormat.CURRENT,
): ...
def build_typed_payload_frame(payload_kind, payload, *, profile_id=0, descriptor_flags=0): ...
def build_video_chunk_frame(payload, *, profile_id=0): ...
def pack_body(
    *,
    inline_object_region=b"",
    object_reference_region=b"",
    typed_payload_descriptor_region=b"",
    typed_payload_frame_region=b"",
    extension_descriptor_region=b"",
    extension_payload_region=b"",
): ...
def pack_control_extension_block(entries): ...
def pack_extension_frame_descriptors(descriptors): ...
def pack_extension_frames(frames): ...
def pack_inline_object_block(header, payload): ...
def pack_object_reference_blocks(blocks): ...
def pack_session_patch_ack_body(*, profile_patch_ack_block=None): ...
def pack_session_patch_body(*, profile_patch_block=None): ...
def pack_tensor_section(desc, *, codec_table=b"", length_table, payload): ...
def pack_tensor_section_data(section): ...
def pack_tile_index_block(tile_ids, *, mode, tile_base_id=0): ...
def pack_typed_payload_descriptors(descriptors): ...
def pack_typed_payload_frames(frames): ...
def parse_audio_chunk_frame(frame): ...
def parse_camera_inline_object_block(payload): ...
def parse_camera_reference_block(payload): ...
def parse_client_hello_loss_tolerance_extension(entry): ...
def parse_client_hello_payload_capabilities_extension(entry): ...
def parse_client_hello_transport_policy_extension(entry): ...
def parse_opaque_bytes_frame(frame): ...
def parse_server_hello_ack_loss_tolerance_extension(entry): ...
def parse_server_hello_ack_payload_capabilities_extension(entry): ...
def parse_server_hello_ack_transport_policy_extension(entry): ...
def parse_structured_event_frame(frame): ...
def parse_tensor_section_table_inline_object_block(payload): ...
def parse_tensor_section_table_reference_block(payload): ...
def parse_tile_index_inline_object_block(payload): ...
def parse_tile_index_reference_block(payload): ...
def parse_token_chunk_frame(frame): ...
def parse_tool_delta_frame(frame): ...
def parse_typed_payload_frame(frame, *, expected_kind=None): ...
def parse_video_chunk_frame(frame): ...
def unpack_body(body, *, known_extension_kinds=None): ...
def unpack_control_extension_block(payload, *, known_types=None): ...
def unpack_extension_frame_descriptors(payload): ...
def unpack_extension_frames(descriptor_region, payload_region, *, known_extension_kinds=None): ...
def unpack_inline_object_block(payload): ...
def unpack_inline_object_blocks(payload): ...
def unpack_object_reference_blocks(payload): ...
def unpack_session_patch_ack_body(body, *, profile_patch_ack_bytes): ...
def unpack_session_patch_body(body, *, profile_patch_bytes): ...
def unpack_tensor_body(body, section_count, *, tile_index_bytes=0, tile_count=None): ...
def unpack_tile_index_block(payload, mode, *, tile_count=None, tile_base_id=0): ...
def unpack_typed_payload_descriptors(payload): ...
def unpack_typed_payload_frames(descriptor_region, payload_region): ...
def validate_frame_submit_body(metadata, body, *, known_extension_kinds=None): ...
def validate_result_push_body(metadata, body, *, known_extension_kinds=None): ...
def validate_result_push_tensor_coverage(metadata): ...
