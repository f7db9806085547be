from nnrp.errors import (
    NnrpTcpConnectionClosedError,
    NnrpTcpError,
    NnrpTcpProtocolError,
    NnrpTcpUnsupportedOperationError,
)

NNRP_TCP_ALPN = "nnrp/1-tcp"

@dataclass(frozen=True, slots=True)
class NnrpTcpClientConfiguration:
    connect_timeout: ... = 5.0
    idle_timeout: ... = 120.0
    no_delay: ... = True
    wire_format: KW_ONLY = WireFormat.CURRENT
    max_frame_size: KW_ONLY = None
    keepalive_interval: KW_ONLY = 15.0
    keepalive_timeout: KW_ONLY = 45.0
    credit_policy: KW_ONLY = "honour"
    credit_timeout: KW_ONLY = 30.0
    max_kept_bytes: KW_ONLY = 8388608
    tls: KW_ONLY = None
    verify_mode: KW_ONLY = ssl.CERT_REQUIRED
    server_name: KW_ONLY = None
    cafile: KW_ONLY = None
    capath: KW_ONLY = None
    cadata: KW_ONLY = None
    certificate: KW_ONLY = None
    private_key: KW_ONLY = None
    alpn_protocols: KW_ONLY = ("nnrp/1-tcp",)
    key_log: KW_ONLY = None

class NnrpTcpConnection:
    async def __aenter__(self): ...
    async def __aexit__(self, kind, error, trace): ...
    def close(self, error_code=0, reason_phrase=""): ...
    @property
    def control_stream_id(self): ...
    @property
    def is_closed(self): ...
    @property
    def last_result_stream_id(self): ...
    @property
    def last_submit_stream_id(self): ...
    @property
    def local_address(self): ...
    @property
    def peer_address(self): ...
    @property
    def peer_certificates(self): ...
    async def receive_control_packet(self, timeout=None): ...
    async def receive_datagram(self, timeout=None): ...
    async def receive_packet(self, *, timeout=None): ...
    async def receive_result_packet(self, timeout=None): ...
    async def receive_submit_packet(self, timeout=None): ...
    async def send_control_packet(self, packet): ...
    def send_datagram(self, payload): ...
    async def send_packet(self, packet): ...
    async def send_result_packet(self, packet): ...
    async def send_submit_packet(self, packet): ...
    @property
    def session_id(self): ...
    async def wait_closed(self): ...
    async def wait_connected(self, timeout=None): ...

class NnrpTcpListener:
    async def __aenter__(self): ...
    async def __aexit__(self, kind, error, trace): ...
    def __aiter__(self): ...
    async def __anext__(self): ...
    async def accept(self, timeout=None): ...
    def close(self, *, sessions=False): ...
    async def drain(self, timeout=30.0, reason="the server is shutting down"): ...
    host: ...
    port: ...
    def reload_certificate(self, certificate=None, private_key=None): ...
    async def wait_closed(self): ...

@dataclass(frozen=True, slots=True)
class NnrpTcpServerConfiguration:
    idle_timeout: ... = 120.0
    no_delay: ... = True
    wire_format: KW_ONLY = WireFormat.CURRENT
    max_frame_size: KW_ONLY = None
    keepalive_interval: KW_ONLY = None
    handshake_timeout: KW_ONLY = 10.0
    max_pending_handshakes: KW_ONLY = 1024
    busy_retry_after: KW_ONLY = 1.0
    certificate: KW_ONLY = None
    private_key: KW_ONLY = None
    verify_mode: KW_ONLY = None
    cafile: KW_ONLY = None
    capath: KW_ONLY = None
    cadata: KW_ONLY = None
    alpn_protocols: KW_ONLY = ("nnrp/1-tcp",)
    key_log: KW_ONLY = None

def connect_tcp(host, port, config=None, *, configuration=None, timeout=None): ...
def create_tcp_client_configuration(
    *,
    wire_format=WireFormat.CURRENT,
    connect_timeout=5.0,
    idle_timeout=120.0,
    no_delay=True,
    max_frame_size=None,
    keepalive_interval=15.0,
    keepalive_timeout=45.0,
    tls=None,
    verify_mode=ssl.CERT_REQUIRED,
    insecure_skip_verify=False,
    server_name=None,
    cafile=None,
    capath=None,
    cadata=None,
    certificate=None,
    private_key=None,
    alpn_protocols=None,
): ...
def create_tcp_server_configuration(
    *,
    wire_format=WireFormat.CURRENT,
    idle_timeout=120.0,
    no_delay=True,
    max_frame_size=None,
    keepalive_interval=None,
    certificate=None,
    private_key=None,
    verify_mode=None,
    cafile=None,
    capath=None,
    cadata=None,
    alpn_protocols=None,
): ...
def serve_tcp(host, port, config=None, *, configuration=None): ...
