"""A client's side of a session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from nnrp._checks import check_timeout
from nnrp._native import Operation as _Operation
from nnrp._opening import Opening
from nnrp._stats import Stats
from nnrp.adapters.quic import NnrpQuicConnection, QuicConfiguration
from nnrp.adapters.tcp import NnrpTcpClientConfiguration, NnrpTcpConnection
from nnrp.client import _asking, _updates, control, migration, router, stream
from nnrp.client._state import ClientState, Gate, client_state
from nnrp.client.control import ClientControlBootstrapSession
from nnrp.client.migration import MigrationOutcome, MigrationTriggerMonitor, MigrationTriggerPolicy
from nnrp.client.request import SUBMIT_ARGUMENTS, SubmitRequest, submit_arguments
from nnrp.client.result import Result, received_result
from nnrp.client.router import ResultRouter
from nnrp.client.stream import ResultStream
from nnrp.core import (
    CacheAckMetadata,
    CacheInvalidateScope,
    CacheObjectKind,
    CachePutFlags,
    FlowUpdateMetadata,
    HeaderFlags,
    NnrpPacket,
    ResultHintMetadata,
    SessionPatchAckMetadata,
    SessionPatchField,
    SessionPatchMetadata,
    TransportId,
)
from nnrp.core._base import Record

__all__ = ["ClientSession"]


def _submit(state: ClientState, request: SubmitRequest, timeout: float | None) -> int | _Operation[int]:
    """Submit a frame; return its stream id, or what yields it."""
    arguments = submit_arguments(request, state.default_budget_ms)
    state.check_frame_id(request.frame_id)
    return state.native.submit(SUBMIT_ARGUMENTS, arguments, timeout)


@dataclass(slots=True, repr=False, eq=False)
class ClientSession(Record):
    """A session with a server, made by :func:`~nnrp.client.dial_client` and ``connect_client_*``.

    To submit frames use :meth:`submit`, which waits for the result, or :meth:`submit_frame` together with
    :meth:`receive_result`.

    All methods may be called from any number of tasks at once; each packet is sent whole, and two submits
    awaited one after the other leave in that order. As an async context manager it closes on exit.

    Attributes:
        control: the session, seen from its handshake.
        connection: the connection it is on.

    """

    control: ClientControlBootstrapSession
    connection: NnrpQuicConnection | NnrpTcpConnection

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def session_id(self) -> int:
        """The session's id."""
        return self.control.ack_metadata.session_id

    @property
    def transport_id(self) -> TransportId:
        """The transport."""
        return self.control.transport_id

    @property
    def peer_certificates(self) -> tuple[bytes, ...]:
        """The certificates the server showed, DER, its own first; empty on plain TCP."""
        return self.connection.peer_certificates

    @property
    def active_model_name(self) -> str:
        """The model name the server told us."""
        return client_state(self.connection).native.model_name

    @property
    def is_closed(self) -> bool:
        """Whether the session has ended, from either side."""
        return self.connection.is_closed

    async def submit(self, request: SubmitRequest, *, timeout: float | None = None) -> Result:
        """Submit a frame and return the next result of it; ``timeout`` in seconds covers both.

        A frame that the server drops is returned and not raised: look at ``result.is_drop``, and at
        ``result.drop_reason`` for why, before using the result. A frame is told from others by its
        ``frame_id`` and ``view_id``: any number may be submitted at once, from tasks of their own, and each
        call gets its own frame's result as long as the ids of frames without a result are different. Of a
        frame with several results this returns the first; :meth:`receive_result` gets the others.

        Raises:
            TimeoutError: there was no result in time, which :meth:`receive_result` can still get; or the
                frame was held back and not sent, see :meth:`submit_frame`.
            TypeError: ``request`` is no :class:`SubmitRequest`; nothing is sent.
            ValueError: the request does not make a frame; nothing is sent.
            NnrpProtocolError: the server refused the frame.
            NnrpConnectionClosedError: the connection ended.

        When cancelled, the frame may have been submitted; its result stays available.

        """
        if timeout is None and type(self) is ClientSession:
            # What the two methods below do, without coroutines of their own for each frame.
            state = client_state(self.connection)
            if not state.gate.is_open:
                await state.gate.wait()
            sent = _submit(state, request, None)
            if type(sent) is _Operation:
                await sent
            received = state.native.receive_result(None, request.frame_id, request.view_id)
            return received_result(await received if type(received) is _Operation else received)
        if timeout is None:
            await self.send_submit(request)
            return await self.receive_result(frame_id=request.frame_id, view_id=request.view_id)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self.send_submit(request, timeout=timeout)
        left = max(began + timeout - loop.time(), 0.0)
        try:
            return await self.receive_result(left, frame_id=request.frame_id, view_id=request.view_id)
        except TimeoutError:
            waited = max(timeout, 0)
            raise TimeoutError(f"no result of frame {request.frame_id} within {waited:g} s") from None

    def stream(self, request: SubmitRequest, *, timeout: float | None = None) -> ResultStream:
        """Submit a frame and iterate over its results: for answers that come in parts, such as tokens.

        ::

            async for part in session.stream(request, timeout=5):
                for chunk in part.token_chunks:
                    print(chunk.decode(), end="", flush=True)

        The frame is submitted when the iteration begins, with ``ALLOW_PARTIAL`` in its ``budget_policy``. It
        ends after the result for which :attr:`Result.is_last` is true; a drop is such a result, and is handed
        out, not raised. **Leaving early**, by ``break``, an exception or cancellation, cancels the frame on
        the server and throws away what is still to come of it. ``async with session.stream(request) as
        parts`` does so at the end of the block; a bare ``async for`` when Python collects the iterator,
        which is at once unless something refers to it.

        Args:
            request: the frame.
            timeout: seconds to wait for each part, and for sending; ``None`` waits without limit.

        Raises, while iterating:
            TimeoutError: the next part did not come in time. The frame is cancelled.
            TypeError, ValueError: the request does not make a frame; nothing is sent.
            NnrpProtocolError: the server refused the frame.
            NnrpConnectionClosedError: the connection ended before the last part.

        """
        return ResultStream(self, request, timeout)

    async def submit_nowait(self, request: SubmitRequest, *, timeout: float | None = None) -> None:
        """Do the same as :meth:`submit_frame`; kept for programs written for older releases."""
        await self.send_submit(request, timeout=timeout)

    async def submit_frame(self, request: SubmitRequest, *, timeout: float | None = None) -> None:
        """Submit a frame without waiting for a result, which :meth:`receive_result` gets.

        This is the one to use for that; :meth:`submit_nowait` and :meth:`send_submit` do the same and are
        kept for programs written for older releases. Waits while submitting is paused, while the server's
        credit holds the frame back (:attr:`credit_policy`), and while the send buffer is full. Frames that
        are held back go out in the order of these calls.

        Args:
            request: the frame.
            timeout: seconds to wait for all of that; 0 sends now or not at all. If ``None``, the server may
                hold the frame back for 30 s, and the rest has no limit.

        Raises:
            TimeoutError: the frame could not go out in time; nothing is sent, and the message says why.
            TypeError: ``request`` is no :class:`SubmitRequest`; nothing is sent.
            ValueError: the request does not make a frame, or its deadline has passed; nothing is sent.
            NnrpConnectionClosedError: the connection has ended.

        Cancelling sends all of it or nothing.

        """
        if type(self) is not ClientSession:
            await self.send_submit(request, timeout=timeout)  # which may be a subclass's own
            return
        # What it does, without another coroutine for each frame.
        state = client_state(self.connection)
        if not state.gate.is_open:
            timeout = await self._pass_gate(state.gate, timeout)
        sent = _submit(state, request, timeout)
        if type(sent) is _Operation:
            await sent

    async def send_submit(self, request: SubmitRequest, *, timeout: float | None = None) -> int:
        """Do the same as :meth:`submit_frame` and return the id of the frame's stream.

        Kept for programs written for older releases.
        """
        state = client_state(self.connection)
        if not state.gate.is_open:
            timeout = await self._pass_gate(state.gate, timeout)
        stream_id = _submit(state, request, timeout)
        return await stream_id if type(stream_id) is _Operation else stream_id

    async def _pass_gate(self, gate: Gate, timeout: float | None) -> float | None:
        """Wait for the end of :meth:`pause_submit`; return what is left of the timeout."""
        check_timeout(timeout)
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            async with asyncio.timeout(timeout):
                await gate.wait()
        except TimeoutError:
            raise TimeoutError("the frame was not sent: pause_submit() is in force") from None
        return None if timeout is None else max(timeout - (loop.time() - began), 0.0)

    @property
    def credit_policy(self) -> Literal["honour", "strict", "fail", "ignore"]:
        """How to treat the server's credit and pauses; may be set at any time.

        - ``"honour"``, the default: submits wait. What a FLOW_UPDATE says binds: a number of frames, a pause,
          a time to retry. The ``max_concurrent_frames`` of the handshake holds a frame back while others end,
          and for at most half a second while none does, because servers announce 1 unless told otherwise and
          nobody enforces it: one that collects frames before it answers would wait for ever.
        - ``"strict"``: the number of the handshake binds too.
        - ``"fail"``: nothing waits; a frame that may not go out now raises ``TimeoutError``.
        - ``"ignore"``: nothing is held back. A server that enforces its credit drops what is too much.

        A frame counts until its first terminal answer *arrives*; whether it was received by the application
        does not matter, so one task may submit many frames first and receive their results afterwards.
        Packets sent with :meth:`send_submit_packet` are not held back.

        Raises:
            ValueError: set to anything else.

        """
        return client_state(self.connection).native.credit_policy  # type: ignore[return-value]

    @credit_policy.setter
    def credit_policy(self, policy: Literal["honour", "strict", "fail", "ignore"]) -> None:
        client_state(self.connection).native.set_credit_policy(policy)

    @property
    def stats(self) -> Stats:
        """Counters: packets and bytes in both directions, and what became of the frames.

        A read-only mapping, as it is now; calling it gives a fresh one. ``stats.latency`` says how long
        frames took from sending them to their last result.
        """
        native = client_state(self.connection).native
        return Stats(lambda: ({}, *native.stats()))

    async def receive_result(
        self, timeout: float | None = None, *, frame_id: int | None = None, view_id: int | None = None
    ) -> Result:
        """Return the next result: of any frame as they arrive, or of one frame in the order of sending.

        Each result is delivered once. A drop is returned, not raised.

        Args:
            timeout: seconds to wait at most; ``None`` waits for ever.
            frame_id: only results of this frame.
            view_id: only results of this view of the frame; any view if ``None``.

        Raises:
            TimeoutError: none came in time.
            NnrpProtocolError: the server refused the frame that is waited for.
            NnrpConnectionClosedError: the connection ended and nothing is left to deliver.

        Timeouts and cancellation lose nothing.

        """
        result = client_state(self.connection).native.receive_result(timeout, frame_id, view_id)
        return received_result(await result if type(result) is _Operation else result)

    def discard_frame(self, frame_id: int, *, view_id: int = 0) -> int:
        """Throw away what is buffered for a frame and ignore its later results; return how much it was."""
        return client_state(self.connection).native.discard_frame(frame_id, view_id)

    def result_hints(self) -> AsyncIterator[ResultHintMetadata]:
        """Iterate over the server's hints from now on, until the session ends."""
        return _updates.hints(client_state(self.connection).native)

    def flow_updates(self) -> AsyncIterator[FlowUpdateMetadata]:
        """Iterate over the server's flow updates from now on, until the session ends."""
        return _updates.flow_updates(client_state(self.connection).native)

    async def receive_flow_update(
        self, timeout: float | None = None
    ) -> tuple[NnrpPacket, FlowUpdateMetadata]:
        """Return the next FLOW_UPDATE, leaving other control packets alone.

        Raises:
            TimeoutError: none came within ``timeout`` seconds.
            NnrpConnectionClosedError: the connection has ended.

        Timeouts and cancellation lose nothing.

        """
        return await self.control.receive_flow_update(timeout)

    async def send_flow_update(
        self, metadata: FlowUpdateMetadata, *, trace_id: int = 0, flags: HeaderFlags = HeaderFlags.NONE
    ) -> int:
        """Tell the server how many results the client wants outstanding; return the bytes of the packet.

        Raises:
            ValueError: the metadata breaks the rules of its scope; nothing is sent.
            NnrpConnectionClosedError: the connection has ended.

        Cancelling sends all of it or nothing.

        """
        return await self.control.send_flow_update(metadata, trace_id=trace_id, flags=flags)

    async def pause_submit(self) -> None:
        """Let submits wait, on this side only; done at once, and idempotent. Nothing to cancel."""
        client_state(self.connection).gate.close()

    async def resume_submit(self) -> None:
        """Let submits go on; likewise."""
        client_state(self.connection).gate.open()

    async def cancel_frame(self, frame_id: int, *, view_id: int = 0) -> int:
        """Tell the server that a frame is no longer wanted; return the bytes of the packet.

        Later results of the frame are ignored.

        Raises:
            NnrpConnectionClosedError: the connection has ended.

        Cancelling sends all of it or nothing.

        """
        return await client_state(self.connection).native.cancel_frame(frame_id, view_id)

    async def ping(self, timeout: float | None = 5.0) -> float:
        """Ask the server's runtime whether it is there and return the round trip in seconds.

        Raises:
            TimeoutError: there was no answer; some servers never give one.
            NnrpConnectionClosedError: the connection has ended.

        Cancelling loses nothing.

        """
        return await client_state(self.connection).native.ping(timeout)

    async def patch_session(
        self,
        patch_fields: SessionPatchField,
        *,
        target_cadence: float = 0,
        quality_tier: int = 0,
        degrade_policy: int = 0,
        active_lane_mask: int = 0xFF,
        preferred_codec: int = 0,
        preferred_compression: int = 0,
        timeout: float | None = 10.0,
    ) -> SessionPatchAckMetadata:
        """Ask the server to change parameters of the session and return its answer.

        Args:
            patch_fields: which of the following are meant.
            target_cadence: frames per second.
            quality_tier: see the protocol.
            degrade_policy: see the protocol.
            active_lane_mask: views in use.
            preferred_codec: codec bitmap.
            preferred_compression: compression bitmap.
            timeout: seconds to wait for the answer.

        Raises:
            TimeoutError: the server did not answer; some never do.
            NnrpConnectionClosedError: the connection has ended.

        One patch at a time is on its way; further calls wait for it. When cancelled or timed out, the server
        may have made the change; an answer that comes later is ignored.

        """
        metadata = SessionPatchMetadata(
            profile_id=0,
            patch_mask=SessionPatchField(patch_fields),
            target_cadence_x100=round(target_cadence * 100),
            quality_tier=quality_tier,
            degrade_policy=degrade_policy,
            active_lane_mask=active_lane_mask,
            preferred_codec_bitmap=preferred_codec,
            preferred_compression_bitmap=preferred_compression,
            profile_patch_bytes=0,
        )
        return await _asking.patch_session(self, metadata, timeout)

    async def patch(self, *, fields: SessionPatchField, **values: Any) -> SessionPatchAckMetadata:
        """Do the same as :meth:`patch_session`, the one to use; kept for programs written to another manual.

        Args:
            fields: ``patch_fields`` of :meth:`patch_session`.
            **values: its other keywords.

        """
        return await self.patch_session(fields, **values)

    async def put_cache(
        self,
        *,
        kind: CacheObjectKind,
        key: bytes | int | tuple[int, int],
        data: bytes,
        flags: CachePutFlags = CachePutFlags.NONE,
        namespace: int = 0,
        ttl_ms: int = 0,
        timeout: float | None = 10.0,
    ) -> CacheAckMetadata:
        """Store an object in the server's session cache and return the server's answer.

        Args:
            kind: what the object is.
            key: 64 bits as two halves or one number; ``bytes`` are hashed.
            data: the object.
            flags: see :class:`~nnrp.core.CachePutFlags`.
            namespace: separates keys of different origin.
            ttl_ms: how long to keep it, in milliseconds; 0 for as long as the session.
            timeout: seconds to wait for the answer.

        Raises:
            TimeoutError: the server did not answer: do not refer to the object.
            NnrpConnectionClosedError: the connection has ended.

        One object at a time is on its way; further calls wait for it. When cancelled or timed out, the
        server may have stored the object; an answer that comes later is ignored.

        """
        return await _asking.put_cache(self, kind, key, data, flags, namespace, ttl_ms, timeout)

    async def invalidate_cache(
        self,
        *,
        scope: CacheInvalidateScope,
        kind: CacheObjectKind | None = None,
        key: bytes | int | tuple[int, int] | None = None,
        namespace: int = 0,
    ) -> None:
        """Remove objects from the server's session cache.

        Args:
            scope: everything, a namespace, a kind, or one object.
            kind: the kind, for ``OBJECT_KIND``.
            key: the object's key, for ``OBJECT_KEY``.
            namespace: the namespace concerned.

        Raises:
            ValueError: the scope needs a kind or key that is not given.
            NnrpConnectionClosedError: the connection has ended.

        Cancelling sends all of it or nothing.

        """
        await _asking.invalidate_cache(self, scope, kind, key, namespace)

    def manage_results(self) -> ResultRouter:
        """Return a router that hands results to their waiters, for use as an async context manager."""
        return ResultRouter(self)

    def monitor_migration(self, policy: MigrationTriggerPolicy | None = None) -> MigrationTriggerMonitor:
        """Return a monitor for the session's transport."""
        if policy is None:
            policy = MigrationTriggerPolicy()
        return MigrationTriggerMonitor(self.transport_id, policy)

    def migrate_session(
        self,
        host: str,
        *,
        quic_port: int | None = None,
        tcp_port: int | None = None,
        quic_configuration: QuicConfiguration | None = None,
        tcp_configuration: NnrpTcpClientConfiguration | None = None,
        selected_transport_id: TransportId = TransportId.UNSPECIFIED,
        forced_transport_id: TransportId = TransportId.UNSPECIFIED,
        last_result_frame_id: int = 0,  # noqa: ARG002  # the published name
        client_migrate_ts_us: int | None = None,  # noqa: ARG002  # the published name
        route_id: int = 0,  # noqa: ARG002  # the published name
        trace_id: int = 0,  # noqa: ARG002  # the published name
        flags: HeaderFlags = HeaderFlags.NONE,  # noqa: ARG002  # the published name
        body: bytes = b"",  # noqa: ARG002  # the published name
        trigger: str = "asked for by the application",
        timeout: float = 10.0,
    ) -> Opening[MigrationOutcome]:
        """Go on with this session over another connection to the same server.

        Use it as ``async with session.migrate_session(…) as outcome``, which closes the session on exit, or
        await it. ``outcome.session`` is this session: whoever waits on it goes on waiting, frames and results
        that were lost with the old connection are repeated, and none is handed out twice. After it frame ids
        have to grow.

        The server has to allow it (``allow_migration`` of
        :func:`~nnrp.server.accept_server_session`), and the session needs an auth block, which is presented
        again.

        Args:
            host: the server.
            quic_port: its QUIC port, if that is where to go.
            tcp_port: its TCP port, if that is where to go.
            quic_configuration: how to connect over QUIC.
            tcp_configuration: how to connect over TCP.
            selected_transport_id: which of the two to use.
            forced_transport_id: likewise.
            last_result_frame_id: has no effect, like the rest up to ``body``: the session knows.
            client_migrate_ts_us: no effect.
            route_id: no effect.
            trace_id: no effect.
            flags: no effect.
            body: no effect; the auth block of the handshake is sent.
            trigger: the reason, for the log.
            timeout: seconds for connection and answer.

        Raises:
            NnrpProtocolError: the server refused. This session stays as it is.
            TimeoutError: the server did not answer in time. Likewise.
            ValueError: no target, or more than one, was given.

        """
        from nnrp.client.migrate import migrate  # noqa: PLC0415  # the module imports this one

        return migrate(
            self,
            host,
            quic_port=quic_port,
            tcp_port=tcp_port,
            quic_configuration=quic_configuration,
            tcp_configuration=tcp_configuration,
            selected_transport_id=selected_transport_id,
            forced_transport_id=forced_transport_id,
            trigger=trigger,
            timeout=timeout,
        )

    async def send_submit_packet(self, packet: NnrpPacket) -> int:
        """Send a FRAME_SUBMIT packet as it is and return the id of its stream. As :meth:`submit_frame`."""
        return await self.connection.send_submit_packet(packet)

    async def receive_result_packet(self, timeout: float | None = None) -> NnrpPacket:
        """Return the packet of the next result or drop. Raises and cancels like :meth:`receive_result`."""
        return (await self.receive_result(timeout)).packet

    async def submit_and_receive_result(
        self, packet: NnrpPacket, *, timeout: float | None = None
    ) -> tuple[int, NnrpPacket]:
        """Send a FRAME_SUBMIT packet; return its stream id and the packet of its frame's next result.

        Raises and cancels like :meth:`submit`.
        """
        stream_id = await self.send_submit_packet(packet)
        header = packet.header
        result = await self.receive_result(timeout, frame_id=header.frame_id, view_id=header.view_id)
        return stream_id, result.packet

    async def close(self) -> None:
        """Say CLOSE and end the session. Idempotent; never raises because the server is already gone.

        Returns when everything sent before has reached the server, or after five seconds; cancelling leaves
        the close to go on in the background.
        """
        await client_state(self.connection).native.close()


# What this module imports names the class in its annotations; that is where get_type_hints() looks for it.
for _module in (control, migration, router, stream):
    vars(_module)["ClientSession"] = ClientSession
