"""Spans leave by OTLP: a collector on this machine gets them, and reads them with the published schema."""

import asyncio
import gzip
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Queue

import pytest

from nnrp.adapters import create_tcp_client_configuration
from nnrp.client import SubmitRequest, TypedPayload, dial_client

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="requirements-dev.txt has it")
schema = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")

STEP = 20.0
TRACE = 0xABC


@contextmanager
def collector():
    """Collect requests: its address, and a queue of what came."""
    came = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            came.put((self.path, schema.ExportTraceServiceRequest.FromString(body)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", came
        finally:
            server.shutdown()


async def test_a_collector_gets_the_span_of_a_frame_in_the_trace_it_names(commands):
    with collector() as (address, came):
        commands.variables["OTEL_EXPORTER_OTLP_ENDPOINT"] = address
        async with commands.serve("app:shout", "--plain", "--otel", "otlp") as served:
            config = create_tcp_client_configuration()
            async with dial_client(served.url, config=config, timeout=STEP) as session:
                payload = TypedPayload.token_chunk(b"hello")
                request = SubmitRequest(frame_id=1, trace_id=TRACE, typed_payloads=(payload,))
                await session.submit(request, timeout=STEP)
            code, _ = await served.stop()  # what has not been sent is sent then
        assert code == 0
        path, request = await asyncio.to_thread(came.get, timeout=STEP)
    assert path == "/v1/traces"
    [spans] = request.resource_spans
    assert {item.key: item.value.string_value for item in spans.resource.attributes}["service.name"] == "nnrp"
    [span] = spans.scope_spans[0].spans
    assert int.from_bytes(span.trace_id, "big") == TRACE
    attributes = {item.key: item.value.int_value for item in span.attributes}
    assert attributes["nnrp.frame_id"] == 1
