"""Serving clients: accept sessions, receive frames, send results."""

from nnrp.server.accept import (
    ServerSessionAcceptResolution,
    SessionResolver,
    accept_server_connection,
    accept_server_session,
)
from nnrp.server.batching import MicroBatcher
from nnrp.server.context import ClientHelloContext, ReceivedSubmit
from nnrp.server.profile import ServerProfile
from nnrp.server.session import ServerSession

__all__ = [
    "ClientHelloContext",
    "MicroBatcher",
    "ReceivedSubmit",
    "ServerProfile",
    "ServerSession",
    "ServerSessionAcceptResolution",
    "SessionResolver",
    "accept_server_connection",
    "accept_server_session",
]
