"""What QUIC and TCP listeners have in common."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar
from weakref import WeakSet

from nnrp import _native
from nnrp._native import Connection as NativeConnection
from nnrp._native import Listener as NativeListener
from nnrp._opening import Closing
from nnrp._stats import Stats
from nnrp.adapters._connection import Connection
from nnrp.adapters._tls import Identity, PemSource, ServerTls
from nnrp.core._base import Value
from nnrp.errors import NnrpConnectionClosedError

_C = TypeVar("_C", bound=Connection)

#: What clients are told, unless told otherwise.
DRAIN_REASON = "the server is shutting down"


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Drained(Value):
    """What became of the frames of a session, or of all sessions of a listener, that was drained.

    Attributes:
        answered: frames the server had when the drain began, and has answered since.
        dropped: frames it had and has not answered in time; dropped as ``SERVER_BUSY``.
        refused: frames that came later; dropped as ``SERVER_BUSY``, unread.
        lost: frames whose client left, or was lost, before they were answered.

    """

    answered: int = 0
    dropped: int = 0
    refused: int = 0
    lost: int = 0

    def __add__(self, other: Drained) -> Drained:
        return Drained(
            self.answered + other.answered,
            self.dropped + other.dropped,
            self.refused + other.refused,
            self.lost + other.lost,
        )


class Closable(Protocol):
    """What ends with the listener."""

    def close(self) -> None:
        """End."""


async def drain_all(listeners: Collection[Listener[Any]], timeout: float, reason: str) -> Drained:
    """Drain all of them at the same time; none is closed before the sessions of all are over."""
    native = [listener._native for listener in listeners]
    return Drained(*await _native.drain(native, timeout, reason))


class Listener(Generic[_C]):
    """Accepts connections on one address.

    Made by ``serve_*``, not by its constructor. As an async context manager it closes on exit; iterating over
    it yields raw connections until it is closed.

    Attributes:
        host: the host that was asked for.
        port: the port it is bound to.

    """

    __slots__ = ("__weakref__", "_accepted", "_native", "_receptions", "_tls", "_warned", "host", "port")

    _connection_type: type[_C]
    _native: NativeListener
    _accepted: WeakSet[_C]
    #: Where its certificates come from; ``None`` on plain TCP.
    _tls: ServerTls | None
    #: Whether it was said that everybody is let in.
    _warned: bool
    #: What `nnrp.server` keeps of clients that wait to be accepted here.
    _receptions: Closable | None
    host: str
    port: int

    def __init__(self) -> None:
        raise TypeError(f"{type(self).__name__} objects are made by serve_quic and serve_tcp")

    @classmethod
    def _wrap(cls, native: NativeListener, host: str, tls: ServerTls | None) -> Self:
        listener = object.__new__(cls)
        listener._native = native
        listener._accepted = WeakSet()
        listener._tls = tls
        listener._warned = False
        listener._receptions = None
        listener.host = host
        listener.port = native.address[1]
        return listener

    def __repr__(self) -> str:
        return f"{type(self).__name__}(host={self.host!r}, port={self.port!r})"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _C:
        try:
            return await self.accept()
        except NnrpConnectionClosedError:
            raise StopAsyncIteration from None

    async def accept(self, timeout: float | None = None) -> _C:
        """Return the next raw connection, after its transport handshake.

        A connection is claimed once: here or by :func:`~nnrp.server.accept_server_session`.

        Raises:
            TimeoutError: none came within ``timeout`` seconds.
            NnrpConnectionClosedError: the listener is closed.

        Timeouts and cancellation lose no connection.

        """
        return self._claim(await self._native.accept(timeout))

    def reload_certificate(
        self, certificate: PemSource | None = None, private_key: PemSource | None = None
    ) -> None:
        """Use a renewed certificate for every client that connects from now on.

        Without arguments the files of the configuration are read again, those with the authorities of client
        certificates too. Sessions that are open stay as they are. Fit for a signal handler of the event loop:
        ``loop.add_signal_handler(signal.SIGHUP, listener.reload_certificate)``.

        Args:
            certificate: a PEM file, or PEM as ``bytes``, in place of the configuration's.
            private_key: likewise; the certificate file also holds the key if ``None``.

        Raises:
            OSError: a file cannot be read.
            NnrpConnectionClosedError: the listener is closed, or draining.
            ValueError: certificate and key do not belong together, cannot be used, or are not valid now; or
                the listener is plain TCP. What was in use stays in use.

        """
        if self._tls is None:
            raise ValueError("a plain TCP listener has no certificate")
        if certificate is None and private_key is not None:
            raise ValueError("a private_key needs its certificate")
        tls = self._tls
        if certificate is not None:
            tls = tls.with_identity(Identity(certificate, private_key))
        self._native.reload_tls(tls.read())
        self._tls = tls

    def close(self, *, sessions: bool = False) -> Closing:
        """Stop accepting and refuse new connections; with ``sessions``, close accepted ones as well.

        The close begins at once. The returned object may be ignored, or awaited to wait for its end.
        """
        self._native.close()
        if self._receptions is not None:
            self._receptions.close()
        if sessions:
            for connection in self._accepted:
                connection.close()
        return Closing(self.wait_closed)

    def _claim(self, native: NativeConnection) -> _C:
        connection = self._connection_type._wrap(native)
        self._accepted.add(connection)
        return connection

    async def drain(self, timeout: float = 30.0, reason: str = DRAIN_REASON) -> Drained:
        """Take the listener out of service without losing a frame, then close it.

        - Accepting ends: calls that wait get the closed error. Clients that still come are refused with ERROR
          ``SERVER_BUSY`` and ``reason``.
        - Clients are asked to submit nothing more. A frame that comes all the same is dropped as
          ``SERVER_BUSY``, and ``receive_submit`` does not see it.
        - A session closes with its last answer; what is not answered within ``timeout`` seconds is dropped
          as ``SERVER_BUSY``. A partial result is no answer: the one that ends its frame is.

        The application has nothing to do but to go on serving: ``receive_submit`` raises the closed error
        when its session is over. Returns when all clients have everything, at the latest five seconds after
        ``timeout``. Connections accepted raw on which there is no session are left alone.

        Cancelling leaves the sessions to go on draining. Calling again waits for them, and can shorten the
        time they have, but not lengthen it.
        """
        return Drained(*await self._native.drain(timeout, reason))

    @property
    def stats(self) -> Stats:
        """How it is doing: clients let in and refused, by reason, those that wait, sessions, traffic.

        A read-only mapping, as it is now; calling it gives a fresh one. Traffic is that of all its sessions,
        those that are over too. Reading takes some microseconds for every open session.
        """
        return Stats(self._native.stats)

    async def wait_closed(self) -> None:
        """Wait until the listener is closed. Cancel-safe."""
        await self._native.wait_closed()
