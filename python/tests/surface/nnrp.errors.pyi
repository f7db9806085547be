class NnrpAuthenticationError(NnrpProtocolError):
    def __init__(
        self,
        message="",
        *,
        error_code=ErrorCode.AUTH_FAILED,
        error_scope=ErrorScope.CONNECTION,
        is_fatal=True,
        retry_after_ms=0,
        session_id=0,
        frame_id=0,
        view_id=0,
        diagnostic="",
        packet=None,
    ): ...

class NnrpConnectionClosedError(NnrpTransportError, ConnectionResetError):
    ended_by: ...
    tls_fault: ...

class NnrpError(Exception): ...

class NnrpProtocolError(NnrpError, ValueError):
    def __init__(
        self,
        message="",
        *,
        error_code=ErrorCode.INVALID_STATE,
        error_scope=ErrorScope.SESSION,
        is_fatal=False,
        retry_after_ms=0,
        session_id=0,
        frame_id=0,
        view_id=0,
        diagnostic="",
        packet=None,
    ): ...

class NnrpQuicConnectionClosedError(NnrpQuicError, NnrpConnectionClosedError):
    ended_by: ...
    tls_fault: ...

class NnrpQuicError(NnrpTransportError): ...
class NnrpQuicProtocolError(NnrpQuicError): ...

class NnrpTcpConnectionClosedError(NnrpTcpError, NnrpConnectionClosedError):
    ended_by: ...
    tls_fault: ...

class NnrpTcpError(NnrpTransportError): ...
class NnrpTcpProtocolError(NnrpTcpError): ...
class NnrpTcpUnsupportedOperationError(NnrpTcpError): ...
class NnrpTransportError(NnrpError, RuntimeError): ...
