"""What a client gets back for a frame."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NoReturn, Self

from nnrp import _native
from nnrp._lazy import LazyThroughout, new_object, packet_from_native, tensor_body_from_native
from nnrp.client.request import TypedPayload, typed_payloads_from_native
from nnrp.core import (
    HeaderFlags,
    MessageType,
    NnrpPacket,
    PayloadKind,
    ResultClass,
    ResultHintReason,
    ResultPushMetadata,
    TensorBodyView,
    TensorSectionView,
    unpack_tile_index_block,
)
from nnrp.core._base import Value
from nnrp.core._packet import carried

__all__ = ["Result"]


class _DroppedSections(tuple[TensorSectionView, ...]):  # noqa: SLOT001  # a tuple has no room for slots
    """The empty tuple of a drop, which says so to those who want the first section of it."""

    def __new__(cls, result: Result) -> Self:
        sections = super().__new__(cls)
        sections._result = result
        return sections

    _result: Result

    if not TYPE_CHECKING:  # for type checkers it is a tuple

        def __getitem__(self, which: object) -> object:
            if isinstance(which, slice):
                return ()
            result = self._result
            why = f" ({result.drop_reason})" if result.drop_reason else ""
            raise IndexError(
                f"frame {result.frame_id} was dropped{why}: a drop has no sections; "
                "look at result.is_drop first"
            )


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Result(Value):
    """A result, or the news that there will be none.

    Attributes:
        packet: the RESULT_PUSH or RESULT_DROP packet.
        metadata: its metadata; ``None`` for a drop.
        tensor_body: views over the received body; ``None`` without tensor payload.
        typed_payloads: payloads that are not tensors.

    """

    packet: NnrpPacket
    metadata: ResultPushMetadata | None = None
    tensor_body: TensorBodyView | None = None
    typed_payloads: tuple[TypedPayload, ...] = ()

    def __repr__(self) -> str:
        # Whoever prints a result wants to know what it is, and not to have its payloads decoded and shown.
        about = f"Result of frame {self.frame_id}"
        if self.metadata is None:
            why = "" if self.drop_reason is None else f": {self.drop_reason}"
            return f"<{about}: dropped{why}>"
        return (
            f"<{about}: {self.metadata.result_class}, {carried(self.metadata, self.packet.header.body_len)}>"
        )

    @property
    def frame_id(self) -> int:
        """The frame this is about."""
        return self.packet.header.frame_id

    @property
    def view_id(self) -> int:
        """The frame's view."""
        return self.packet.header.view_id

    @property
    def is_drop(self) -> bool:
        """Whether the server dropped the frame."""
        return self.packet.header.msg_type is MessageType.RESULT_DROP

    @property
    def is_push(self) -> bool:
        """Whether this is a result."""
        return self.packet.header.msg_type is MessageType.RESULT_PUSH

    @property
    def is_last(self) -> bool:
        """Whether this ends the frame: a drop, or a result that is not partial or has the flag EOS.

        A server may send results after the last one all the same; they are delivered.
        """
        if self.metadata is None:
            return True
        partial = self.metadata.result_class is ResultClass.PARTIAL
        return not partial or HeaderFlags.EOS in self.packet.header.flags

    @property
    def drop_reason(self) -> ResultHintReason | None:
        """Why the frame was dropped, if the server said so."""
        return None

    @property
    def beyond_policy(self) -> bool:
        """Whether the server applied a ``budget_policy`` that the frame did not allow.

        Such a result is delivered all the same. Of one that came after the frame's last it is not known.
        """
        return False

    @property
    def payload_kinds(self) -> tuple[PayloadKind, ...]:
        """The kinds of payload in it, one member each."""
        return tuple(self._kinds)

    @property
    def payload_frame_count(self) -> int:
        """The number of typed payloads."""
        return self.metadata.payload_frame_count if self.metadata is not None else 0

    @property
    def token_chunks(self) -> tuple[bytes, ...]:
        """The payloads of kind ``TOKEN_CHUNK``."""
        return self._payloads(PayloadKind.TOKEN_CHUNK)

    @property
    def audio_chunks(self) -> tuple[bytes, ...]:
        """The payloads of kind ``AUDIO_CHUNK``."""
        return self._payloads(PayloadKind.AUDIO_CHUNK)

    @property
    def video_chunks(self) -> tuple[bytes, ...]:
        """The payloads of kind ``VIDEO_CHUNK``."""
        return self._payloads(PayloadKind.VIDEO_CHUNK)

    @property
    def structured_events(self) -> tuple[bytes, ...]:
        """The payloads of kind ``STRUCTURED_EVENT``."""
        return self._payloads(PayloadKind.STRUCTURED_EVENT)

    @property
    def tool_deltas(self) -> tuple[bytes, ...]:
        """The payloads of kind ``TOOL_DELTA``."""
        return self._payloads(PayloadKind.TOOL_DELTA)

    @property
    def opaque_bytes_payloads(self) -> tuple[bytes, ...]:
        """The payloads of kind ``OPAQUE_BYTES``."""
        return self._payloads(PayloadKind.OPAQUE_BYTES)

    @property
    def has_tensor_coverage(self) -> bool:
        """Whether the result says which tiles it covers."""
        return self.has_payload_kind(PayloadKind.TENSOR)

    @property
    def tensor_covered_tile_count(self) -> int | None:
        """Tiles with content; ``None`` without tensor."""
        if self.metadata is None or not self.has_tensor_coverage:
            return None
        return self.metadata.covered_tile_count

    @property
    def tensor_dropped_tile_count(self) -> int | None:
        """Tiles without content; ``None`` without tensor."""
        if self.metadata is None or not self.has_tensor_coverage:
            return None
        return self.metadata.dropped_tile_count

    @property
    def tile_ids(self) -> tuple[int, ...]:
        """The tiles the sections hold, in order."""
        if self.metadata is None or self.tensor_body is None:
            return ()
        return unpack_tile_index_block(
            self.tensor_body.tile_index_block,
            mode=self.metadata.tile_index_mode,
            tile_count=self.metadata.tile_count,
            tile_base_id=self.metadata.tile_base_id,
        )

    @property
    def sections(self) -> tuple[TensorSectionView, ...]:
        """The tensor sections; empty for a drop and without tensors."""
        if self.tensor_body is not None:
            return self.tensor_body.sections
        return _DroppedSections(self) if self.is_drop else ()

    def has_payload_kind(self, payload_kind: PayloadKind | int) -> bool:
        """Return whether the result has a payload of one of the kinds in ``payload_kind``."""
        return bool(self._kinds & PayloadKind(payload_kind))

    def typed_payloads_of_kind(self, payload_kind: PayloadKind | int) -> tuple[TypedPayload, ...]:
        """Return the typed payloads of exactly this kind."""
        return tuple(payload for payload in self.typed_payloads if payload.payload_kind == payload_kind)

    @property
    def _kinds(self) -> PayloadKind:
        return self.metadata.payload_kind_bitmap if self.metadata is not None else PayloadKind.NONE

    def _payloads(self, kind: PayloadKind) -> tuple[bytes, ...]:
        return tuple(payload.payload for payload in self.typed_payloads_of_kind(kind))


def _metadata(result: LazyResult) -> ResultPushMetadata | None:
    if result._source.body is None:
        return None
    values = ResultPushMetadata.STRUCT.unpack(result._source.packet.metadata)
    return ResultPushMetadata._from_wire(values)


def _typed_payloads(result: LazyResult) -> tuple[TypedPayload, ...]:
    body = result._source.body
    return typed_payloads_from_native(body) if body is not None else ()


class LazyResult(LazyThroughout, Result):
    """A received result whose parts are decoded when they are read."""

    __slots__ = ("_source", "_tensor_body")

    _source: _native.Result
    #: ``False`` until it is asked for.
    _tensor_body: TensorBodyView | Literal[False] | None
    _public = Result

    # What nearly everybody reads: a field that is not set would cost an AttributeError first.
    @property
    def tensor_body(self) -> TensorBodyView | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The views over the received body."""
        tensor_body = self._tensor_body
        if tensor_body is False:
            body = self._source.body
            tensor_body = tensor_body_from_native(body) if body is not None else None
            self._tensor_body = tensor_body
        return tensor_body

    @tensor_body.setter
    def tensor_body(self, _value: object) -> NoReturn:
        raise FrozenInstanceError("cannot assign to field 'tensor_body'")

    @tensor_body.deleter
    def tensor_body(self) -> NoReturn:  # pyright: ignore[reportIncompatibleVariableOverride]
        raise FrozenInstanceError("cannot delete field 'tensor_body'")

    @property
    def frame_id(self) -> int:
        """The frame this is about."""
        return self._source.frame_id

    @property
    def view_id(self) -> int:
        """The frame's view."""
        return self._source.view_id

    @property
    def is_drop(self) -> bool:
        """Whether the server dropped the frame."""
        return self._source.is_drop

    _build: ClassVar = {
        "packet": lambda self: packet_from_native(self._source.packet),
        "metadata": _metadata,
        "typed_payloads": _typed_payloads,
    }

    @property
    def drop_reason(self) -> ResultHintReason | None:
        """Why the frame was dropped, if the server said so."""
        reason = self._source.drop_reason
        return ResultHintReason(reason) if reason is not None else None

    @property
    def beyond_policy(self) -> bool:
        """Whether the server applied a ``budget_policy`` that the frame did not allow."""
        return self._source.beyond_policy


def received_result(native: _native.Result) -> Result:
    """Return the public object over a received result."""
    result = new_object(LazyResult)
    result._source = native
    result._tensor_body = False
    return result
