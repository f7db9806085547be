"""Every exception of the package.

::

    Exception
    └─ NnrpError
       ├─ NnrpProtocolError                       and ValueError
       │  └─ NnrpAuthenticationError
       └─ NnrpTransportError                      and RuntimeError
          ├─ NnrpConnectionClosedError            and ConnectionResetError
          ├─ NnrpQuicError
          │  ├─ NnrpQuicConnectionClosedError     and NnrpConnectionClosedError
          │  └─ NnrpQuicProtocolError
          └─ NnrpTcpError
             ├─ NnrpTcpConnectionClosedError      and NnrpConnectionClosedError
             ├─ NnrpTcpProtocolError
             └─ NnrpTcpUnsupportedOperationError

So callers may go on catching what they catch: a broken rule of the protocol is a ``ValueError``, a failed
transport a ``RuntimeError``, and a connection that ended additionally a ``ConnectionResetError``.

An ERROR of the peer, and a rule that it broke, is an exception whose ``error_code`` says which:

======================  ==========================  ==========================================================
``error_code``          class                       what it says besides
======================  ==========================  ==========================================================
UNSUPPORTED_VERSION     NnrpProtocolError           ends the connection: no common version or wire format
AUTH_FAILED             NnrpAuthenticationError     ends the connection: refused, or the time admitted is over
INVALID_STATE           NnrpProtocolError           ``frame_id`` if a frame is meant: not in this order
MALFORMED_HEADER        NnrpProtocolError           ends the connection: bytes that are no packet
MALFORMED_BODY          NnrpProtocolError           ``frame_id``: this frame breaks a rule, the next may not
UNSUPPORTED_CAPABILITY  NnrpProtocolError           ``frame_id``, or ends the handshake: was not agreed on
LIMIT_EXCEEDED          NnrpProtocolError           ``frame_id``: larger than the server announced
FRAME_EXPIRED           NnrpProtocolError           ``frame_id``: its budget was over
FRAME_CANCELLED         NnrpProtocolError           ``frame_id``: the client has cancelled it
CACHE_MISS              NnrpProtocolError           ``frame_id``: it refers to what is not stored
SERVER_BUSY             NnrpProtocolError           ``retry_after_ms``: when to try again
INTERNAL_ERROR          NnrpProtocolError           ``diagnostic``: nobody's fault but the server's
======================  ==========================  ==========================================================

All have all attributes of :class:`NnrpProtocolError`; ``is_fatal`` is what tells whether the connection goes
on, and a code of a later version stays the plain number. The errors of the Rust crate become:

========================  ==================================================================================
in Rust                   here
========================  ==================================================================================
HandshakeError.Refused    NnrpProtocolError, or NnrpAuthenticationError, as above
HandshakeError.Timeout    TimeoutError
HandshakeError.Closed     NnrpConnectionClosedError, of the transport
HandshakeError.Send       as SendError
SessionError.Closed       NnrpConnectionClosedError, or NnrpProtocolError if a fatal ERROR ended it
SessionError.Timeout      TimeoutError
SessionError.Send         as SendError
MigrateError.Refused      NnrpProtocolError, as above
MigrateError.Timeout      TimeoutError
MigrateError.Closed       NnrpConnectionClosedError
MigrateError.State        as SendError
SendError.Command         ValueError; NnrpConnectionClosedError when it is over; TimeoutError when held back
SendError.Closed          NnrpConnectionClosedError
SendError.Unsupported     NnrpTcpUnsupportedOperationError
ReceiveError.Fault        NnrpProtocolError; NnrpQuicProtocolError or NnrpTcpProtocolError: no packets
ReceiveError.Closed       NnrpConnectionClosedError
ReceiveError.Unsupported  NnrpTcpUnsupportedOperationError
ConnectError.Io           OSError
ConnectError.Resolve      OSError
ConnectError.Handshake    NnrpConnectionClosedError, with ``tls_fault``
ConnectError.NotBuilt     none: the package has every binding
ConnectError.Timeout      TimeoutError
ConnectError.Tls          ValueError
BindError.Io              OSError
BindError.Tls             ValueError
========================  ==================================================================================
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from nnrp.core import NnrpPacket
from nnrp.core._enums import ErrorCode, ErrorScope

#: ``unknown_authority``: a certificate is signed by nobody who is trusted. ``wrong_name``: it is for other
#: hosts. ``expired``, ``not_yet_valid``, ``bad_certificate``: it is no good otherwise.
#: ``client_certificate_required``: the server admits nobody without one. ``alpn``: no common protocol.
#: ``not_tls``: the peer speaks plain TCP. ``tls_required``: it speaks TLS and we do not. ``truncated``: the
#: stream was cut off. ``other``: see the text.
TlsFault: TypeAlias = Literal[
    "unknown_authority",
    "wrong_name",
    "expired",
    "not_yet_valid",
    "bad_certificate",
    "client_certificate_required",
    "alpn",
    "not_tls",
    "tls_required",
    "truncated",
    "other",
]

__all__ = [
    "NnrpAuthenticationError",
    "NnrpConnectionClosedError",
    "NnrpError",
    "NnrpProtocolError",
    "NnrpQuicConnectionClosedError",
    "NnrpQuicError",
    "NnrpQuicProtocolError",
    "NnrpTcpConnectionClosedError",
    "NnrpTcpError",
    "NnrpTcpProtocolError",
    "NnrpTcpUnsupportedOperationError",
    "NnrpTransportError",
]


class NnrpError(Exception):
    """Base of all errors that this package defines."""


class NnrpProtocolError(NnrpError, ValueError):
    """The peer reported an error, or broke a rule of the protocol.

    Attributes:
        error_code: what went wrong; an ``int`` if the peer sent a code this version does not know.
        error_scope: how far it reaches: the connection, the session, or one frame.
        is_fatal: whether the connection ends because of it.
        retry_after_ms: when the peer suggests to try again, in milliseconds; 0 if it said nothing.
        session_id: the session concerned, 0 if none is named.
        frame_id: the frame concerned, 0 if none is named.
        view_id: the frame's view.
        diagnostic: the peer's explanation, or ours.
        packet: the packet that carried the error; ``None`` if the violation was found here.

    """

    def __init__(
        self,
        message: str = "",
        *,
        error_code: ErrorCode | int = ErrorCode.INVALID_STATE,
        error_scope: ErrorScope = ErrorScope.SESSION,
        is_fatal: bool = False,
        retry_after_ms: int = 0,
        session_id: int = 0,
        frame_id: int = 0,
        view_id: int = 0,
        diagnostic: str = "",
        packet: NnrpPacket | None = None,
    ) -> None:
        super().__init__(message)
        self.error_code = error_code
        self.error_scope = error_scope
        self.is_fatal = is_fatal
        self.retry_after_ms = retry_after_ms
        self.session_id = session_id
        self.frame_id = frame_id
        self.view_id = view_id
        self.diagnostic = diagnostic
        self.packet = packet


class NnrpAuthenticationError(NnrpProtocolError):
    """The server did not accept the client's auth block (``ErrorCode.AUTH_FAILED``)."""

    def __init__(
        self,
        message: str = "",
        *,
        error_code: ErrorCode | int = ErrorCode.AUTH_FAILED,
        error_scope: ErrorScope = ErrorScope.CONNECTION,
        is_fatal: bool = True,
        retry_after_ms: int = 0,
        session_id: int = 0,
        frame_id: int = 0,
        view_id: int = 0,
        diagnostic: str = "",
        packet: NnrpPacket | None = None,
    ) -> None:
        super().__init__(
            message,
            error_code=error_code,
            error_scope=error_scope,
            is_fatal=is_fatal,
            retry_after_ms=retry_after_ms,
            session_id=session_id,
            frame_id=frame_id,
            view_id=view_id,
            diagnostic=diagnostic,
            packet=packet,
        )


class NnrpTransportError(NnrpError, RuntimeError):
    """The transport below the protocol failed."""


class NnrpConnectionClosedError(NnrpTransportError, ConnectionResetError):
    """The connection ended; nothing can be sent and nothing is left to receive."""

    ended_by: Literal["application", "peer", "fault", "transport"] = "transport"
    """Who ended it: our own `close()`, the peer in an orderly way, a fatal ERROR, or the network (a reset, an
    idle or dead peer). The first two are an ordinary end of a session."""

    tls_fault: TlsFault | None = None
    """What was wrong with TLS, if that is why: see :data:`TlsFault`. What a server has against a client's
    certificate it says only after the client's handshake, so that may come with a connection's first use."""


class NnrpQuicError(NnrpTransportError):
    """A QUIC connection failed."""


class NnrpQuicConnectionClosedError(NnrpQuicError, NnrpConnectionClosedError):
    """A QUIC connection ended, or could not be established."""


class NnrpQuicProtocolError(NnrpQuicError):
    """The peer used QUIC streams in a way the protocol does not allow."""


class NnrpTcpError(NnrpTransportError):
    """A TCP connection failed."""


class NnrpTcpConnectionClosedError(NnrpTcpError, NnrpConnectionClosedError):
    """A TCP connection ended."""


class NnrpTcpProtocolError(NnrpTcpError):
    """The byte stream does not divide into packets."""


class NnrpTcpUnsupportedOperationError(NnrpTcpError):
    """The operation needs a transport with datagrams, which TCP is not."""
