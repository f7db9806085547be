"""Everything of :mod:`nnrp.server`, under the module path that names the connection types."""

from nnrp.server.accept import (
    ServerConnection,
    ServerListener,
    ServerSessionAcceptResolution,
    SessionResolver,
    accept_server_connection,
    accept_server_session,
)
from nnrp.server.context import ClientHelloContext, ReceivedSubmit
from nnrp.server.profile import ServerProfile
from nnrp.server.session import ServerSession

__all__ = [
    "ClientHelloContext",
    "ReceivedSubmit",
    "ServerConnection",
    "ServerListener",
    "ServerProfile",
    "ServerSession",
    "ServerSessionAcceptResolution",
    "SessionResolver",
    "accept_server_connection",
    "accept_server_session",
]
