"""Serving clients: accept sessions, receive frames, send results."""

from nnrp.adapters._listener import Drained
from nnrp.server._validation import Admit, Busy, tokens_equal
from nnrp.server.accept import (
    AuthValidator,
    ServerSessionAcceptResolution,
    SessionResolver,
    accept_server_connection,
    accept_server_session,
)
from nnrp.server.batching import MicroBatcher
from nnrp.server.context import ClientHelloContext, ReceivedSubmit
from nnrp.server.options import ServerOptions
from nnrp.server.profile import ServerProfile
from nnrp.server.serving import serve_sessions
from nnrp.server.session import ServerSession

__all__ = [
    "Admit",
    "AuthValidator",
    "Busy",
    "ClientHelloContext",
    "Drained",
    "MicroBatcher",
    "ReceivedSubmit",
    "ServerOptions",
    "ServerProfile",
    "ServerSession",
    "ServerSessionAcceptResolution",
    "SessionResolver",
    "accept_server_connection",
    "accept_server_session",
    "serve_sessions",
    "tokens_equal",
]
