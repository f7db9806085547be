"""Metrics and health over HTTP, for those who run a server."""

from __future__ import annotations

import logging
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, HTTPServer
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final, cast

from nnrp._logging import about
from nnrp.cli._common import Failure, optional

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from nnrp.server.accept import ServerListener

__all__ = ["Health", "Operations"]

_log = logging.getLogger("nnrp.cli")

#: Requests at once: a scraper, an orchestrator, and some people. Further ones wait to be accepted.
_MAX_REQUESTS: Final = 8

#: Seconds for a request: whoever asks is near.
_REQUEST_TIMEOUT: Final = 5.0

#: Seconds between two signs of life of the event loop, and without one after which it counts as stuck: longer
#: than any step of a coroutine should take, shorter than orchestrators wait.
_BEAT: Final = 0.5
_STUCK: Final = 10.0

_TEXT: Final = "text/plain; charset=utf-8"


class Health:
    """Whether the server is alive, and whether it takes clients.

    The event loop says :meth:`beat`; threads ask.
    """

    #: How often the loop should say it, in seconds.
    interval: Final = _BEAT

    def __init__(self, draining: Callable[[], bool]) -> None:
        """Ask ``draining`` whether clients are sent away."""
        self._draining = draining
        self._beat = time.monotonic()

    def beat(self) -> None:
        """Note that the event loop goes round."""
        self._beat = time.monotonic()

    def alive(self) -> tuple[bool, str]:
        """Return whether the event loop goes round, and a word about it."""
        silent = time.monotonic() - self._beat
        if silent > _STUCK:
            return False, f"the event loop has been stuck for {silent:.0f} s: an async handler blocks it"
        return True, "ok"

    def ready(self) -> tuple[bool, str]:
        """Return whether new clients are served, and a word about it."""
        if self._draining():
            return False, "draining"
        return self.alive()


class Operations:
    """Serves `/healthz`, `/readyz` and `/metrics` in threads of its own, until it is closed."""

    def __init__(
        self, host: str, ports: Mapping[str, int], health: Health, listeners: Mapping[str, ServerListener]
    ) -> None:
        """Bind a port for each of ``"metrics"`` and ``"health"``; if they have the same one, one serves both.

        Raises:
            Failure: a port cannot be bound, or metrics are asked for and prometheus_client is missing.

        """
        pages: dict[str, Callable[[], tuple[int, str, bytes]]] = {}
        if "metrics" in ports:
            pages["/metrics"] = _metrics(listeners)
        pages["/healthz"] = lambda: _answer(health.alive())
        pages["/readyz"] = lambda: _answer(health.ready())
        together: dict[int, list[str]] = {}
        for name, port in ports.items():
            together.setdefault(port, []).append(name)
        self._servers: list[_Server] = []
        for port, names in together.items():
            shown = pages if "metrics" in names else {path: pages[path] for path in ("/healthz", "/readyz")}
            try:
                server = _Server((host, port), shown)
            except OSError as error:
                self.close()
                what = " and ".join(names)
                raise Failure(f"cannot serve {what} on {host} port {port}: {error.strerror}") from None
            self._servers.append(server)
            threading.Thread(target=server.serve_forever, name="nnrp-http", daemon=True).start()
            address = f"http://{host}:{server.port}"
            said = {f"{name}_address": address for name in names}
            _log.info("%s serves %s", address, ", ".join(shown), extra={**about(), **said})

    def close(self) -> None:
        """Stop serving."""
        for server in self._servers:
            server.shutdown()
            server.server_close()


def _answer(state: tuple[bool, str]) -> tuple[int, str, bytes]:
    good, text = state
    return HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE, _TEXT, f"{text}\n".encode()


def _metrics(listeners: Mapping[str, ServerListener]) -> Callable[[], tuple[int, str, bytes]]:
    """Return what `/metrics` answers: the listeners, and what prometheus_client knows of this process."""
    purpose = "--metrics-port"
    prometheus: Any = optional("prometheus_client", purpose)
    optional("prometheus_client.registry", purpose)
    from nnrp.observe.prometheus import NnrpCollector  # noqa: PLC0415  # needs prometheus_client

    prometheus.REGISTRY.register(NnrpCollector({name.lower(): one for name, one in listeners.items()}))

    def answer() -> tuple[int, str, bytes]:
        text: bytes = prometheus.generate_latest(prometheus.REGISTRY)
        return HTTPStatus.OK, prometheus.CONTENT_TYPE_LATEST, text

    return answer


class _Server(ThreadingMixIn, HTTPServer):
    """A few requests at once, each in a thread."""

    daemon_threads = True
    block_on_close = False

    def __init__(
        self, address: tuple[str, int], pages: Mapping[str, Callable[[], tuple[int, str, bytes]]]
    ) -> None:
        self.pages = pages
        self._room = threading.BoundedSemaphore(_MAX_REQUESTS)
        super().__init__(address, _Request)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def server_bind(self) -> None:
        """Bind, without asking the DNS for a name nobody needs, as the base class does."""
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:
        self._room.acquire()
        super().process_request(request, client_address)

    def process_request_thread(self, request: socket.socket, client_address: Any) -> None:  # type: ignore[override]
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  # as in the base class
        _log.debug("an HTTP request failed", exc_info=True, extra=about(peer=client_address))


class _Request(BaseHTTPRequestHandler):
    """Answers GET for the pages there are."""

    timeout = _REQUEST_TIMEOUT

    def do_GET(self) -> None:
        pages = cast("_Server", self.server).pages
        page = pages.get(self.path.partition("?")[0])
        if page is None:
            self.send_error(HTTPStatus.NOT_FOUND, explain=f"there is {', '.join(pages)}")
            return
        code, kind, content = page()
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # its name in the base class
        _log.debug("HTTP: " + format, *args, extra=about())
