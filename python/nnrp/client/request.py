"""What a client submits: frames of tensor sections, typed payloads, or both."""

from __future__ import annotations

import time
from dataclasses import KW_ONLY, dataclass
from operator import attrgetter
from typing import Any

from nnrp import _native
from nnrp.core import (
    BudgetPolicy,
    HeaderFlags,
    InputProfile,
    ObjectReferenceBlock,
    PayloadKind,
    SubmitMode,
    TensorSectionData,
    TileIndexMode,
    TypedPayloadFrame,
)
from nnrp.core._base import Value, as_bytes, filled_directly, octets

__all__ = ["SubmitRequest", "TypedPayload"]


@dataclass(frozen=True, slots=True, init=False, repr=False, eq=False)
class TypedPayload(Value):
    """One payload that is not a tensor: a token chunk, an audio chunk, an event.

    Attributes:
        payload_kind: exactly one kind, and not ``TENSOR``.
        payload: the bytes.
        profile_id: how to read them, agreed between the applications (u16).
        descriptor_flags: must be 0 in this revision of the protocol.

    """

    payload_kind: PayloadKind
    payload: bytes
    profile_id: int = 0
    descriptor_flags: int = 0

    def __init__(
        self,
        payload_kind: PayloadKind,
        payload: bytes | None = None,
        profile_id: int = 0,
        descriptor_flags: int = 0,
        *,
        data: bytes | None = None,
    ) -> None:
        """Make a payload; ``data`` may be given instead of ``payload``.

        Raises:
            TypeError: neither or both of ``payload`` and ``data`` are given, or they are not bytes-like.
            ValueError: the kind is not exactly one non-tensor kind, or the flags are not 0.

        """
        content = payload if data is None else data
        if content is None or None not in (payload, data):
            raise TypeError("TypedPayload takes exactly one of 'payload' and 'data'")
        kind = PayloadKind(payload_kind)
        if kind is PayloadKind.TENSOR:
            raise ValueError("tensor payloads must be encoded as tensor sections, not as typed payloads")
        if kind.value.bit_count() != 1:
            raise ValueError(f"payload_kind must contain exactly one payload kind, got {kind.value:#x}")
        if descriptor_flags != 0:
            raise ValueError(f"descriptor_flags must be 0, got {descriptor_flags}")
        object.__setattr__(self, "payload_kind", kind)
        object.__setattr__(self, "payload", _octets(kind, content))
        object.__setattr__(self, "profile_id", profile_id)
        object.__setattr__(self, "descriptor_flags", 0)

    def __repr__(self) -> str:
        return (
            f"TypedPayload(payload_kind={self.payload_kind!r}, payload={octets(self.payload)}, "
            f"profile_id={self.profile_id!r}, descriptor_flags={self.descriptor_flags!r})"
        )

    @property
    def data(self) -> bytes:
        """The same bytes as ``payload``."""
        return self.payload

    @classmethod
    def from_core_frame(cls, frame: TypedPayloadFrame) -> TypedPayload:
        """Make a payload from a decoded frame of :mod:`nnrp.core`."""
        return cls(frame.payload_kind, frame.payload, frame.profile_id, frame.descriptor_flags)

    def to_core_frame(self) -> TypedPayloadFrame:
        """Return the frame of :mod:`nnrp.core` with the same content."""
        return TypedPayloadFrame(
            payload_kind=self.payload_kind,
            payload=self.payload,
            profile_id=self.profile_id,
            descriptor_flags=self.descriptor_flags,
        )

    @classmethod
    def token_chunk(cls, payload: bytes, *, profile_id: int = 0, descriptor_flags: int = 0) -> TypedPayload:
        """Make a ``TOKEN_CHUNK`` payload."""
        return cls(PayloadKind.TOKEN_CHUNK, payload, profile_id, descriptor_flags)

    @classmethod
    def audio_chunk(cls, payload: bytes, *, profile_id: int = 0, descriptor_flags: int = 0) -> TypedPayload:
        """Make an ``AUDIO_CHUNK`` payload."""
        return cls(PayloadKind.AUDIO_CHUNK, payload, profile_id, descriptor_flags)

    @classmethod
    def video_chunk(cls, payload: bytes, *, profile_id: int = 0, descriptor_flags: int = 0) -> TypedPayload:
        """Make a ``VIDEO_CHUNK`` payload."""
        return cls(PayloadKind.VIDEO_CHUNK, payload, profile_id, descriptor_flags)

    @classmethod
    def structured_event(
        cls, payload: bytes, *, profile_id: int = 0, descriptor_flags: int = 0
    ) -> TypedPayload:
        """Make a ``STRUCTURED_EVENT`` payload."""
        return cls(PayloadKind.STRUCTURED_EVENT, payload, profile_id, descriptor_flags)

    @classmethod
    def tool_delta(cls, payload: bytes, *, profile_id: int = 0, descriptor_flags: int = 0) -> TypedPayload:
        """Make a ``TOOL_DELTA`` payload."""
        return cls(PayloadKind.TOOL_DELTA, payload, profile_id, descriptor_flags)

    @classmethod
    def opaque_bytes(cls, payload: bytes, *, profile_id: int = 0, descriptor_flags: int = 0) -> TypedPayload:
        """Make an ``OPAQUE_BYTES`` payload."""
        return cls(PayloadKind.OPAQUE_BYTES, payload, profile_id, descriptor_flags)


def _octets(kind: PayloadKind, content: bytes) -> bytes:
    try:
        return as_bytes(content)
    except TypeError:
        if hasattr(content, "__dlpack__"):
            raise  # it says what is wrong with this tensor
        hint = "; use text.encode()" if isinstance(content, str) else ""
        given = type(content).__name__
        raise TypeError(f"the payload of a {kind.name} must be bytes-like, not {given!r}{hint}") from None


@filled_directly
@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SubmitRequest(Value):
    """One frame for the server.

    The ``frame_id`` is chosen by the client, and results come back under it. Frames that still wait for a
    result should have different ids (together with ``view_id``), else their results cannot be told apart;
    counting up is enough. Over QUIC every frame travels on a stream of its own, so frames may arrive, and be
    answered, in any order: a small one overtakes a large one.

    Attributes:
        frame_id: the client's number for the frame (u32).
        src_width: width of the source image in pixels (u16), as are the three that follow.
        src_height: height of the source image.
        tile_width: width of a tile.
        tile_height: height of a tile.
        tile_ids: which tiles the sections hold, in the order of their payloads: one id for each payload of a
            section. Any order; the protocol allows an id twice.
        sections: tensor data, one payload per tile in each section.
        camera_block: camera data, opaque to the protocol.
        frame_class: a :class:`~nnrp.core.FrameClass` or any u8.
        input_profile: what the tensors show.
        tile_index_mode: how the tile ids are written.
        latency_budget_ms: time the server has for an answer; 0 for no budget. Above 65535 it saturates.
        target_fps_x100: frames per second the client aims for, times 100.
        retry_of_frame: the frame this one repeats, 0 for none.
        tile_base_id: first tile of a dense range.
        submit_mode: whether objects are inline, by reference, or mixed.
        object_ref_mask: which objects come by reference; computed from the references if 0.
        camera_reference: a cached camera block.
        tile_index_reference: a cached tile index.
        tensor_section_table_reference: a cached section table.
        budget_policy: what the client accepts when the budget runs out.
        dependency_frame_id: the frame this one needs, 0 for none.
        loss_tolerance_policy: a :class:`~nnrp.core.LossTolerance`, or 0xFF for the session's.
        payload_kind_bitmap: kinds of payload; computed if there are typed payloads.
        payload_frame_count: number of typed payloads; computed if there are any.
        typed_payloads: payloads that are not tensors.
        view_id: the view the frame belongs to (u16).
        route_id: routing hint (u16).
        trace_id: for correlating logs (u64).
        flags: header flags.
        inference_budget_ms: another name of ``latency_budget_ms``.
        deadline_ms: Unix time in milliseconds; at send time it shortens the budget to what is left. Not sent.

    """

    frame_id: int
    src_width: int = 0
    src_height: int = 0
    tile_width: int = 0
    tile_height: int = 0
    tile_ids: tuple[int, ...] = ()
    sections: tuple[TensorSectionData, ...] = ()
    camera_block: bytes = b""
    frame_class: int = 0
    input_profile: InputProfile = InputProfile.UNSPECIFIED
    tile_index_mode: TileIndexMode = TileIndexMode.RAW_U16
    latency_budget_ms: int = 0
    target_fps_x100: int = 0
    retry_of_frame: int = 0
    tile_base_id: int = 0
    submit_mode: SubmitMode = SubmitMode.INLINE
    object_ref_mask: int = 0
    camera_reference: ObjectReferenceBlock | None = None
    tile_index_reference: ObjectReferenceBlock | None = None
    tensor_section_table_reference: ObjectReferenceBlock | None = None
    budget_policy: BudgetPolicy = BudgetPolicy.NONE
    dependency_frame_id: int = 0
    loss_tolerance_policy: int = 0xFF
    payload_kind_bitmap: PayloadKind = PayloadKind.TENSOR
    payload_frame_count: int = 0
    typed_payloads: tuple[TypedPayload, ...] = ()
    view_id: int = 0
    route_id: int = 0
    trace_id: int = 0
    flags: HeaderFlags = HeaderFlags.NONE
    _: KW_ONLY
    inference_budget_ms: int = 0
    deadline_ms: int = 0

    def __post_init__(self) -> None:
        """Make the two names of the budget agree."""
        budget, other = self.latency_budget_ms, self.inference_budget_ms
        if budget and other and budget != other:
            raise ValueError(
                f"latency_budget_ms is {budget} but inference_budget_ms, the same thing, is {other}"
            )
        if budget != other:
            object.__setattr__(self, "latency_budget_ms", budget or other)
            object.__setattr__(self, "inference_budget_ms", budget or other)


def typed_payloads_from_native(body: _native.FrameBody) -> tuple[TypedPayload, ...]:
    """Return the typed payloads of a received body."""
    return tuple(
        TypedPayload(PayloadKind(kind), payload, profile_id)
        for kind, payload, profile_id in body.typed_payloads()
    )


#: What the native encoder gets to know about a request, in the order it reads it, and the field it is from
#: where that has another name. References come last.
_SUBMIT_FIELDS = {
    "flags": "",
    "frame_id": "",
    "view_id": "",
    "route_id": "",
    "trace_id": "",
    "frames": "typed_payloads",
    "src_width": "",
    "src_height": "",
    "tile_width": "",
    "tile_height": "",
    "frame_class": "",
    "input_profile": "",
    "tile_index_mode": "",
    "latency_budget_ms": "",
    "target_fps_x100": "",
    "retry_of_frame": "",
    "tile_base_id": "",
    "budget_policy": "",
    "dependency_frame_id": "",
    "payload_kind_bitmap": "",
    "tile_ids": "",
    "sections": "",
    "camera_block": "",
    "loss_tolerance_policy": "",
    "submit_mode": "",
    "object_ref_mask": "",
    "camera_reference": "",
    "tile_index_reference": "",
    "section_table_reference": "tensor_section_table_reference",
}
SUBMIT_ARGUMENTS = tuple(_SUBMIT_FIELDS)
_REFERENCES = SUBMIT_ARGUMENTS[-3:]
_NO_REFERENCES = (None,) * len(_REFERENCES)
_INLINE = SubmitMode.INLINE
_values = attrgetter(*(field or name for name, field in _SUBMIT_FIELDS.items()))


def submit_arguments(request: SubmitRequest, default_budget_ms: int) -> tuple[Any, ...]:
    """Return what the native encoder needs to know about ``request``: the values of :data:`SUBMIT_ARGUMENTS`.

    Raises:
        TypeError: it is no request.
        ValueError: the request's deadline has passed, or it combines typed payloads with references.

    """
    if not isinstance(request, SubmitRequest):
        raise TypeError(f"a SubmitRequest is required, not {type(request).__name__!r}")
    values: tuple[Any, ...] = _values(request)
    plain = request.submit_mode is _INLINE and values[-len(_REFERENCES) :] == _NO_REFERENCES
    if plain and not (request.deadline_ms or default_budget_ms):
        return values
    arguments = dict(zip(SUBMIT_ARGUMENTS, values, strict=True))
    given = {name: arguments[name] for name in _REFERENCES if arguments[name] is not None}
    if request.typed_payloads and (given or request.submit_mode is not _INLINE):
        raise ValueError(
            "a request with typed payloads cannot have references or a submit_mode other than INLINE"
        )
    arguments.update({name: reference.pack() for name, reference in given.items()})
    arguments["latency_budget_ms"] = _budget_at_send(request, default_budget_ms)
    return tuple(arguments.values())


def _budget_at_send(request: SubmitRequest, default_ms: int) -> int:
    """Return the budget to put on the wire now, in milliseconds."""
    budget = request.latency_budget_ms or default_ms
    if not request.deadline_ms:
        return budget
    # The deadline is wall-clock time by definition, so the wall clock it is.
    left = request.deadline_ms - time.time_ns() // 1_000_000
    if left <= 0:
        raise ValueError(f"the deadline of frame {request.frame_id} passed {-left} ms ago")
    return min(budget, left) if budget else left
