"""A server's side of a session."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from functools import wraps
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeVar, cast

from nnrp._flow import send_flow_update
from nnrp._lazy import packet_from_native
from nnrp._logging import about
from nnrp._native import Operation as _Operation
from nnrp._native import ServerSession as _NativeSession
from nnrp._stats import NOTHING, Stats
from nnrp.adapters._listener import DRAIN_REASON, Drained
from nnrp.adapters.quic import NnrpQuicConnection
from nnrp.adapters.tcp import NnrpTcpConnection
from nnrp.client.request import TypedPayload
from nnrp.core import (
    BudgetPolicy,
    FlowUpdateMetadata,
    HeaderFlags,
    NnrpPacket,
    PayloadKind,
    ResultClass,
    ResultFlags,
    ResultHintBudgetPolicy,
    ResultHintCongestionState,
    ResultHintMetadata,
    ResultHintReason,
    TensorSectionData,
    TileIndexMode,
    TransportId,
)
from nnrp.core._base import Record
from nnrp.errors import NnrpConnectionClosedError, NnrpProtocolError
from nnrp.server import _packets
from nnrp.server._drops import drop_reason
from nnrp.server.context import ClientHelloContext, ReceivedSubmit, received_submit
from nnrp.server.profile import ServerProfile

__all__ = ["ServerSession"]

_log = logging.getLogger("nnrp.server")


def _native_session(connection: Any) -> _NativeSession | None:
    # Asked for every frame. Only connections of this package have one.
    try:
        session: object = connection._session
    except AttributeError:
        return None
    return session if type(session) is _NativeSession else None


_SendsResult = TypeVar("_SendsResult", bound=Callable[..., Coroutine[Any, Any, int]])


def _without_defaults(written_out: _SendsResult) -> _SendsResult:
    """Return a `send_result` that handles only what it is given, and shows the signature of `written_out`.

    Filling in, passing on and checking twenty defaults takes longer than encoding a small result.
    """

    @wraps(written_out)
    async def send_result(
        self: ServerSession,
        *,
        frame_id: int,
        sections: Sequence[TensorSectionData] = (),
        view_id: int = 0,
        **others: Any,
    ) -> int:
        native = _native_session(self.connection)
        if native is None:
            return await written_out(self, frame_id=frame_id, sections=sections, view_id=view_id, **others)
        sent = native.send_result(frame_id, view_id, sections, others)
        return await sent if type(sent) is _Operation else sent

    return cast("_SendsResult", send_result)


@dataclass(slots=True, repr=False, eq=False)
class ServerSession(Record):
    """One client's session, made by :func:`~nnrp.server.accept_server_session`.

    All methods may be called from any number of tasks at once; each packet is sent whole, and two sends
    awaited one after the other leave in that order. As an async context manager it closes on exit; iterating
    over it gives its frames.

    The constructor also accepts any object with the coroutine methods ``receive_submit_packet(timeout=)``,
    ``send_result_packet(packet)``, ``send_control_packet(packet)`` and ``close()``, which is what tests use.

    Attributes:
        connection: the connection the session is on; state beyond these fields lives there.
        transport_id: its transport.
        hello: what the client said when it connected.
        session_id: the session's id.
        active_model_name: the model name the client was told.
        server_profile: what the server announced.

    """

    connection: NnrpQuicConnection | NnrpTcpConnection
    transport_id: TransportId
    hello: ClientHelloContext
    session_id: int
    active_model_name: str = ""
    server_profile: ServerProfile = field(default_factory=ServerProfile)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        """Iterate over the frames of this session: ``async for received in session``.

        Ends when the session ends in an orderly way, from either side; a lost connection and a fatal ERROR
        raise as in :meth:`receive_submit`. What a client must not send is answered and logged, and the
        iteration goes on. Leaving the loop loses nothing: :meth:`receive_submit` or another loop gets the
        next frame.
        """
        return self

    async def __anext__(self) -> ReceivedSubmit:
        # Whoever has a receive_submit() of its own is asked for it.
        native = _native_session(self.connection) if type(self) is ServerSession else None
        while True:
            try:
                if native is None:
                    return await self.receive_submit()
                # What receive_submit() does, without another coroutine for each frame.
                received = native.receive(None)
                return received_submit(await received if type(received) is _Operation else received, native)
            except NnrpConnectionClosedError as error:
                if error.ended_by in {"application", "peer"}:
                    raise StopAsyncIteration from None
                raise
            except ValueError as error:
                if isinstance(error, NnrpProtocolError) and error.is_fatal:
                    raise
                context = about(
                    session=self.session_id, frame=getattr(error, "frame_id", None), peer=self.peer_address
                )
                _log.warning("session %d: a packet was refused: %s", self.session_id, error, extra=context)

    async def receive_submit(self, timeout: float | None = None) -> ReceivedSubmit:
        """Wait for the next frame of this session, at most ``timeout`` seconds.

        Frames come in the order of arrival. Over TCP that is the order of sending; over QUIC every frame
        travels on a stream of its own and may overtake others. ``metadata.frame_id`` of what is returned is
        the client's number for the frame, which the answer has to name; clients keep it unique among the
        frames that still wait for one.

        Raises:
            ValueError: the client sent something a server must not receive here. It has been answered with an
                ERROR, and the session stays usable.
            TimeoutError: nothing came in time.
            NnrpConnectionClosedError: the connection ended and nothing is left to deliver.
            NnrpProtocolError: the client reported a fatal error.

        Timeouts and cancellation lose nothing: what arrived is returned by the next call.

        """
        native = _native_session(self.connection)
        if native is None:
            return await _packets.receive_submit(self, timeout)
        received = native.receive(timeout)
        return received_submit(await received if type(received) is _Operation else received, native)

    async def receive_submits(self, max_n: int, timeout: float | None = None) -> list[ReceivedSubmit]:
        """Wait for the next frame, and return it with those that have arrived behind it.

        For models that compute several frames of a session at once::

            while True:
                frames = await session.receive_submits(8)
                outputs = model(np.stack([each.request.sections[0].numpy() for each in frames]))
                for each, output in zip(frames, outputs):
                    await session.send_result(frame_id=each.frame_id, sections=(section(output),))

        Nobody waits for a batch to become full: what is there when the first frame is there is returned.
        :class:`MicroBatcher` gathers frames of many sessions, and can wait for company.

        Args:
            max_n: how many frames at most, at least 1.
            timeout: seconds to wait for the first of them; for ever if ``None``.

        Returns:
            Between 1 and ``max_n`` frames, in the order of :meth:`receive_submit`.

        Raises:
            ValueError: ``max_n`` is less than 1; or as :meth:`receive_submit`. A refused packet behind a
                frame is told by the next call.
            TimeoutError: nothing came in time.
            NnrpConnectionClosedError: the connection ended and nothing is left to deliver.
            NnrpProtocolError: the client reported a fatal error.

        Timeouts and cancellation lose nothing: what arrived is returned by the next call.

        """
        if max_n < 1:
            raise ValueError(f"max_n must be at least 1, got {max_n}")
        frames = [await self.receive_submit(timeout)]
        native = _native_session(self.connection)
        if native is not None and max_n > 1:
            frames += [received_submit(more, native) for more in native.receive_more(max_n - 1)]
        return frames

    @_without_defaults
    async def send_result(
        self,
        *,
        frame_id: int,
        tile_ids: Sequence[int] = (),
        sections: Sequence[TensorSectionData] = (),
        typed_payloads: Sequence[TypedPayload] = (),
        result_flags: ResultFlags = ResultFlags.NONE,
        active_profile_id: int = 0,
        inference_ms: int = 0,
        queue_ms: int = 0,
        server_total_ms: int = 0,
        status_code: int = 0,
        tile_index_mode: TileIndexMode = TileIndexMode.RAW_U16,
        tile_base_id: int = 0,
        result_class: ResultClass = ResultClass.COMPLETE,
        applied_budget_policy: BudgetPolicy = BudgetPolicy.NONE,
        reused_frame_id: int = 0,
        covered_tile_count: int | None = None,
        dropped_tile_count: int = 0,
        payload_kind_bitmap: PayloadKind = PayloadKind.TENSOR,
        payload_frame_count: int = 0,
        flags: HeaderFlags = HeaderFlags.NONE,
        view_id: int = 0,
        route_id: int = 0,
        trace_id: int = 0,
    ) -> int:
        """Send one result for a frame; several are allowed, for a stream of partial ones.

        To send a frame's own tensors back::

            submit = await session.receive_submit()
            await session.send_result(
                frame_id=submit.metadata.frame_id,
                view_id=submit.packet.header.view_id,
                sections=submit.request.sections,
            )

        Whether the frame exists is not checked. A result for one that was never submitted, or has had its
        last result already, is sent all the same, and the client delivers it to whoever receives results of
        any frame or of that id. One for a frame that the client has cancelled is sent too, and thrown away
        there: look at :meth:`frame_cancelled` first to save the work.

        Args:
            frame_id: the frame.
            tile_ids: which tiles the sections hold. If empty, the tiles the frame's submit asked for when the
                sections have that many, else a dense range from ``tile_base_id``.
            sections: tensor data, one payload per tile in each section.
            typed_payloads: payloads that are not tensors.
            result_flags: see :class:`~nnrp.core.ResultFlags`.
            active_profile_id: how to read the tensors, agreed between the applications.
            inference_ms: time spent in the model, in milliseconds. Above 65535 it saturates, as do the next
                two.
            queue_ms: time spent waiting.
            server_total_ms: time from arrival to answer.
            status_code: the application's status.
            tile_index_mode: ``RAW_U16`` or ``DENSE_RANGE``; a result cannot express others.
            tile_base_id: first tile of a dense range.
            result_class: how complete the result is.
            applied_budget_policy: which of the client's allowances was used; the one that belongs to
                ``result_class`` if left at ``NONE``.
            reused_frame_id: the frame a stale result was made from.
            covered_tile_count: tiles with fresh content; all but the dropped ones if ``None``.
            dropped_tile_count: tiles without content.
            payload_kind_bitmap: kinds of payload of a result without sections and typed payloads.
            payload_frame_count: number of typed payloads of such a result.
            flags: header flags.
            view_id: the frame's view.
            route_id: routing hint.
            trace_id: for correlating logs.

        Returns:
            The bytes of the packet: header, metadata and body.

        Raises:
            ValueError: the arguments do not make a result; nothing is sent.
            NnrpConnectionClosedError: the connection has ended.

        Returns when the packet is in the bounded send buffer. Cancelling sends all of it or nothing.

        """
        others = {
            "tile_ids": tile_ids,
            "typed_payloads": typed_payloads,
            "result_flags": result_flags,
            "active_profile_id": active_profile_id,
            "inference_ms": inference_ms,
            "queue_ms": queue_ms,
            "server_total_ms": server_total_ms,
            "status_code": status_code,
            "tile_index_mode": tile_index_mode,
            "tile_base_id": tile_base_id,
            "result_class": result_class,
            "applied_budget_policy": applied_budget_policy,
            "reused_frame_id": reused_frame_id,
            "covered_tile_count": covered_tile_count,
            "dropped_tile_count": dropped_tile_count,
            "payload_kind_bitmap": payload_kind_bitmap,
            "payload_frame_count": payload_frame_count,
            "flags": flags,
            "route_id": route_id,
            "trace_id": trace_id,
        }
        # Over the package's own connections only those that were given are handled: see _without_defaults().
        return await _packets.send_result(self, frame_id, view_id, sections, others)

    async def send_part(
        self,
        received: ReceivedSubmit,
        *,
        tile_ids: Sequence[int] = (),
        sections: Sequence[TensorSectionData] = (),
        typed_payloads: Sequence[TypedPayload] = (),
        last: bool = False,
        **result: Any,
    ) -> int:
        """Send a part of a frame's answer: some of its tiles, some tokens.

        ::

            for tile_ids, section in compute(received):
                await session.send_part(received, tile_ids=tile_ids, sections=(section,))
            await session.send_part(received, last=True)

        The client gets each part as a result for which ``is_last`` is false, until the last one; with
        :meth:`ClientSession.stream <nnrp.client.ClientSession.stream>` it iterates over them. Tiles of the
        frame that are not in a part are listed behind those that are, with an empty payload each, and counted
        in ``dropped_tile_count``, as a partial result has to (R-RES-7). ``TileGrid.image(…, out=picture)``
        paints what is there and leaves the rest.

        Args:
            received: the frame.
            tile_ids: which tiles the sections hold.
            sections: tensor data, one payload for each of these tiles.
            typed_payloads: payloads that are not tensors.
            last: whether this ends the frame. It may be empty, or hold the last tiles.
            **result: further keywords of :meth:`send_result`.

        Returns:
            The bytes of the packet.

        Raises:
            ValueError: the part holds all tiles of the frame and is not the last one, or the arguments do not
                make a result; nothing is sent.
            NnrpConnectionClosedError: the connection has ended.

        Returns when the packet is in the bounded send buffer. Cancelling sends all of it or nothing.

        """
        from nnrp.server._parts import part_arguments  # noqa: PLC0415  # few answer in parts

        part = part_arguments(received, tile_ids, sections, last=last)
        arguments: dict[str, Any] = {**part, "typed_payloads": typed_payloads, **result}
        return await self.send_result(**arguments)

    async def send_result_drop(
        self,
        frame_id: int,
        reason: str | int | ResultHintReason | None = None,
        *,
        flags: HeaderFlags = HeaderFlags.NONE,
        view_id: int = 0,
        route_id: int = 0,
        trace_id: int = 0,
    ) -> int:
        """Tell the client that a frame will have no result.

        Args:
            frame_id: the frame.
            reason: why. ``queue_overflow``, ``server_busy``, ``budget_exceeded``, ``superseded`` and their
                like reach the client as a :class:`~nnrp.core.ResultHintReason`, in a RESULT_HINT just before
                the drop. Any other text is only logged here, and the client sees none: the protocol has a
                code for the reason and no room for words. To say more, send a result with a ``status_code``.
            flags: header flags.
            view_id: the frame's view.
            route_id: routing hint.
            trace_id: for correlating logs.

        Returns:
            The bytes of the RESULT_DROP packet.

        Raises:
            ValueError: a value is out of range; nothing is sent.
            NnrpConnectionClosedError: the connection has ended.

        Cancelling sends all of it or nothing.

        """
        header = {
            "frame_id": frame_id,
            "flags": flags,
            "view_id": view_id,
            "route_id": route_id,
            "trace_id": trace_id,
        }
        code = drop_reason(reason, header, self.session_id)
        native = _native_session(self.connection)
        if native is None:
            return await _packets.send_result_drop(self, code, header)
        return await native.send_drop({**header, "reason": code})

    async def send_result_hint(
        self,
        congestion_state: ResultHintCongestionState | ResultHintMetadata = ResultHintCongestionState.NONE,
        *,
        applied_budget_policy: ResultHintBudgetPolicy = ResultHintBudgetPolicy.NONE,
        reason: ResultHintReason = ResultHintReason.NONE,
        retry_after_ms: int = 0,
        frame_id: int = 0,
        route_id: int = 0,
        trace_id: int = 0,
        flags: HeaderFlags = HeaderFlags.NONE,
    ) -> int:
        """Tell the client how the server is doing.

        Args:
            congestion_state: the state, or a complete hint; with the latter leave the next three at their
                defaults.
            applied_budget_policy: what the server does about it.
            reason: why.
            retry_after_ms: when to try again, in milliseconds.
            frame_id: the frame concerned; 0 for the whole session.
            route_id: routing hint.
            trace_id: for correlating logs.
            flags: header flags.

        Returns:
            The bytes of the packet.

        Raises:
            TypeError: a complete hint is combined with other values.
            ValueError: a value is out of range; nothing is sent.
            NnrpConnectionClosedError: the connection has ended.

        Cancelling sends all of it or nothing.

        """
        if isinstance(congestion_state, ResultHintMetadata):
            if (applied_budget_policy, reason, retry_after_ms) != (0, 0, 0):
                raise TypeError("a complete ResultHintMetadata leaves no room for further values")
            metadata = congestion_state
        else:
            metadata = ResultHintMetadata(
                applied_budget_policy=ResultHintBudgetPolicy(applied_budget_policy),
                congestion_state=ResultHintCongestionState(congestion_state),
                reason=ResultHintReason(reason),
                retry_after_ms=retry_after_ms,
            )
        header = {"frame_id": frame_id, "flags": flags, "route_id": route_id, "trace_id": trace_id}
        native = _native_session(self.connection)
        if native is None:
            return await _packets.send_result_hint(self, metadata, header)
        return await native.send_hint(metadata.pack(), header)

    async def send_flow_update(
        self, metadata: FlowUpdateMetadata, *, trace_id: int = 0, flags: HeaderFlags = HeaderFlags.NONE
    ) -> int:
        """Grant or take back credit. An update of connection scope is sent with session id 0.

        Returns:
            The bytes of the packet.

        Raises:
            ValueError: the metadata breaks the rules of its scope; nothing is sent.
            NnrpConnectionClosedError: the connection has ended.

        Cancelling sends all of it or nothing.

        """
        return await send_flow_update(self.connection, self.session_id, metadata, trace_id, flags)

    async def close(self) -> None:
        """Say CLOSE and end the session. Idempotent; never raises because the client is already gone.

        Frames without an answer are dropped, so that no client waits for ever. Returns when everything sent
        before has reached the client, or after five seconds; cancelling leaves the close to go on in the
        background.
        """
        native = _native_session(self.connection)
        if native is None:
            await _packets.close(self.connection)
        else:
            await native.close()

    async def drain(self, timeout: float = 30.0, reason: str = DRAIN_REASON) -> Drained:
        """End this session in order, as :meth:`~nnrp.adapters.NnrpQuicListener.drain` ends all of a listener.

        Go on receiving and answering meanwhile, in another task.
        """
        native = _native_session(self.connection)
        if native is None:
            await self.close()
            return Drained()
        return Drained(*await native.drain(timeout, reason))

    def frame_cancelled(self, frame_id: int, view_id: int = 0) -> bool:
        """Return whether the client has cancelled a frame."""
        native = _native_session(self.connection)
        return native is not None and native.frame_cancelled(frame_id, view_id)

    async def receive_control(self, timeout: float | None = None) -> NnrpPacket:
        """Return the next control packet that the runtime does not answer by itself.

        Raises:
            TimeoutError: none came within ``timeout`` seconds.
            NnrpConnectionClosedError: the connection ended and nothing is left.

        Timeouts and cancellation lose nothing.

        """
        native = _native_session(self.connection)
        if native is None:
            return await self.connection.receive_control_packet(timeout)
        return packet_from_native(await native.receive_control(timeout))

    @property
    def is_closed(self) -> bool:
        """Whether the session has ended, from either side."""
        return self.connection.is_closed

    @property
    def peer_address(self) -> tuple[str, int]:
        """Host and port of the client."""
        return self.connection.peer_address

    @property
    def peer_certificates(self) -> tuple[bytes, ...]:
        """The certificates the client showed, DER, its own first; empty if it showed none.

        They come from an authority that the server's configuration names.
        """
        return self.connection.peer_certificates

    @property
    def stats(self) -> Stats:
        """Counters: packets and bytes in both directions, what was refused, what became of the frames.

        A read-only mapping, as it is now; calling it gives a fresh one. ``stats.latency`` says how long
        frames took from their arrival to their last result. docs/observability.md says what each counts.
        """
        native = _native_session(self.connection)
        return Stats(lambda: ({}, *native.stats()) if native is not None else NOTHING)

    @property
    def parameters(self) -> Mapping[str, Any]:
        """The negotiated values by field name of SERVER_HELLO_ACK, as the client has patched them since."""
        native = _native_session(self.connection)
        if native is None:
            return MappingProxyType({})
        return MappingProxyType({**_packets.parameters(native.ack_metadata), **native.patched()})
