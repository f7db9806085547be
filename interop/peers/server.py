"""The server of every scenario: ``python -m interop.peers.server CERTIFICATES``."""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from nnrp.adapters import (
    create_quic_server_configuration,
    create_tcp_server_configuration,
    serve_quic,
    serve_tcp,
)
from nnrp.core import TransportId
from nnrp.server import ReceivedSubmit, ServerProfile, ServerSession, accept_server_session

from interop.model import (
    GOODBYE,
    Drop,
    Exchange,
    FromClient,
    FromServer,
    Scenario,
    Submit,
    Transport,
    differences,
    unresolved,
)
from interop.peers.convert import arguments, control_seen, extension_seen, submit_seen
from interop.peers.dialect import accept_arguments, send_drop, server_receives, server_sends
from interop.peers.runtime import STEP_TIMEOUT, Command, Findings, serve_commands
from interop.scenarios import SCENARIOS

HOST = "127.0.0.1"


class Session:
    """One accepted session working through the steps of its scenario."""

    def __init__(self, scenario: Scenario, session: ServerSession, findings: Findings) -> None:
        """Tie the session to its script and to the report."""
        self.scenario = scenario
        self.session = session
        self.findings = findings
        #: Frames that came before their turn.
        self.early: dict[tuple[int, int], ReceivedSubmit] = {}

    async def run(self, transport: Transport) -> None:
        """Check the hello, run the steps, end as the scenario says."""
        self._check_hello(transport)
        for step in self.scenario.steps:
            match step:
                case Exchange():
                    await self._exchange(step)
                case FromServer(control):
                    await self.findings.within(
                        f"sending {control.message}", server_sends(self.session, control)
                    )
                case FromClient(control, None):
                    packet = await self.findings.within(
                        control.message, server_receives(self.session, control)
                    )
                    self.findings.check(control.message, differences(control, control_seen(packet, control)))
                case FromClient():
                    pass  # the library answers by itself
        await self._end()

    def _check_hello(self, transport: Transport) -> None:
        hello, context, findings = self.scenario.hello, self.session.hello, self.findings
        seen = tuple(extension_seen(entry) for entry in context.control_extensions)
        expected = hello.wire_extensions(transport)
        findings.equal("hello extensions", expected, seen)
        findings.equal("hello auth block", hello.wire_auth_block(), bytes(context.auth_block))
        metadata = context.metadata
        offered = (
            metadata.requested_session_id,
            metadata.max_lane_count,
            metadata.max_cache_entries,
            metadata.max_cache_bytes,
        )
        cache = (hello.max_cache_entries, hello.max_cache_bytes) if hello.enable_cache else (0, 0)
        findings.equal("hello metadata", (hello.requested_session_id, hello.max_views, *cache), offered)
        findings.equal("session id assigned", True, self.session.session_id != 0)

    async def _exchange(self, step: Exchange) -> None:
        for submit in step.submits:
            received = await self._submit(submit)
            seen = submit_seen(received)
            wanted = submit if self.scenario.resolves_references else unresolved(submit)
            self.findings.check(f"submit of frame {seen.frame_id}", differences(wanted, seen))
            session_id = received.packet.header.session_id
            self.findings.equal("session id of the submit", self.session.session_id, session_id)
        refused = {submit.key for submit in step.refused}
        for result in step.results:
            if result.key in refused:
                continue
            sending = (
                send_drop(self.session, result)
                if isinstance(result, Drop)
                else self.session.send_result(**arguments(result))
            )
            await self.findings.within(f"sending a result of frame {result.frame_id}", sending)

    async def _submit(self, submit: Submit) -> ReceivedSubmit:
        """Receive one frame. On QUIC frames overtake each other, also those of the next step, on TCP none."""
        while submit.key not in self.early:
            what = f"frame {submit.frame_id} view {submit.view_id}"
            received = await self.findings.within(what, self.session.receive_submit(timeout=None))
            header = received.packet.header
            self.early[header.view_id, header.frame_id] = received
            if self.session.transport_id == TransportId.TCP:
                self.findings.equal("order of submits", submit.key, (header.view_id, header.frame_id))
        return self.early.pop(submit.key)

    async def _end(self) -> None:
        self.findings.equal("frames left over", [], list(self.early))
        if self.scenario.ending == "result":
            await self.findings.within("close", self.session.close())
            return
        if self.scenario.ending == "server":
            received = await self.findings.within(
                "the goodbye frame", self.session.receive_submit(timeout=None)
            )
            self.findings.equal("goodbye frame", GOODBYE.frame_id, received.packet.header.frame_id)
            await self.findings.within("close", self.session.close())
            return
        try:
            received = await self.findings.within(
                "the end of the session", self.session.receive_submit(timeout=None)
            )
        except RuntimeError as error:
            closed = type(error).__name__.endswith("ConnectionClosedError")
            self.findings.check("end of the session", [] if closed else [repr(error)])
        else:
            self.findings.check(
                "end of the session", [f"got frame {received.packet.header.frame_id} instead"]
            )
        await self.findings.within("close", self.session.close())


class ServerPeer:
    """Both listeners of one package."""

    def __init__(self, listeners: dict[Transport, Any]) -> None:
        """Serve on these listeners."""
        self.listeners = listeners

    async def run(self, command: Command, findings: Findings) -> None:
        """Accept and serve the sessions of one scenario."""
        scenario = SCENARIOS[command["scenario"]]
        transports: list[Transport] = ["quic", "tcp"] if scenario.hello.probe else [command["transport"]]
        async with asyncio.TaskGroup() as group:
            for _ in range(scenario.sessions):
                group.create_task(self._session(scenario, transports, findings))

    async def _session(self, scenario: Scenario, transports: list[Transport], findings: Findings) -> None:
        accepts = {
            asyncio.create_task(self._accept(scenario, transport)): transport for transport in transports
        }
        done, pending = await asyncio.wait(accepts, timeout=STEP_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        if not done:
            raise TimeoutError(f"nothing within {STEP_TIMEOUT:g} s: a session")
        accepted = done.pop()
        if scenario.ending == "refused":
            refused = isinstance(accepted.exception(), ValueError)
            findings.check("refusal", [] if refused else [f"accepted: {accepted.exception()!r}"])
            return
        await Session(scenario, accepted.result(), findings).run(accepts[accepted])

    async def _accept(self, scenario: Scenario, transport: Transport) -> ServerSession:
        settings = scenario.server
        profile = ServerProfile(
            max_concurrent_frames=settings.max_concurrent_frames,
            enable_cache=settings.enable_cache,
            max_sections=settings.max_sections,
            max_body_bytes=settings.max_body_bytes,
        )
        return await accept_server_session(
            self.listeners[transport],
            server_profile=profile,
            active_model_name=settings.model_name,
            session_id=settings.session_id,
            timeout=STEP_TIMEOUT,
            **accept_arguments(settings),
        )


def free_port(kind: socket.SocketKind) -> int:
    """A port nobody uses now. rc2's listener reports back the port it was given, so 0 is of no use."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


async def main(certificates: Path) -> None:
    """Listen on both transports and obey commands."""
    quic = create_quic_server_configuration(certificates / "server.pem", certificates / "server.key")
    async with AsyncExitStack() as stack:
        ports = {"quic": free_port(socket.SOCK_DGRAM), "tcp": free_port(socket.SOCK_STREAM)}
        listeners: dict[Transport, Any] = {
            "quic": await stack.enter_async_context(serve_quic(HOST, ports["quic"], configuration=quic)),
            "tcp": await stack.enter_async_context(
                serve_tcp(HOST, ports["tcp"], configuration=create_tcp_server_configuration())
            ),
        }
        await serve_commands(ServerPeer(listeners).run, {"ports": ports})


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
