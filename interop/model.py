"""What a scenario is made of, in plain integers and bytes.

Nothing here imports ``nnrp``: the same table is read by the test process and by peers of two packages that
share that import name. Field names are the parameter names of the API, so a peer turns a value into a call by
keyword.
"""

from __future__ import annotations

import dataclasses
import hashlib
import struct
from dataclasses import dataclass
from typing import Any, Literal

Transport = Literal["quic", "tcp"]
Package = Literal["rc2", "ours"]

TRANSPORT_IDS: dict[Transport, int] = {"quic": 1, "tcp": 2}

DENSE_RANGE, RAW_U16, DELTA_U16, BITSET = range(4)
TENSOR = 0x01
TOKEN_CHUNK, AUDIO_CHUNK, VIDEO_CHUNK, STRUCTURED_EVENT, TOOL_DELTA, OPAQUE_BYTES = (
    1 << bit for bit in range(1, 7)
)

#: Bytes per element of each dtype, indexed by ``dtype_id``.
DTYPE_BYTES = (2, 4, 1, 1, 1, 1, 2, 2)

#: ``ext_type`` of what a client announces; the server's answer to each has the next number.
TRANSPORT_POLICY, LOSS_TOLERANCE, PAYLOAD_CAPABILITIES = 0x0101, 0x0103, 0x0105


def content(label: str, length: int) -> bytes:
    """Bytes that depend on ``label`` only, the same in every process."""
    return hashlib.shake_128(label.encode()).digest(length)


@dataclass(frozen=True, slots=True)
class Section:
    """One tensor section; ``codec_ids`` is empty when every tile uses ``default_codec_id``."""

    role_id: int
    dtype_id: int
    tile_payloads: tuple[bytes, ...]
    default_codec_id: int = 0
    codec_ids: tuple[int, ...] = ()
    layout_id: int = 0
    scale_policy: int = 0
    payload_stride_bytes: int = 0
    element_count_per_tile: int = 0


@dataclass(frozen=True, slots=True)
class Typed:
    """One typed payload frame."""

    payload_kind: int
    payload: bytes
    profile_id: int = 0


@dataclass(frozen=True, slots=True)
class Reference:
    """A cached object named in place of its bytes."""

    object_kind: int
    cache_namespace: int
    cache_key_hi: int
    cache_key_lo: int


@dataclass(frozen=True, slots=True)
class Submit:
    """One FRAME_SUBMIT."""

    frame_id: int
    tile_ids: tuple[int, ...] = ()
    sections: tuple[Section, ...] = ()
    typed_payloads: tuple[Typed, ...] = ()
    camera_block: bytes = b""
    src_width: int = 0
    src_height: int = 0
    tile_width: int = 0
    tile_height: int = 0
    frame_class: int = 0
    input_profile: int = 0
    tile_index_mode: int = RAW_U16
    latency_budget_ms: int = 0
    target_fps_x100: int = 0
    retry_of_frame: int = 0
    tile_base_id: int = 0
    submit_mode: int = 0
    object_ref_mask: int = 0
    camera_reference: Reference | None = None
    tile_index_reference: Reference | None = None
    tensor_section_table_reference: Reference | None = None
    budget_policy: int = 0
    dependency_frame_id: int = 0
    loss_tolerance_policy: int = 0xFF
    view_id: int = 0
    route_id: int = 0
    trace_id: int = 0
    flags: int = 0

    @property
    def key(self) -> tuple[int, int]:
        """What names the frame within its session."""
        return self.view_id, self.frame_id


#: The frame by which a client tells the server to close; it gets no result.
GOODBYE = Submit(0xFFFF_FFFF, typed_payloads=(Typed(OPAQUE_BYTES, b"goodbye"),))


def unresolved(submit: Submit) -> Submit:
    """The same frame as a server without a cache must see it: what came by reference is not there."""
    changes: dict[str, Any] = {}
    if submit.camera_reference:
        changes["camera_block"] = b""
    if submit.tile_index_reference:
        changes["tile_ids"] = ()
    if submit.tensor_section_table_reference:
        changes["sections"] = ()
    return dataclasses.replace(submit, **changes)


@dataclass(frozen=True, slots=True)
class Push:
    """One RESULT_PUSH. ``covered_tile_count=None`` leaves the count to the sender's package."""

    frame_id: int
    tile_ids: tuple[int, ...] = ()
    sections: tuple[Section, ...] = ()
    typed_payloads: tuple[Typed, ...] = ()
    result_flags: int = 0
    active_profile_id: int = 0
    inference_ms: int = 0
    queue_ms: int = 0
    server_total_ms: int = 0
    status_code: int = 0
    tile_index_mode: int = RAW_U16
    tile_base_id: int = 0
    result_class: int = 0
    applied_budget_policy: int = 0
    reused_frame_id: int = 0
    covered_tile_count: int | None = None
    dropped_tile_count: int = 0
    payload_kind_bitmap: int = TENSOR
    flags: int = 0
    view_id: int = 0
    route_id: int = 0
    trace_id: int = 0

    @property
    def key(self) -> tuple[int, int]:
        """What names the frame within its session."""
        return self.view_id, self.frame_id

    def received(self) -> Push:
        """The same result as the other side must see it: what the sender fills in is filled in."""
        bitmap = self.payload_kind_bitmap
        if self.typed_payloads:
            bitmap = TENSOR if self.tile_ids or self.sections else 0
            for payload in self.typed_payloads:
                bitmap |= payload.payload_kind
        covered = self.covered_tile_count
        if covered is None:
            covered = len(self.tile_ids) - self.dropped_tile_count
        # The metadata has no mode: an empty tile index reads as dense_range.
        mode = RAW_U16 if self.tile_ids and self.tile_index_mode == RAW_U16 else DENSE_RANGE
        return dataclasses.replace(
            self, payload_kind_bitmap=bitmap, covered_tile_count=covered, tile_index_mode=mode
        )


@dataclass(frozen=True, slots=True)
class Drop:
    """One RESULT_DROP. The wire has no reason; ours may send a hint beside it."""

    frame_id: int
    view_id: int = 0
    route_id: int = 0
    trace_id: int = 0
    flags: int = 0

    @property
    def key(self) -> tuple[int, int]:
        """What names the frame within its session."""
        return self.view_id, self.frame_id


@dataclass(frozen=True, slots=True)
class Control:
    """One control message: its wire name and its metadata fields."""

    message: str
    fields: tuple[tuple[str, int], ...] = ()
    body: bytes = b""
    frame_id: int = 0
    view_id: int = 0
    trace_id: int = 0
    #: The message concerns the connection and carries session id 0.
    connection_scope: bool = False


@dataclass(frozen=True, slots=True)
class Exchange:
    """The client submits all frames; when the server has them all it sends all results, in this order.

    ``refused`` frames are submitted first and never reach the server's application: its library drops them.
    """

    submits: tuple[Submit, ...] = ()
    results: tuple[Push | Drop, ...] = ()
    refused: tuple[Submit, ...] = ()


@dataclass(frozen=True, slots=True)
class FromServer:
    """A control message the server sends by itself."""

    control: Control


@dataclass(frozen=True, slots=True)
class FromClient:
    """A control message the client sends; ``answer`` is what the server must reply, if it replies."""

    control: Control
    answer: Control | None = None


Step = Exchange | FromServer | FromClient


@dataclass(frozen=True, slots=True)
class Extension:
    """One control extension entry."""

    ext_type: int
    payload: bytes
    ext_flags: int = 0


@dataclass(frozen=True, slots=True)
class Hello:
    """How the client opens the session."""

    requested_session_id: int = 1
    auth_block: bytes = b""
    requested_model: str | None = None
    extensions: tuple[Extension, ...] = ()
    choice: Literal["none", "selected", "forced"] = "none"
    max_views: int = 1
    enable_cache: bool = True
    max_cache_entries: int = 256
    max_cache_bytes: int = 8 << 20
    probe: bool = False

    def wire_extensions(self, transport: Transport) -> tuple[Extension, ...]:
        """The entries the server must see: the library's own first, then the caller's."""
        if self.probe or self.choice == "selected":
            policy = {"quic": 1, "tcp": 2}[transport]
        elif self.choice == "forced":
            policy = {"quic": 3, "tcp": 4}[transport]
        else:
            return self.extensions
        payload = struct.pack("<B3xI", policy, TRANSPORT_IDS[transport])
        return (Extension(TRANSPORT_POLICY, payload), *self.extensions)

    def answers(self, transport: Transport) -> tuple[Extension, ...]:
        """What a server that answers extensions puts into its acknowledgement, by type."""
        answers = []
        for entry in self.wire_extensions(transport):
            payload = entry.payload
            if entry.ext_type == TRANSPORT_POLICY:
                payload = struct.pack("<BB2xI", payload[0], payload[0], TRANSPORT_IDS[transport])
            if entry.ext_type in (TRANSPORT_POLICY, LOSS_TOLERANCE, PAYLOAD_CAPABILITIES):
                answers.append(Extension(entry.ext_type + 1, payload))
        return tuple(sorted(answers, key=lambda entry: entry.ext_type))

    def wire_auth_block(self) -> bytes:
        """The auth block the server must see."""
        return self.auth_block if self.requested_model is None else self.requested_model.encode()


@dataclass(frozen=True, slots=True)
class Server:
    """How the server accepts the session. ``token`` is the only auth block it admits."""

    model_name: str = "interop"
    session_id: int | None = None
    max_concurrent_frames: int = 8
    enable_cache: bool = True
    max_sections: int = 16
    max_body_bytes: int = 32 << 20
    token: bytes | None = None


@dataclass(frozen=True, slots=True)
class Prevented:
    """Why a scenario cannot run when rc2 plays ``role`` (or ``both`` of them), on one transport or on all."""

    role: Literal["client", "server", "both"]
    reason: str
    transport: Transport | None = None


@dataclass(frozen=True, slots=True)
class Scenario:
    """One row of the matrix."""

    name: str
    steps: tuple[Step, ...] = ()
    hello: Hello = Hello()
    server: Server = Server()
    #: Sessions that run the steps at the same time, each on its own connection.
    sessions: int = 1
    #: The client reads results by frame id through ``manage_results()``.
    router: bool = False
    #: ``refused``: the handshake fails. ``server``: the server closes when told by a last frame.
    #: ``result``: the server closes right after the last result, which must still arrive.
    ending: Literal["client", "server", "result", "refused"] = "client"
    #: The server resolves references from its cache; otherwise they reach the application as they are.
    resolves_references: bool = False
    prevented: tuple[Prevented, ...] = ()

    def prevented_by(self, client: Package, server: Package, transport: Transport) -> str | None:
        """The reason why these two cannot run this scenario, or ``None``."""
        plays = {"client": client == "rc2", "server": server == "rc2", "both": client == server == "rc2"}
        for rule in self.prevented:
            if plays[rule.role] and rule.transport in (None, transport):
                return rule.reason
        return None


def differences(expected: object, actual: object) -> list[str]:
    """Field by field, in words; payloads only by length and digest."""
    if type(expected) is not type(actual):
        return [f"expected {_brief(expected)}, got {_brief(actual)}"]
    if not dataclasses.is_dataclass(expected):
        return [] if expected == actual else [f"expected {_brief(expected)}, got {_brief(actual)}"]
    return [
        f"{field.name}: expected {_brief(wanted)}, got {_brief(got)}"
        for field in dataclasses.fields(expected)
        if (wanted := getattr(expected, field.name)) != (got := getattr(actual, field.name))
    ]


#: Bytes and items of a value that a message shows in full.
_BRIEF_BYTES, _BRIEF_ITEMS = 32, 4


def _brief(value: object) -> str:
    if isinstance(value, bytes) and len(value) > _BRIEF_BYTES:
        return f"<{len(value)} bytes {hashlib.sha256(value).hexdigest()[:12]}>"
    if isinstance(value, tuple):
        shown = ", ".join(_brief(item) for item in value[:_BRIEF_ITEMS])
        return f"({shown}{', ...' if len(value) > _BRIEF_ITEMS else ''}) of {len(value)}"
    if dataclasses.is_dataclass(value):
        fields = (f"{field.name}={_brief(getattr(value, field.name))}" for field in dataclasses.fields(value))
        return f"{type(value).__name__}({', '.join(fields)})"
    return repr(value)
