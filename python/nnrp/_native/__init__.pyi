"""The native half of the package. Private: everything here is wrapped by the public modules."""

import sys
from asyncio import AbstractEventLoop
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextvars import Context
from os import PathLike
from typing import Any, Final, Generic, Literal, Self, TypeAlias, TypedDict, TypeVar, final

from typing_extensions import Buffer as BytesLike

from nnrp._native import codec as codec

__all__ = [
    "Buffer",
    "ClientSession",
    "Connection",
    "FrameBody",
    "Listener",
    "Operation",
    "Packet",
    "PendingSession",
    "Result",
    "Section",
    "ServerSession",
    "Submit",
    "Subscription",
    "__version__",
    "bind_quic",
    "bind_tcp",
    "check_identity",
    "codec",
    "connect_quic",
    "connect_tcp",
    "copied_bytes",
    "decode_result",
    "decode_submit",
    "development_certificate",
    "drain",
    "encode_result",
    "options",
    "parse_address",
    "tls_faults",
]

__version__: Final[str]

_T_co = TypeVar("_T_co", covariant=True)

_Address: TypeAlias = tuple[str, int]
#: The numbers of a header in wire order, without the magic.
_HeaderValues: TypeAlias = tuple[int, int, int, int, int, int, int, int, int, int, int, int]
#: Frames answered, dropped, refused and lost.
_Drained: TypeAlias = tuple[int, int, int, int]
#: The end of each bucket in seconds with the frames in it and in none before; the seconds of all together.
_Measured: TypeAlias = tuple[list[tuple[float, int]], float]
#: What a server offers, by name.
_Terms: TypeAlias = dict[str, Any]

class _Listening(TypedDict):
    max_frame_size: int | None
    keepalive_interval: float | None
    handshake_timeout: float
    max_pending_handshakes: int
    busy_retry_after: float

class _Connecting(TypedDict):
    max_frame_size: int | None
    keepalive_interval: float | None
    keepalive_timeout: float | None
    credit_policy: str
    credit_timeout: float | None
    max_kept_bytes: int

#: Where TLS secrets are written, ``None`` for nowhere.
_KeyLog: TypeAlias = str | PathLike[str] | None
#: Certificate, private key, roots of client certificates (``None``: not asked for), whether clients need one.
_ServerTls: TypeAlias = tuple[bytes, bytes, bytes | None, bool, _KeyLog]
#: Name to verify, roots (``None``: the platform's), whether to verify, certificate and key to show; PEM.
_ClientTls: TypeAlias = tuple[str, bytes | None, bool, tuple[bytes, bytes] | None, _KeyLog]

@final
class Operation(Awaitable[_T_co], Generic[_T_co]):
    """An awaitable native operation; awaiting it does not suspend if it can finish at once."""

    def __await__(self) -> Generator[Any, None, _T_co]: ...
    def __iter__(self) -> Self: ...
    def __next__(self) -> Any:
        """Poll once: raise ``StopIteration`` with the value, or return itself to wait on."""
    def throw(self, kind: Any, value: Any = None, _traceback: Any = None) -> None:
        """End the operation: the task that waits is cancelled."""
    def close(self) -> None:
        """Let go of what it was doing."""
    _asyncio_future_blocking: bool
    def get_loop(self) -> AbstractEventLoop | None:
        """Return the loop whose task waits."""
    def add_done_callback(
        self, callback: Callable[[Operation[Any]], object], *, context: Context | None = None
    ) -> None:
        """Have ``callback`` called when there is something to poll for."""
    def remove_done_callback(self, callback: Callable[[Operation[Any]], object]) -> int:
        """Take a callback back; return how many that were."""
    def cancel(self, msg: Any = None) -> bool:
        """Wake the task that waits with the news that it was cancelled; false if none waits."""
    def cancelled(self) -> bool:
        """Return whether the task that waits was cancelled."""
    def done(self) -> bool:
        """Return whether nobody waits."""
    def result(self) -> None:
        """Return nothing: the value comes with the next poll. Raise in a task that was cancelled."""

@final
class Buffer:
    """Read-only bytes that the network code received, exported through the buffer protocol without a copy."""

    def __len__(self) -> int: ...
    def __bytes__(self) -> bytes: ...
    if sys.version_info >= (3, 12):
        def __buffer__(self, flags: int, /) -> memoryview: ...

@final
class Packet:
    """A received packet."""

    @property
    def packet(self) -> Packet:
        """Itself, as what was received with a packet has it."""
    @property
    def header(self) -> _HeaderValues:
        """The header's numbers in wire order, without the magic."""
    @property
    def metadata(self) -> bytes:
        """The metadata, copied."""
    @property
    def body(self) -> bytes:
        """The body, copied."""

@final
class FrameBody:
    """The decoded body of a frame or result."""

    def sections(self) -> list[Section] | None:
        """Return the tensor sections; ``None`` without tensors, or if they were not resolved."""
    def tile_index_block(self) -> memoryview:
        """Return the tile index block as a view; empty for a dense range, or if it was not resolved."""
    def tile_ids(self) -> tuple[int, ...]:
        """Return the tile ids; empty if they were referenced and not resolved."""
    def camera(self) -> bytes:
        """Return the camera block, copied; empty without one."""
    def typed_payloads(self) -> list[tuple[int, bytes, int]]:
        """Return kind, bytes and profile of each typed payload."""
    def references(self) -> list[tuple[int, int, int, int, int]]:
        """Return the values of each object reference."""

@final
class Section:
    """A tensor section of a received body."""

    def descriptor(self) -> tuple[int, ...]:
        """Return the values of its descriptor."""
    def codec_table(self) -> memoryview:
        """Return the codec of each tile, as a view."""
    def length_table(self) -> memoryview:
        """Return the length of each tile, as a view."""
    def payload(self) -> memoryview:
        """Return the bytes of all tiles, as a view."""

@final
class Submit:
    """A frame a client submitted."""

    @property
    def packet(self) -> Packet:
        """The packet."""
    @property
    def header(self) -> _HeaderValues:
        """The numbers of the packet's header in wire order, without the magic."""
    @property
    def body(self) -> FrameBody:
        """Its body."""
    @property
    def section_count(self) -> int:
        """How many tensor sections it has; none if they were referenced and not resolved."""
    def section(self, place: int) -> Section:
        """Return one of them."""
    @property
    def frame_id(self) -> int:
        """The frame's id."""
    @property
    def view_id(self) -> int:
        """Its view."""
    @property
    def route_id(self) -> int:
        """Its routing hint."""
    @property
    def trace_id(self) -> int:
        """What correlates logs."""
    @property
    def flags(self) -> int:
        """The flags of its header."""
    @property
    def age_ms(self) -> int:
        """Milliseconds since it was received."""

@final
class Result:
    """What a server sent for a frame: a result, or a drop."""

    @property
    def frame_id(self) -> int:
        """The frame it is about."""
    @property
    def view_id(self) -> int:
        """The frame's view."""
    @property
    def is_drop(self) -> bool:
        """Whether it is a drop."""
    @property
    def packet(self) -> Packet:
        """The packet."""
    @property
    def body(self) -> FrameBody | None:
        """The body of a result; ``None`` for a drop."""
    @property
    def drop_reason(self) -> int | None:
        """Why the frame was dropped, if a hint said so."""
    @property
    def beyond_policy(self) -> bool:
        """Whether it applied a policy that its frame did not allow."""

@final
class Connection:
    """One transport connection."""

    @property
    def transport_id(self) -> int:
        """The transport it is on now, after whatever moves there were."""

    @property
    def peer_address(self) -> _Address:
        """Host and port of the other end."""
    @property
    def local_address(self) -> _Address:
        """Host and port of this end."""
    @property
    def peer_certificates(self) -> list[bytes]:
        """The certificates the peer showed, DER, its own first."""
    @property
    def session_id(self) -> int:
        """The id of the session; 0 before there is one."""
    @property
    def is_closed(self) -> bool:
        """Whether either side has ended it."""
    @property
    def control_stream_id(self) -> int:
        """The id of the control stream; 0 by definition."""
    @property
    def last_submit_stream_id(self) -> int | None:
        """The stream of the last submit."""
    @property
    def last_result_stream_id(self) -> int | None:
        """The stream of the last result."""
    def options(self) -> dict[str, str]:
        """Return what its transport was told when it was opened, as Rust's ``Debug`` shows it."""
    def is_abandoned(self) -> bool:
        """Return whether it is still open although this object is about to go away."""
    def check_open(self) -> None:
        """Raise the closed error if the connection has ended."""
    def send(self, header: bytes, metadata: BytesLike, body: BytesLike) -> Operation[int]:
        """Send one packet; yields the stream id of a frame, 0 for other packets."""
    def receive(
        self, kind: Literal["any", "control", "submit", "result"], timeout: float | None
    ) -> Operation[Packet]:
        """Yield the next packet of a kind."""
    def close(self, error_code: int, reason: str) -> None:
        """Begin to close."""
    def wait_closed(self) -> Operation[None]:
        """Wait until the transport is gone."""
    def flush(self) -> Operation[None]:
        """Wait until everything sent so far has reached the other transport."""
    def send_datagram(self, payload: BytesLike) -> None:
        """Send one datagram."""
    def receive_datagram(self, timeout: float | None) -> Operation[bytes]:
        """Yield the next datagram."""
    def accept_hello(
        self, terms: _Terms, timeout: float, first: tuple[bytes, BytesLike, BytesLike] | None = None
    ) -> Operation[PendingSession]:
        """Yield the client that says hello; ``first`` is a packet that was read already."""
    def open_session(
        self, header: bytes, metadata: BytesLike, body: BytesLike, timeout: float
    ) -> Operation[ClientSession]:
        """Open a session with a CLIENT_HELLO given as header, metadata and body."""

@final
class Listener:
    """A bound socket that clients connect to."""

    @property
    def address(self) -> _Address:
        """Host and port it is bound to."""
    @property
    def is_closed(self) -> bool:
        """Whether it accepts nobody any more."""
    def accept(self, timeout: float | None) -> Operation[Connection]:
        """Yield the next connection, raw."""
    def accept_hello(self, terms: _Terms, timeout: float) -> Operation[PendingSession]:
        """Yield the next client whose hello is complete, or raise for the next handshake that failed."""
    def put_back(self, pending: PendingSession) -> None:
        """Give back a client nobody has decided about; the next accept gets it first."""
    def reload_tls(self, tls: _ServerTls) -> None:
        """Use other certificates for the handshakes to come; raise and change nothing if they are bad."""
    def close(self) -> None:
        """Stop accepting."""
    def drain(self, timeout: float, reason: str) -> Operation[_Drained]:
        """End every session in order; yields how many frames were answered, dropped, refused and lost."""
    def options(self) -> dict[str, str]:
        """Return what it and its transport were told, as Rust's ``Debug`` shows it."""
    def stats(self) -> tuple[dict[str, int], dict[str, int], _Measured]:
        """Return what there is now, and counters, by name; how long frames took."""
    def wait_closed(self) -> Operation[None]:
        """Wait until the socket is closed."""

@final
class PendingSession:
    """A client that has said hello and waits for a decision."""

    @property
    def packet(self) -> Packet:
        """The CLIENT_HELLO."""
    @property
    def is_migration(self) -> bool:
        """Whether the client wants to go on with a session it has."""
    def migrate(self) -> None:
        """Move that session to the client's new connection, or tell the client why not."""
    @property
    def auth_block(self) -> bytes:
        """The client's credentials."""
    @property
    def extensions(self) -> list[tuple[int, int, bytes]]:
        """Type, flags and payload of each extension."""
    @property
    def peer_address(self) -> _Address:
        """Host and port of the client."""
    @property
    def peer_certificates(self) -> list[bytes]:
        """The certificates the client showed, DER, its own first."""
    @property
    def time_left(self) -> float:
        """Seconds of its handshake timeout that the client has left."""
    def admit(
        self,
        terms: _Terms,
        session_id: int | None,
        model_name: str,
        extensions: Sequence[tuple[int, int, bytes]],
        token_ttl: float | None,
    ) -> ServerSession:
        """Send SERVER_HELLO_ACK and return the session."""
    def refuse(self, code: int, text: str) -> None:
        """Send ERROR with ``code`` and ``text``, then close."""
    def turn_away(self, retry_after: float) -> None:
        """Send ERROR with SERVER_BUSY, to be tried again after this many seconds, then close."""

@final
class ServerSession:
    """A server's session."""

    @property
    def connection(self) -> Connection:
        """The connection underneath."""
    @property
    def session_id(self) -> int:
        """The session's id."""
    @property
    def ack_metadata(self) -> bytes:
        """The metadata of SERVER_HELLO_ACK."""
    def receive(self, timeout: float | None) -> Submit | Operation[Submit]:
        """Return the next frame, or an operation that yields it; raise for a packet that was refused."""
    def receive_more(self, limit: int) -> list[Submit]:
        """Return the frames that are there already, at most ``limit``."""
    def receive_control(self, timeout: float | None) -> Operation[Packet]:
        """Yield the next control packet the runtime does not answer by itself."""
    def send_result(
        self, frame_id: int, view_id: int, sections: Sequence[Any], others: dict[str, Any]
    ) -> int | Operation[int]:
        """Send one result; return the bytes of its packet, or an operation that yields them.

        ``others`` are the further arguments that were given; one that nobody knows is a ``TypeError``.
        """
    def send_drop(self, arguments: dict[str, Any]) -> Operation[int]:
        """End a frame without a result; yields the bytes of the drop."""
    def send_hint(self, metadata: bytes, arguments: dict[str, Any]) -> Operation[int]:
        """Send a RESULT_HINT with packed metadata; yields the bytes of its packet."""
    def frame_cancelled(self, frame_id: int, view_id: int) -> bool:
        """Return whether the client cancelled a frame."""
    def cancelled(self, frame_id: int, view_id: int) -> Operation[None]:
        """Wait until nobody wants a frame any more."""
    def close(self) -> Operation[None]:
        """Say CLOSE; wait until what was sent before has left."""
    def drain(self, timeout: float, reason: str) -> Operation[_Drained]:
        """End the session in order; yields as ``Listener.drain`` does."""
    def patched(self) -> dict[str, int]:
        """Return the values that SESSION_PATCH can change, as they are now."""
    def options(self) -> dict[str, str]:
        """Return what it offers, as Rust's ``Debug`` shows it."""
    def stats(self) -> tuple[dict[str, int], _Measured]:
        """Return counters by name; how long frames took."""

@final
class ClientSession:
    """A client's session."""

    @property
    def session_id(self) -> int:
        """The session's id."""
    @property
    def ack_packet(self) -> Packet:
        """The SERVER_HELLO_ACK."""
    @property
    def model_name(self) -> str:
        """The model name the server told."""
    @property
    def credit_policy(self) -> str:
        """How the server's credit and pauses are treated."""
    def set_credit_policy(self, policy: str) -> None:
        """Treat them differently from now on."""
    def options(self) -> dict[str, str]:
        """Return what it was told when it was opened, as Rust's ``Debug`` shows it."""
    def stats(self) -> tuple[dict[str, int], _Measured]:
        """Return counters by name; how long frames took."""
    def submit(
        self, names: tuple[str, ...], values: tuple[Any, ...], timeout: float | None
    ) -> int | Operation[int]:
        """Submit a frame, held back for so many seconds at most; return its stream id, or what yields it."""
    def receive_result(
        self, timeout: float | None, frame_id: int | None, view_id: int | None
    ) -> Result | Operation[Result]:
        """Return the next result or drop, or what yields it; raise for a frame that failed."""
    def discard_frame(self, frame_id: int, view_id: int) -> int:
        """Throw away what arrived and what still comes for a frame; return how much had arrived."""
    def cancel_frame(self, frame_id: int, view_id: int) -> Operation[int]:
        """Send FRAME_CANCEL; yields the bytes of its packet."""
    def ping(self, timeout: float | None) -> Operation[float]:
        """Yield the round trip to the server's runtime in seconds."""
    def receive_control(self, timeout: float | None, message: int | None) -> Operation[Packet]:
        """Yield the next control packet, of any type or of one."""
    def hints(self) -> Subscription:
        """Subscribe to the RESULT_HINTs from now on."""
    def flow_updates(self) -> Subscription:
        """Subscribe to the FLOW_UPDATEs from now on."""
    def migrate(self, connection: Connection, trigger: str) -> Operation[Packet]:
        """Move the session to another connection; yields the server's answer."""
    def close(self) -> Operation[None]:
        """Say CLOSE; wait until what was sent before has left."""

@final
class Subscription:
    """Packets of one type from the moment of subscribing."""

    def next(self) -> Operation[Packet | None]:
        """Yield the next packet, ``None`` once the session is over."""

def bind_quic(
    host: str,
    port: int,
    *,
    tls: _ServerTls,
    alpn: Sequence[str],
    idle_timeout: float | None,
    max_datagram_frame_size: int,
    qlog: str | PathLike[str] | None,
    listening: _Listening,
) -> Operation[Listener]:
    """Yield a listener for QUIC."""

def bind_tcp(
    host: str,
    port: int,
    *,
    tls: _ServerTls | None,
    alpn: Sequence[str],
    idle_timeout: float | None,
    no_delay: bool,
    listening: _Listening,
) -> Operation[Listener]:
    """Yield a listener for TCP, plain without ``tls``."""

def connect_quic(
    host: str,
    port: int,
    *,
    tls: _ClientTls,
    alpn: Sequence[str],
    idle_timeout: float | None,
    max_datagram_frame_size: int,
    qlog: str | PathLike[str] | None,
    connecting: _Connecting,
    timeout: float | None,
) -> Operation[Connection]:
    """Yield a connection over QUIC."""

def connect_tcp(
    host: str,
    port: int,
    *,
    tls: _ClientTls | None,
    alpn: Sequence[str],
    idle_timeout: float | None,
    no_delay: bool,
    connecting: _Connecting,
    timeout: float | None,
) -> Operation[Connection]:
    """Yield a connection over TCP, plain without ``tls``."""

def check_identity(certificate: bytes, private_key: bytes) -> None:
    """Raise ``ValueError`` unless certificate and key, PEM, belong in a TLS configuration."""

def drain(listeners: Sequence[Listener], timeout: float, reason: str) -> Operation[_Drained]:
    """Drain all of them together; yields how many frames were answered, dropped, refused and lost."""

def copied_bytes() -> int:
    """Return how many bytes of payload were copied for sending since the process began."""

def development_certificate() -> tuple[bytes, bytes]:
    """Return certificate and key, PEM, for loopback names."""

def parse_address(text: str) -> tuple[bool, str, int]:
    """Return whether an address asks for TLS, its host and port; raise ``ValueError`` for what is none."""

def options() -> dict[str, dict[str, str]]:
    """Return the options of each kind with their defaults, as Rust's ``Debug`` shows them."""

def tls_faults() -> list[str]:
    """Return the names of what can be wrong with TLS."""

def decode_submit(header: bytes, metadata: BytesLike, body: BytesLike) -> Submit:
    """Decode a FRAME_SUBMIT that did not come over a connection of this package."""

def decode_result(header: bytes, metadata: BytesLike, body: BytesLike) -> Result:
    """Decode a RESULT_PUSH that did not come over a connection of this package."""

def encode_result(
    session_id: int, frame_id: int, view_id: int, sections: Sequence[Any], others: dict[str, Any]
) -> bytes:
    """Return the bytes of the result packet that the arguments of ``send_result`` describe."""
