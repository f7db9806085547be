"""What QUIC and TCP connections have in common: a bounded inbox of packets, and ways to send some."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from types import TracebackType
from typing import Self

from nnrp._lazy import packet_from_native
from nnrp._native import Connection as NativeConnection
from nnrp._opening import Closing
from nnrp.core import MessageType, NnrpPacket, TransportId

_SUBMIT_TYPES = (MessageType.FRAME_SUBMIT,)
_RESULT_TYPES = (MessageType.RESULT_PUSH, MessageType.RESULT_DROP)


def _require_type(packet: NnrpPacket, allowed: Iterable[MessageType]) -> None:
    actual = packet.header.msg_type
    if actual not in allowed:
        names = " or ".join(kind.name for kind in allowed)
        raise ValueError(f"expected {names}, got {getattr(actual, 'name', actual)}")


class Connection:
    """One transport connection.

    A connection starts raw: every packet is delivered and nothing is answered. Building a session on it makes
    it managed: from then on the runtime answers what the protocol lets it answer, and the receive methods
    here only see the rest. All of them are selective reads of one bounded inbox in order of arrival; a packet
    is delivered once.

    Made by ``connect_*`` and ``accept``, not by its constructor. As an async context manager it closes on
    exit.
    """

    __slots__ = ("__weakref__", "_native", "_session")

    _native: NativeConnection
    #: What :mod:`nnrp.server` or :mod:`nnrp.client` keeps about the session on this connection.
    _session: object

    def __init__(self) -> None:
        raise TypeError(f"{type(self).__name__} objects are made by connecting and accepting")

    @classmethod
    def _wrap(cls, native: NativeConnection) -> Self:
        connection = object.__new__(cls)
        connection._native = native
        connection._session = None
        return connection

    def __repr__(self) -> str:
        host, port = self.peer_address
        state = "closed" if self.is_closed else f"session {self.session_id}"
        # The class says what it was made as; a session may have moved to another transport since.
        return (
            f"<{type(self).__name__} to {host}:{port} over {TransportId(self._native.transport_id)}, {state}>"
        )

    def __del__(self) -> None:
        native = getattr(self, "_native", None)
        if native is not None and native.is_abandoned():
            warnings.warn(f"unclosed connection {self!r}", ResourceWarning, stacklevel=2, source=self)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def is_closed(self) -> bool:
        """Whether the connection has ended, from either side."""
        return self._native.is_closed

    @property
    def session_id(self) -> int:
        """The id of the session on this connection; 0 before there is one."""
        return self._native.session_id

    @property
    def peer_address(self) -> tuple[str, int]:
        """Host and port of the other end."""
        return self._native.peer_address

    @property
    def local_address(self) -> tuple[str, int]:
        """Host and port of this end."""
        return self._native.local_address

    @property
    def peer_certificates(self) -> tuple[bytes, ...]:
        """The certificates the other end showed, DER, its own first.

        Empty on plain TCP, and on a server whose client showed none. They have been verified, unless this
        side was told not to.
        """
        return tuple(self._native.peer_certificates)

    @property
    def control_stream_id(self) -> int | None:
        """The id of the control stream, ``None`` before there is one."""
        return self._native.control_stream_id

    @property
    def last_submit_stream_id(self) -> int | None:
        """The id of the stream of the last submit that was sent or received here."""
        return self._native.last_submit_stream_id

    @property
    def last_result_stream_id(self) -> int | None:
        """The id of the stream of the last result that was sent or received here."""
        return self._native.last_result_stream_id

    async def wait_connected(self, timeout: float | None = None) -> None:
        """Return at once: connections are handed out connected; there is nothing to wait for or to cancel.

        ``timeout`` is accepted for symmetry.

        Raises:
            NnrpConnectionClosedError: the connection has ended meanwhile.

        """
        del timeout
        self._native.check_open()

    async def send_packet(self, packet: NnrpPacket) -> None:
        """Send any packet on the stream its type belongs on.

        Raises:
            ValueError: header and content do not make a packet.
            NnrpConnectionClosedError: the connection has ended.

        Returns when the packet is in the bounded send buffer. Cancelling sends all of it or nothing.

        """
        await self._send(packet)

    async def send_control_packet(self, packet: NnrpPacket) -> None:
        """Send a packet that is neither a submit nor a result. As :meth:`send_packet`."""
        if packet.header.msg_type in (*_SUBMIT_TYPES, *_RESULT_TYPES):
            raise ValueError(f"{packet.header.msg_type.name} is not a control packet")
        await self._send(packet)

    async def send_submit_packet(self, packet: NnrpPacket) -> int:
        """Send a FRAME_SUBMIT and return the id of its stream. As :meth:`send_packet`."""
        _require_type(packet, _SUBMIT_TYPES)
        return await self._send(packet)

    async def send_result_packet(self, packet: NnrpPacket) -> int:
        """Send a RESULT_PUSH or RESULT_DROP and return the id of its stream.

        Raises and cancels like :meth:`send_packet`.
        """
        _require_type(packet, _RESULT_TYPES)
        return await self._send(packet)

    async def receive_packet(self, *, timeout: float | None = None) -> NnrpPacket:
        """Return the next packet of any kind.

        Raises:
            TimeoutError: none came within ``timeout`` seconds.
            NnrpConnectionClosedError: the connection ended and nothing is left.
            NnrpQuicProtocolError: (over QUIC) what arrived is no packet.
            NnrpTcpProtocolError: (over TCP) what arrived is no packet.

        Timeouts and cancellation lose nothing.

        """
        return packet_from_native(await self._native.receive("any", timeout))

    async def receive_control_packet(self, timeout: float | None = None) -> NnrpPacket:
        """Return the next packet that is neither a submit nor a result. As :meth:`receive_packet`."""
        return packet_from_native(await self._native.receive("control", timeout))

    async def receive_submit_packet(self, timeout: float | None = None) -> NnrpPacket:
        """Return the next FRAME_SUBMIT. As :meth:`receive_packet`."""
        return packet_from_native(await self._native.receive("submit", timeout))

    async def receive_result_packet(self, timeout: float | None = None) -> NnrpPacket:
        """Return the next RESULT_PUSH or RESULT_DROP. As :meth:`receive_packet`."""
        return packet_from_native(await self._native.receive("result", timeout))

    def close(self, error_code: int = 0, reason_phrase: str = "") -> Closing:
        """Close the connection; what was sent before still goes out.

        The close begins at once. The returned object may be ignored, or awaited to wait for its end. Closing
        twice, or after the peer did, is fine. TCP has no room for code and reason.
        """
        self._native.close(error_code, reason_phrase)
        return Closing(self.wait_closed)

    async def wait_closed(self) -> None:
        """Wait until the transport is gone. Cancel-safe."""
        await self._native.wait_closed()

    async def _send(self, packet: NnrpPacket) -> int:
        return await self._native.send(packet.header.pack(), packet.metadata, packet.body)
