"""What a server gets to see: the hello of a client, and the frames it submits."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar

from nnrp._lazy import LazyFrozen, is_built, packet_from_native, section_from_view, tensor_body_from_native
from nnrp.client.request import SubmitRequest, typed_payloads_from_native
from nnrp.core import (
    BudgetPolicy,
    CacheObjectKind,
    ClientHelloMetadata,
    ControlExtensionEntry,
    ControlExtensionFlags,
    FrameSubmitMetadata,
    NnrpPacket,
    ObjectReferenceBlock,
    TensorBodyView,
)
from nnrp.core._base import Value, octets
from nnrp.core._packet import summary

if TYPE_CHECKING:
    from nnrp import _native

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

    async def cancelled(self) -> None:
        """Wait until nobody wants the answer: the frame was cancelled or expired, or the session ended.

        For work that should stop then, run it beside this::

            work = asyncio.create_task(infer(received.request))
            gone = asyncio.create_task(received.cancelled())
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)

        A cancelled frame still has to end: answer it or ``await session.send_result_drop(frame_id)``.

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


def _twin(submit: LazySubmit) -> LazySubmit:
    """Return the same submit as an object of its own, with what is decoded already.

    The request of a submit reads from it: with the submit itself there would be a cycle, and megabytes of
    body would stay until the collector comes by.
    """
    twin = LazySubmit._from_source(submit._source)
    for name in ("packet", "metadata", "tensor_body"):
        if is_built(submit, name):
            object.__setattr__(twin, name, getattr(submit, name))
    return twin


def _metadata(submit: LazySubmit) -> FrameSubmitMetadata:
    source = submit._source
    values = FrameSubmitMetadata.STRUCT.unpack(source.packet.metadata)
    metadata = FrameSubmitMetadata._from_wire(values)
    metadata.frame_id = source.frame_id
    if metadata.latency_budget_ms:
        received_ms = time.time_ns() // 1_000_000 - source.age_ms
        metadata.deadline_ms = received_ms + metadata.latency_budget_ms
    return metadata


class LazySubmit(LazyFrozen, ReceivedSubmit):
    """A received submit whose parts are decoded when they are read."""

    __slots__ = ("_session", "_source")

    _session: _native.ServerSession
    _source: _native.Submit
    _public = ReceivedSubmit
    _build: ClassVar = {
        "packet": lambda self: packet_from_native(self._source.packet),
        "metadata": _metadata,
        "request": lambda self: LazyRequest._from_source(_twin(self)),  # defined below
        "tensor_body": lambda self: tensor_body_from_native(self._source.body),
    }

    async def cancelled(self) -> None:
        """Wait until nobody wants the answer."""
        session = getattr(self, "_session", None)
        if session is None:
            await ReceivedSubmit.cancelled(self)
        else:
            await session.cancelled(self._source.frame_id, self.packet.header.view_id)


def received_submit(native: _native.Submit, session: _native.ServerSession | None = None) -> ReceivedSubmit:
    """Return the public object over a submit that ``session`` received."""
    submit = LazySubmit._from_source(native)
    if session is not None:
        object.__setattr__(submit, "_session", session)
    return submit


def _sections(request: LazyRequest) -> tuple[Any, ...]:
    body = request._source.tensor_body
    return tuple(section_from_view(view) for view in body.sections) if body is not None else ()


def _reference(request: LazyRequest, kind: CacheObjectKind) -> ObjectReferenceBlock | None:
    references = request._source._source.body.references()
    for values in references:
        if values[0] == kind:
            return ObjectReferenceBlock._from_wire(values)
    return None


class LazyRequest(LazyFrozen, SubmitRequest):
    """The request a received submit was made from; its source is a :class:`LazySubmit`."""

    __slots__ = ("_source",)

    _source: LazySubmit
    _public = SubmitRequest
    _build: ClassVar = {
        **{field.name: attrgetter(f"_source.metadata.{field.name}") for field in fields(SubmitRequest)},
        **{
            name: attrgetter(f"_source.packet.header.{name}")
            for name in ("frame_id", "view_id", "route_id", "trace_id", "flags")
        },
        "tile_ids": lambda self: self._source._source.body.tile_ids(),
        "sections": _sections,
        "camera_block": lambda self: self._source._source.body.camera(),
        "typed_payloads": lambda self: typed_payloads_from_native(self._source._source.body),
        "camera_reference": lambda self: _reference(self, CacheObjectKind.CAMERA_BLOCK),
        "tile_index_reference": lambda self: _reference(self, CacheObjectKind.TILE_INDEX_BLOCK),
        "tensor_section_table_reference": lambda self: _reference(self, CacheObjectKind.TENSOR_SECTION_TABLE),
    }
