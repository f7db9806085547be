"""What `nnrp serve` runs: listeners, the handler, and what operators asked for."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import logging
import signal
import sys
from typing import TYPE_CHECKING, Any, Final

from nnrp._logging import about
from nnrp.cli._answering import Answering, is_async
from nnrp.cli._common import OK, Failure
from nnrp.cli._listening import listen, tls_settings
from nnrp.cli._loading import Source
from nnrp.cli._logs import configure
from nnrp.server import Busy, MicroBatcher, ServerProfile, serve_sessions
from nnrp.server._threads import Threads

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping
    from pathlib import Path

    from nnrp.cli._ops import Health
    from nnrp.server import ServerSession
    from nnrp.server.accept import ServerListener

__all__ = ["serve"]

_log = logging.getLogger("nnrp.cli")

#: Seconds between two looks at the files of the handler: soon enough for a person, and cheap.
_RELOAD_INTERVAL: Final = 0.5

#: Bytes of a token file: more than that is another file by mistake.
_MAX_TOKEN_FILE: Final = 1 << 20

#: Seconds after which a client that found no place is asked to try again.
_FULL_RETRY: Final = 1.0


def serve(arguments: argparse.Namespace) -> int:
    """Serve until a signal comes; return the exit code."""
    configure(arguments.log_level, arguments.log_format)
    if arguments.reload:
        # A file that changes twice in a second would be taken for its older self.
        sys.dont_write_bytecode = True
    source = Source(arguments.handler, arguments.app_dir)
    tls = tls_settings(arguments)
    asyncio.run(_Server(arguments, source, tls).run())
    return OK


class _Tokens:
    """The tokens that clients may have."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._tokens = self._read()

    def _read(self) -> list[bytes]:
        with self._path.open("rb") as file:
            content = file.read(_MAX_TOKEN_FILE + 1)
        if len(content) > _MAX_TOKEN_FILE:
            raise Failure(f"{self._path} is larger than a file of tokens should be (1 MiB)")
        lines = (line.strip() for line in content.splitlines())
        tokens = [line for line in lines if line and not line.startswith(b"#")]
        if not tokens:
            raise Failure(f"{self._path} holds no token: nobody could ever connect")
        return tokens

    def read_again(self) -> None:
        """Use what the file says now. Raises as the constructor; then the tokens before stay."""
        self._tokens = self._read()

    def allow(self, auth_block: bytes) -> bool:
        """Return whether this is one of them, in a time that does not say which, or how nearly."""
        return sum(hmac.compare_digest(auth_block, token) for token in self._tokens) > 0


class _Server:
    """One run of the command."""

    def __init__(self, arguments: argparse.Namespace, source: Source, tls: Mapping[str, Any]) -> None:
        self._arguments, self._source, self._tls = arguments, source, tls
        self._tokens = _Tokens(arguments.auth_token_file) if arguments.auth_token_file is not None else None
        self._threads = Threads(arguments.threads, "nnrp-handler")
        self._stop = asyncio.Event()
        self._answering = Answering(lambda: source.handler, arguments.in_flight, self._threads)

    async def run(self) -> None:
        """Serve until a signal comes."""
        arguments = self._arguments
        async with contextlib.AsyncExitStack() as stack:
            if arguments.batch is not None:
                self._answering.batcher = await stack.enter_async_context(self._batcher())
            listeners = await stack.enter_async_context(listen(arguments, self._tls))
            self._operations(stack, listeners)
            self._listen_to_signals(listeners)
            self._announce(listeners)
            if arguments.reload:
                watching = asyncio.create_task(self._watch())
                stack.callback(watching.cancel)
            await serve_sessions(
                *listeners.values(),
                handler=self._handle,
                profile=ServerProfile(
                    max_concurrent_frames=arguments.in_flight, max_body_bytes=arguments.max_body
                ),
                drain_timeout=arguments.drain,
                stop=self._stop,
                model_name=arguments.model_name,
                auth_validator=self._admit,
                handshake_timeout=arguments.handshake_timeout,
                enforce_credit=arguments.enforce_credit,
                expire_frames=True,
            )

    def _listen_to_signals(self, listeners: Mapping[str, ServerListener]) -> None:
        """Be ready for signals before anybody knows that there is a server to send them to."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError, AttributeError):  # Windows, which has no SIGHUP either
            loop.add_signal_handler(signal.SIGHUP, self._reread, listeners)
            for number in (signal.SIGTERM, signal.SIGINT):  # `serve_sessions` takes these two over
                loop.add_signal_handler(number, self._stop.set)

    def _operations(self, stack: contextlib.AsyncExitStack, listeners: Mapping[str, ServerListener]) -> None:
        """Serve metrics and health, and trace, if that is asked for."""
        arguments = self._arguments
        if arguments.otel is not None:
            from nnrp.cli._traces import Traces  # noqa: PLC0415  # optional

            traces = Traces(arguments.otel)
            stack.callback(traces.close)
            self._answering.span = traces.span
        named = {"metrics": arguments.metrics_port, "health": arguments.health_port}
        ports = {name: number for name, number in named.items() if number is not None}
        if ports:
            from nnrp.cli._ops import Health, Operations  # noqa: PLC0415  # not everybody needs HTTP

            health = Health(self._stop.is_set)
            stack.callback(Operations(arguments.http_host, ports, health, listeners).close)
            beating = asyncio.create_task(self._beat(health))
            stack.callback(beating.cancel)

    async def _beat(self, health: Health) -> None:
        while True:
            health.beat()
            await asyncio.sleep(health.interval)

    def _batcher(self) -> MicroBatcher[Any, Any]:
        source = self._source

        async def compute(frames: list[Any]) -> Any:
            handler = source.handler
            if is_async(handler):
                return await handler(frames)
            return await asyncio.wrap_future(self._threads.run(lambda: handler(frames)))

        delay = self._arguments.batch_delay / 1000
        return MicroBatcher(compute, max_size=self._arguments.batch, max_delay=delay)

    def _announce(self, listeners: Mapping[str, ServerListener]) -> None:
        scheme = "nnrps" if self._tls else "nnrp"
        host = f"[{self._arguments.host}]" if ":" in self._arguments.host else self._arguments.host
        for transport, listener in listeners.items():
            address = f"{scheme}://{host}:{listener.port}"
            _log.info(
                "%s serves %s over %s",
                address,
                self._source.target,
                transport,
                extra={**about(), "address": address, "transport": transport.lower()},
            )
            if self._tokens is None and not self._arguments.client_ca and not _is_loopback(listener):
                _log.warning(
                    "everybody who reaches %s is let in; --auth-token-file or --client-ca decides about it",
                    address,
                    extra=about(),
                )

    async def _admit(self, auth_block: bytes) -> bool | Busy:
        if self._tokens is not None and not self._tokens.allow(auth_block):
            return False
        full = self._answering.sessions >= self._arguments.max_sessions
        return Busy(_FULL_RETRY) if full else True

    async def _handle(self, session: ServerSession) -> None:
        if (
            self._answering.sessions >= self._arguments.max_sessions
        ):  # several were admitted at the same moment
            await session.drain(0, "the server is full")
        else:
            await self._answering.serve(session)

    def _reread(self, listeners: Mapping[str, ServerListener]) -> None:
        """Read certificate and tokens again."""
        try:
            if self._tls:
                for listener in listeners.values():
                    listener.reload_certificate()
            if self._tokens is not None:
                self._tokens.read_again()
        except (OSError, ValueError, Failure) as error:
            _log.error("what was in use stays in use: %s", error, extra=about())
        else:
            _log.info("certificate and tokens were read again", extra=about())

    async def _watch(self) -> None:
        """Read the handler again when a file of it has changed."""
        while True:
            await asyncio.sleep(_RELOAD_INTERVAL)
            changed = self._source.changed()
            if not changed:
                continue
            names = ", ".join(changed)
            try:
                self._source.reload()
            except Failure as failure:
                _log.error("%s changed, and the handler stays as it was: %s", names, failure, extra=about())
            else:
                _log.info("%s changed; the handler was read again", names, extra=about())


def _is_loopback(listener: ServerListener) -> bool:
    host: str = listener._native.address[0]
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback
