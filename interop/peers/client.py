"""The client of every scenario: ``python -m interop.peers.client CERTIFICATES``."""

from __future__ import annotations

import asyncio
import ssl
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from nnrp.adapters import create_quic_client_configuration, create_tcp_client_configuration
from nnrp.client import ClientProfile, connect_client_session, connect_client_session_with_probe
from nnrp.core import ServerHelloAckMetadata, TransportId, unpack_control_extension_block

from interop.model import (
    GOODBYE,
    TRANSPORT_IDS,
    Drop,
    Exchange,
    FromClient,
    FromServer,
    Push,
    Scenario,
    Transport,
    differences,
)
from interop.peers.convert import control_seen, extension_block, extension_seen, result_seen, submit_request
from interop.peers.dialect import PACKAGE, client_receives, client_sends
from interop.peers.runtime import STEP_TIMEOUT, Command, Findings, serve_commands
from interop.scenarios import SCENARIOS

HOST = "127.0.0.1"
LATE_READER = 0.5
"""Seconds the client looks away in scenarios where the server closes behind its result."""


class Session:
    """One client session working through the steps of its scenario."""

    def __init__(self, scenario: Scenario, session: Any, findings: Findings, command: Command) -> None:
        """Tie the session to its script and to the report."""
        self.scenario = scenario
        self.session = session
        self.findings = findings
        self.peer = command["peer"]
        #: Frames whose drop may come or not: the server's application will not answer them.
        self.abandoned = {GOODBYE.frame_id}

    async def run(self) -> None:
        """Check the acknowledgement, run the steps, end as the scenario says."""
        transport: Transport = "quic" if self.session.control.transport_id == TransportId.QUIC else "tcp"
        self._check_ack(transport)
        if self.scenario.router:
            async with self.session.manage_results() as router:
                await self._steps(transport, router)
        else:
            await self._steps(transport, None)
        if self.scenario.ending == "server":
            await self.session.send_submit(submit_request(GOODBYE))
            await self._expect_closed()

    async def _steps(self, transport: Transport, router: Any) -> None:
        for step in self.scenario.steps:
            match step:
                case Exchange():
                    await self._exchange(step, transport, router)
                case FromServer(control):
                    packet = await self.findings.within(
                        control.message, client_receives(self.session, control)
                    )
                    self.findings.check(control.message, differences(control, control_seen(packet, control)))
                    scope = 0 if control.connection_scope else self.session.session_id
                    self.findings.equal(f"session id of {control.message}", scope, packet.header.session_id)
                case FromClient(control, answer):
                    await self.findings.within(
                        f"sending {control.message}", client_sends(self.session, control)
                    )
                    if control.message == "FRAME_CANCEL":
                        self.abandoned.add(control.frame_id)
                    if answer is not None:
                        packet = await self.findings.within(
                            answer.message, client_receives(self.session, answer)
                        )
                        self.findings.check(answer.message, differences(answer, control_seen(packet, answer)))

    def _check_ack(self, transport: Transport) -> None:
        hello, server, findings = self.scenario.hello, self.scenario.server, self.findings
        packet = self.session.control.ack_packet
        ack: ServerHelloAckMetadata = self.session.control.ack_metadata
        requested = hello.requested_session_id if server.session_id is None else server.session_id
        if requested:
            findings.equal("session id of the ack", requested, ack.session_id)
        findings.equal(
            "session id of the session",
            (ack.session_id, True),
            (self.session.session_id, ack.session_id != 0),
        )
        findings.equal(
            "selected version",
            (1, 0, 0),
            (ack.selected_version_major, ack.selected_wire_format, ack.auth_status),
        )
        limits = (ack.max_concurrent_frames, ack.max_body_bytes)
        findings.equal("announced limits", (server.max_concurrent_frames, server.max_body_bytes), limits)
        body = bytes(packet.body)
        tail = body[ack.control_extension_bytes :]
        findings.equal("model name", server.model_name, tail.decode())
        if self.peer == "ours":
            answers = map(extension_seen, unpack_control_extension_block(body[: ack.control_extension_bytes]))
            seen = tuple(sorted(answers, key=lambda entry: entry.ext_type))
            findings.equal("extensions of the ack", hello.answers(transport), seen)

    async def _exchange(self, step: Exchange, transport: Transport, router: Any) -> None:
        sender = self.session if router is None else router
        for submit in (*step.refused, *step.submits):
            sending = sender.send_submit(submit_request(submit))
            await self.findings.within(f"sending frame {submit.frame_id}", sending)
        if self.scenario.ending == "result":
            await asyncio.sleep(LATE_READER)
        # Through a router the client chooses the order, so it takes the opposite of the sender's.
        expected = step.results if router is None else step.results[::-1]
        seen: list[Push | Drop] = []
        for wanted in expected:
            what = f"result {len(seen) + 1} of {len(expected)}"
            if router is None:
                seen.append(await self._next_result(what))
            else:
                receiving = router.receive(wanted.frame_id, view_id=wanted.view_id)
                seen.append(result_seen(await self.findings.within(what, receiving)))
        wire = [wanted.received() if isinstance(wanted, Push) else wanted for wanted in expected]
        for wanted, got in self._pair(wire, seen, transport):
            self.findings.check(f"result of frame {wanted.frame_id}", differences(wanted, got))

    async def _next_result(self, what: str) -> Push | Drop:
        while True:
            result = result_seen(await self.findings.within(what, self.session.receive_result(timeout=None)))
            if not (isinstance(result, Drop) and result.frame_id in self.abandoned):
                return result

    def _pair(
        self, expected: list[Push | Drop], seen: list[Push | Drop], transport: Transport
    ) -> list[tuple[Push | Drop, Push | Drop | None]]:
        """Match what came with what was sent.

        TCP keeps the order of all results. On QUIC every result has its own stream: ours restores the order
        within a frame, rc2 hands them out as the streams end, so its results are told apart by trace id.
        """
        if transport == "tcp" or self.scenario.router:
            return list(zip(expected, seen, strict=True))
        queues: dict[tuple[int, ...], list[Push | Drop]] = defaultdict(list)
        for result in seen:
            queues[self._identity(result)].append(result)
        return [
            (wanted, queues[identity].pop(0) if queues[identity] else None)
            for wanted in expected
            for identity in [self._identity(wanted)]
        ]

    @staticmethod
    def _identity(result: Push | Drop) -> tuple[int, ...]:
        return result.key if PACKAGE == "ours" else (*result.key, result.trace_id)

    async def _expect_closed(self) -> None:
        try:
            result = await self._next_result("the end of the session")
        except RuntimeError as error:
            closed = type(error).__name__.endswith("ConnectionClosedError")
            self.findings.check("end of the session", [] if closed else [repr(error)])
        else:
            self.findings.check("end of the session", [f"got a result of frame {result.frame_id} instead"])


class ClientPeer:
    """Connects once per scenario and session."""

    def __init__(self, certificates: Path) -> None:
        """Trust the certificate authority of this run."""
        self.authority = certificates / "ca.pem"

    async def run(self, command: Command, findings: Findings) -> None:
        """Run the client side of one scenario."""
        scenario = SCENARIOS[command["scenario"]]
        async with asyncio.TaskGroup() as group:
            for _ in range(scenario.sessions):
                group.create_task(self._session(scenario, command, findings))

    async def _session(self, scenario: Scenario, command: Command, findings: Findings) -> None:
        if scenario.ending == "refused":
            await self._expect_refusal(scenario, command, findings)
            return
        async with self._connect(scenario, command) as session:
            await Session(scenario, session, findings, command).run()

    async def _expect_refusal(self, scenario: Scenario, command: Command, findings: Findings) -> None:
        try:
            async with self._connect(scenario, command) as session:
                findings.check("refusal", [f"got session {session.session_id}"])
        except (ValueError, RuntimeError) as error:
            findings.check("refusal", [])
            findings.equal("not a timeout", False, isinstance(error, TimeoutError))

    def _connect(self, scenario: Scenario, command: Command) -> Any:
        hello = scenario.hello
        transport: Transport = command["transport"]
        ports: dict[Transport, int] = command["ports"]
        profile = ClientProfile(
            max_views=hello.max_views,
            enable_cache=hello.enable_cache,
            max_cache_entries=hello.max_cache_entries,
            max_cache_bytes=hello.max_cache_bytes,
        )
        common: dict[str, Any] = {
            "quic_configuration": create_quic_client_configuration(
                cafile=self.authority, verify_mode=ssl.CERT_REQUIRED
            ),
            "tcp_configuration": create_tcp_client_configuration(),
            "requested_session_id": hello.requested_session_id,
            "auth_block": hello.auth_block,
            "requested_model": hello.requested_model,
            "control_extensions": extension_block(hello.extensions),
            "client_profile": profile,
            "timeout": STEP_TIMEOUT,
        }
        if hello.probe:
            return connect_client_session_with_probe(
                HOST, quic_port=ports["quic"], tcp_port=ports["tcp"], **common
            )
        if hello.choice != "none":
            common[f"{hello.choice}_transport_id"] = TransportId(TRANSPORT_IDS[transport])
        common[f"{transport}_port"] = ports[transport]
        return connect_client_session(HOST, **common)


async def main(certificates: Path) -> None:
    """Obey commands."""
    await serve_commands(ClientPeer(certificates).run, {})


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
