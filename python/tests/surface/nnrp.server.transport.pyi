from nnrp.server import (
    ClientHelloContext,
    ReceivedSubmit,
    ServerProfile,
    ServerSession,
    ServerSessionAcceptResolution,
    SessionResolver,
    accept_server_connection,
    accept_server_session,
)

ServerConnection: ...

ServerListener: ...
