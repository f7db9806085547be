@dataclass(frozen=True, slots=True)
class Admit:
    token_ttl: ... = None

AuthValidator: ...

@dataclass(frozen=True, slots=True)
class Busy:
    retry_after: ... = 1.0

@dataclass(frozen=True, slots=True)
class ClientHelloContext:
    packet: ...
    metadata: ...
    auth_block: ...
    control_extensions: ...
    peer_certificates: ... = ()

@dataclass(frozen=True, slots=True)
class Drained:
    answered: ... = 0
    dropped: ... = 0
    refused: ... = 0
    lost: ... = 0

class MicroBatcher:
    def __init__(self, run, *, max_size, max_delay=0.0, max_pending=None, executor=None): ...
    async def __aenter__(self): ...
    async def __aexit__(self, kind, error, trace): ...
    async def compute(self, item): ...
    @property
    def pending(self): ...

@dataclass(frozen=True, slots=True)
class ReceivedSubmit:
    packet: ...
    metadata: ...
    request: ...
    tensor_body: ... = None
    def allows(self, policy): ...
    async def cancelled(self): ...

@dataclass(frozen=True, slots=True)
class ServerOptions:
    answer_probes: ... = True
    max_cache_entries: ... = 256
    max_cache_bytes: ... = 8388608
    payload_kinds: ... = PayloadKind(127)
    codecs: ... = 3
    compressions: ... = 3
    dtypes: ... = 255
    layouts: ... = 3
    max_lanes: ... = 65535
    max_loss_tolerance: ... = LossTolerance.FIRE_AND_FORGET
    migration_grace: ... = 1.0
    max_kept_bytes: ... = 8388608

@dataclass(slots=True)
class ServerProfile:
    max_concurrent_frames: ... = 1
    enable_cache: ... = True
    max_sections: ... = 16
    max_body_bytes: ... = 33554432

@dataclass(slots=True)
class ServerSession:
    connection: ...
    transport_id: ...
    hello: ...
    session_id: ...
    active_model_name: ... = ""
    server_profile: ... = ServerProfile()
    async def __aenter__(self): ...
    async def __aexit__(self, kind, error, trace): ...
    def __aiter__(self): ...
    async def __anext__(self): ...
    async def close(self): ...
    async def drain(self, timeout=30.0, reason="the server is shutting down"): ...
    def frame_cancelled(self, frame_id, view_id=0): ...
    @property
    def is_closed(self): ...
    @property
    def parameters(self): ...
    @property
    def peer_address(self): ...
    @property
    def peer_certificates(self): ...
    async def receive_control(self, timeout=None): ...
    async def receive_submit(self, timeout=None): ...
    async def receive_submits(self, max_n, timeout=None): ...
    async def send_flow_update(self, metadata, *, trace_id=0, flags=HeaderFlags.NONE): ...
    async def send_result(
        self,
        *,
        frame_id,
        tile_ids=(),
        sections=(),
        typed_payloads=(),
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
        flags=HeaderFlags.NONE,
        view_id=0,
        route_id=0,
        trace_id=0,
    ): ...
    async def send_part(
        self, received, *, tile_ids=(), sections=(), typed_payloads=(), last=False, **result
    ): ...
    async def send_result_drop(
        self, frame_id, reason=None, *, flags=HeaderFlags.NONE, view_id=0, route_id=0, trace_id=0
    ): ...
    async def send_result_hint(
        self,
        congestion_state=ResultHintCongestionState.NONE,
        *,
        applied_budget_policy=ResultHintBudgetPolicy.NONE,
        reason=ResultHintReason.NONE,
        retry_after_ms=0,
        frame_id=0,
        route_id=0,
        trace_id=0,
        flags=HeaderFlags.NONE,
    ): ...
    @property
    def stats(self): ...

@dataclass(frozen=True)
class ServerSessionAcceptResolution:
    session_id: ...
    active_model_name: ... = ""

SessionResolver: ...

async def accept_server_connection(
    connection,
    *,
    first_packet=None,
    session_id=None,
    active_model_name="",
    server_profile=None,
    timeout=10.0,
    session_resolver=None,
    auth_validator=None,
    extra_extensions=(),
    enforce_credit=False,
    expire_frames=False,
    strict_frame_ids=False,
    allow_migration=False,
): ...
async def accept_server_session(
    listener_or_connection=None,
    profile=None,
    *,
    model_name="",
    extra_extensions=(),
    auth_validator=None,
    active_model_name="",
    server_profile=None,
    session_id=None,
    timeout=None,
    handshake_timeout=10.0,
    on_rejected=None,
    session_resolver=None,
    listener=None,
    enforce_credit=False,
    expire_frames=False,
    strict_frame_ids=False,
    allow_migration=False,
): ...
async def serve_sessions(
    *listeners,
    handler,
    profile=None,
    drain_timeout=30.0,
    drain_reason="the server is shutting down",
    signals=(
        signal.SIGTERM,
        signal.SIGINT,
    ),
    stop=None,
    **accepting,
): ...
def tokens_equal(auth_block, token): ...
