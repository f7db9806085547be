"""What a server gets to see: the hello of a client, and the frames it submits."""

from __future__ import annotations

import time
from dataclasses import FrozenInstanceError, dataclass, fields
from operator import attrgetter
from typing import Any, ClassVar, NoReturn

from nnrp import _native
from nnrp._lazy import (
    Lazy,
    LazyFrozen,
    LazySection,
    LazyThroughout,
    is_built,
    new_object,
    packet_from_native,
    sections_from_native,
    tensor_body_from_native,
)
from nnrp.client.request import SubmitRequest, typed_payloads_from_native
from nnrp.core import (
    BudgetPolicy,
    CacheObjectKind,
    ClientHelloMetadata,
    ControlExtensionEntry,
    ControlExtensionFlags,
    FrameSubmitMetadata,
    HeaderFlags,
    NnrpPacket,
    ObjectReferenceBlock,
    TensorBodyView,
    TensorSectionData,
)
from nnrp.core._base import Value, octets, unfrozen
from nnrp.core._packet import carried, summary

__all__ = ["ClientHelloContext", "ReceivedSubmit"]


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ClientHelloContext(Value):
    """What a client said in its CLIENT_HELLO.

    Attributes:
        packet: the packet.
        metadata: its metadata.
        auth_block: the client's credentials, untouched.
        control_extensions: every extension, known or not, in wire order.
        peer_certificates: the certificates it showed to TLS, DER, its own first; empty if it showed none.
            They come from an authority that the server's configuration names.

    """

    packet: NnrpPacket
    metadata: ClientHelloMetadata
    auth_block: bytes
    control_extensions: tuple[ControlExtensionEntry, ...]
    peer_certificates: tuple[bytes, ...] = ()

    def __repr__(self) -> str:
        # Credentials do not belong in a log, and neither does every number of a session that is printed.
        return (
            f"ClientHelloContext(packet={summary(self.packet)}, metadata=…, "
            f"auth_block={octets(self.auth_block)}, "
            f"control_extensions=<{len(self.control_extensions)} entries>, "
            f"peer_certificates=<{len(self.peer_certificates)}>)"
        )


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ReceivedSubmit(Value):
    """A frame that a client submitted.

    Attributes:
        packet: the packet.
        metadata: its metadata, with ``frame_id`` and ``deadline_ms`` filled in.
        request: the same frame as the client wrote it.
        tensor_body: views over the received body; ``None`` without tensor payload, and if the section table
            came by a reference that was not resolved.

    """

    packet: NnrpPacket
    metadata: FrameSubmitMetadata
    request: SubmitRequest
    tensor_body: TensorBodyView | None = None

    def __repr__(self) -> str:
        content = carried(self.metadata, self.packet.header.body_len)
        return f"<ReceivedSubmit of frame {self.frame_id}: {content}>"

    @property
    def frame_id(self) -> int:
        """The client's number for the frame, which the answer has to name."""
        return self.packet.header.frame_id

    @property
    def view_id(self) -> int:
        """The view the frame belongs to, which the answer has to name if it is not 0."""
        return self.packet.header.view_id

    async def cancelled(self) -> None:
        """Wait until nobody wants the answer: the frame was cancelled or expired, or the session ended.

        For work that should stop then, run it beside this::

            work = asyncio.create_task(infer(received.request))
            gone = asyncio.create_task(received.cancelled())
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)

        A cancelled frame still has to end: answer it, or
        ``await session.send_result_drop(received.frame_id)``.

        Raises:
            RuntimeError: the frame does not come from a session.

        """
        raise RuntimeError("this frame was not received by a session")

    def allows(self, policy: BudgetPolicy) -> bool:
        """Return whether the client accepts a result that makes use of ``policy`` instead of a complete one.

        A frame that would need what is not allowed is dropped instead; sending does not check it.
        """
        return policy in self.metadata.budget_policy


def hello_context(native: _native.PendingSession) -> ClientHelloContext:
    """Return the hello of a client that waits to be admitted."""
    packet = packet_from_native(native.packet)
    return ClientHelloContext(
        packet=packet,
        metadata=ClientHelloMetadata.unpack(packet.metadata),
        auth_block=native.auth_block,
        control_extensions=tuple(
            ControlExtensionEntry(kind, ControlExtensionFlags(flags), payload)
            for kind, flags, payload in native.extensions
        ),
        peer_certificates=tuple(native.peer_certificates),
    )


class LazySubmitMetadata(Lazy, FrameSubmitMetadata):
    """The metadata of a received submit: but for the frame's id, decoded when something of it is read."""

    __slots__ = ("_source",)

    _source: _native.Submit
    _public = FrameSubmitMetadata

    def __getattr__(self, name: str) -> Any:
        if name not in _METADATA_FIELDS:
            raise AttributeError(f"'FrameSubmitMetadata' object has no attribute {name!r}")
        source = self._source
        decoded = FrameSubmitMetadata._from_wire(FrameSubmitMetadata.STRUCT.unpack(source.packet.metadata))
        if decoded.latency_budget_ms:
            received_ms = time.time_ns() // 1_000_000 - source.age_ms
            decoded.deadline_ms = received_ms + decoded.latency_budget_ms
        decoded.frame_id = self.frame_id
        for field in _METADATA_FIELDS:
            if not is_built(self, field):
                setattr(self, field, getattr(decoded, field))
        return object.__getattribute__(self, name)


_METADATA_FIELDS = tuple(field.name for field in fields(FrameSubmitMetadata))


class LazySubmit(LazyFrozen, ReceivedSubmit):
    """A received submit whose parts are decoded when they are read."""

    __slots__ = ("_session", "_source", "frame_id", "view_id")  # pyright: ignore[reportIncompatibleMethodOverride]

    _session: _native.ServerSession | None
    _source: _native.Submit
    _public = ReceivedSubmit
    _build: ClassVar = {
        "packet": lambda self: packet_from_native(self._source),
        "metadata": attrgetter("request._metadata"),
        "tensor_body": lambda self: tensor_body_from_native(self._source.body),
    }

    # Two slots are no fields of the public class, where they are properties, so it does not protect them.
    def __setattr__(self, name: str, _value: object) -> NoReturn:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    async def cancelled(self) -> None:
        """Wait until nobody wants the answer."""
        if self._session is None:
            await ReceivedSubmit.cancelled(self)
        else:
            await self._session.cancelled(self._source.frame_id, self._source.view_id)


def _metadata(source: _native.Submit) -> FrameSubmitMetadata:
    metadata = new_object(LazySubmitMetadata)
    metadata._source = source
    metadata.frame_id = source.frame_id
    return metadata


def _reference(request: LazyRequest, kind: CacheObjectKind) -> ObjectReferenceBlock | None:
    references = request._source.body.references()
    for values in references:
        if values[0] == kind:
            return ObjectReferenceBlock._from_wire(values)
    return None


class LazyRequest(LazyThroughout, SubmitRequest):
    """The request a received submit was made from.

    It does not refer to the submit: with that there would be a cycle, and megabytes of body would stay until
    the collector comes by.
    """

    __slots__ = ("_metadata", "_sections", "_source")

    _metadata: FrameSubmitMetadata
    _sections: tuple[TensorSectionData, ...] | None
    _source: _native.Submit
    _public = SubmitRequest
    _build: ClassVar = {
        "_metadata": lambda self: _metadata(self._source),
        **{field.name: attrgetter(f"_metadata.{field.name}") for field in fields(SubmitRequest)},
        **{name: attrgetter(f"_source.{name}") for name in ("frame_id", "view_id", "route_id", "trace_id")},
        "flags": lambda self: HeaderFlags(self._source.flags),
        "tile_ids": lambda self: self._source.body.tile_ids(),
        "camera_block": lambda self: self._source.body.camera(),
        "typed_payloads": lambda self: typed_payloads_from_native(self._source.body),
        "camera_reference": lambda self: _reference(self, CacheObjectKind.CAMERA_BLOCK),
        "tile_index_reference": lambda self: _reference(self, CacheObjectKind.TILE_INDEX_BLOCK),
        "tensor_section_table_reference": lambda self: _reference(self, CacheObjectKind.TENSOR_SECTION_TABLE),
    }

    # What nearly every handler reads: to find a field missing costs an AttributeError.
    @property
    def sections(self) -> tuple[TensorSectionData, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]
        """The tensor sections."""
        sections = self._sections
        if sections is None:
            source = self._source
            if source.section_count == 1:  # what most frames have, without calls
                section = new_object(LazySection)
                section._source = source
                section._place = 0
                sections = (section,)
            else:
                sections = sections_from_native(source)
            self._sections = sections
        return sections

    @sections.setter
    def sections(self, _value: object) -> NoReturn:
        raise FrozenInstanceError("cannot assign to field 'sections'")

    @sections.deleter
    def sections(self) -> NoReturn:  # pyright: ignore[reportIncompatibleVariableOverride]
        raise FrozenInstanceError("cannot delete field 'sections'")


_SubmitDraft: Any = unfrozen(LazySubmit)


def received_submit(native: _native.Submit, session: _native.ServerSession | None = None) -> ReceivedSubmit:
    """Return the public object over a submit that ``session`` received."""
    request = new_object(LazyRequest)
    request._source = native
    request._sections = None

    draft: Any = new_object(_SubmitDraft)
    draft._source = native
    draft._session = session
    draft.frame_id = native.frame_id
    draft.view_id = native.view_id
    draft.request = request
    draft.__class__ = LazySubmit
    submit: ReceivedSubmit = draft
    return submit
