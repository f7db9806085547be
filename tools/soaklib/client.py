"""The soak's client: a process that keeps sessions of every kind going, and checks every answer.

Reads one JSON object from standard input (see ``tools/soak.py``), and ends when its time is over.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
import warnings
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from nnrp import NnrpConnectionClosedError, NnrpTransportError
from nnrp.adapters import create_quic_client_configuration, create_tcp_client_configuration
from nnrp.client import ClientSession, dial_client

from soaklib.asking import Ask, request
from soaklib.ledger import Ledger
from soaklib.sampling import Sampler, baseline, say, settle

_ASKED = [Ask.ECHO] * 6 + [Ask.TOKENS] * 3 + [Ask.DROP, Ask.WAIT]
#: Rounds of a session before it ends, and frames at once in each.
_ROUNDS = (5, 60)
_AT_ONCE = (1, 6)
#: How sessions end: three in order, three not.
_ENDINGS = ("close", "close", "server", "abandon", "forget", "impatient")
_PATIENCE = 30.0
#: Faults that are told in full; the rest is only counted.
_FAULTS_TOLD = 20


class Worker:
    """One of the sessions, and those that follow it."""

    def __init__(self, client: Client, number: int) -> None:
        self._client = client
        self._number = number
        self._random = Random(f"{client.seed}:{number}")
        self._reconnects = 0

    async def run(self, until: float) -> None:
        """Open sessions, one after the other, until it is time."""
        while time.monotonic() < until:
            transport = self._client.transports[
                (self._number + self._reconnects) % len(self._client.transports)
            ]
            self._reconnects += 1
            name = f"worker {self._number}, session {self._reconnects} over {transport}"
            ledger = Ledger(name, self._client.counters, self._client.faults)
            try:
                async with asyncio.timeout(_PATIENCE):
                    session = await self._client.dial(transport)
                self._client.counters["sessions"] += 1
                self._client.counters[f"sessions over {transport}"] += 1
                await self._converse(session, ledger, until)
            except (NnrpTransportError, TimeoutError, ValueError) as error:
                ledger.fault(f"{type(error).__name__}: {error}")
                await asyncio.sleep(1.0)

    async def _converse(self, session: ClientSession, ledger: Ledger, until: float) -> None:
        # Half of the sessions have one task that takes whatever comes; the others wait for each frame.
        taking = None
        if self._random.random() < 0.5:
            taking = asyncio.create_task(_take(session, ledger))
        try:
            for _ in range(self._random.randint(*_ROUNDS)):
                if time.monotonic() > until:
                    break
                asked = self._random.choices(_ASKED, k=self._random.randint(*_AT_ONCE))
                await self._round(session, ledger, asked, alone=taking is None)
                await asyncio.sleep(self._client.pace * self._random.random() * 2)
            await self._end(session, ledger, taking)
        finally:
            if taking is not None:
                taking.cancel()
                await asyncio.gather(taking, return_exceptions=True)

    async def _round(self, session: ClientSession, ledger: Ledger, asked: list[Ask], *, alone: bool) -> None:
        frame_ids = [ledger.open(ask) for ask in asked]
        await asyncio.gather(
            *(
                self._frame(session, ledger, frame_id, ask, alone=alone)
                for frame_id, ask in zip(frame_ids, asked, strict=True)
            )
        )
        await ledger.settled(frame_ids)

    async def _frame(
        self, session: ClientSession, ledger: Ledger, frame_id: int, ask: Ask, *, alone: bool
    ) -> None:
        await session.submit_frame(request(frame_id, ask))
        if ask is Ask.WAIT:
            await asyncio.sleep(self._client.pace * self._random.random())
            ledger.withdraw(frame_id)
            await session.cancel_frame(frame_id)
        elif alone:
            while not ledger.is_done(frame_id):
                ledger.deliver(await session.receive_result(_PATIENCE, frame_id=frame_id))

    async def _end(self, session: ClientSession, ledger: Ledger, taking: asyncio.Task[None] | None) -> None:
        ending = self._random.choice(_ENDINGS)
        self._client.counters[f"ended by {ending}"] += 1
        if ending == "server":
            await self._let_the_server_leave(session, ledger, taking)
            return
        if ending == "impatient":
            await self._lose_patience(session, ledger, taking)
        elif ending in ("abandon", "forget"):
            for ask in self._random.choices([Ask.ECHO, Ask.TOKENS, Ask.WAIT], k=4):
                await session.submit_frame(request(ledger.open(ask), ask))
            if ending == "forget":
                # Nobody closes it; the last reference goes with this frame, and the library says so.
                ledger.close(abandoned=True)
                return
            await session.close()
            ledger.close(abandoned=True)
            return
        await self._nothing_left(session, ledger, taking)
        await session.close()
        ledger.close(abandoned=False)

    async def _let_the_server_leave(
        self, session: ClientSession, ledger: Ledger, taking: asyncio.Task[None] | None
    ) -> None:
        frame_ids = []
        for ask in (Ask.WAIT, Ask.WAIT, Ask.LEAVE):
            frame_ids.append(ledger.open(ask))
            await session.submit_frame(request(frame_ids[-1], ask))
        ledger.server_leaves()
        taking = taking or asyncio.create_task(_take(session, ledger))
        await ledger.settled(frame_ids)
        await asyncio.wait_for(taking, _PATIENCE)
        await session.close()
        ledger.close(abandoned=False)

    async def _lose_patience(
        self, session: ClientSession, ledger: Ledger, taking: asyncio.Task[None] | None
    ) -> None:
        """A submit that is given up before its result is there: the result is still to be had."""
        frame_id = ledger.open(Ask.ECHO)
        if taking is None:
            try:
                ledger.deliver(await session.submit(request(frame_id, Ask.ECHO), timeout=0.0))
            except TimeoutError:
                self._client.counters["timeouts"] += 1
                # Whether the frame left before the time was over is unspecified.
                with contextlib.suppress(TimeoutError):
                    ledger.deliver(await session.receive_result(1.0, frame_id=frame_id))
            if not ledger.is_done(frame_id):
                ledger.withdraw(frame_id)
                session.discard_frame(frame_id)
        else:
            await session.submit_frame(request(frame_id, Ask.ECHO))
            await ledger.settled([frame_id])

    async def _nothing_left(
        self, session: ClientSession, ledger: Ledger, taking: asyncio.Task[None] | None
    ) -> None:
        """A session with all its answers has nothing more to give."""
        await session.ping(_PATIENCE)
        if taking is None:
            with contextlib.suppress(TimeoutError):
                extra = await session.receive_result(0)
                ledger.fault(f"a result of frame {extra.frame_id} beyond its answer")


async def _take(session: ClientSession, ledger: Ledger) -> None:
    with contextlib.suppress(NnrpConnectionClosedError):
        while True:
            ledger.deliver(await session.receive_result())


class Client:
    """What all workers share."""

    def __init__(self, order: dict[str, Any]) -> None:
        self.counters: Counter[str] = Counter()
        self.faults: list[str] = []
        self.pace: float = order["pace"]
        self.seed: int = order["seed"]
        self._ports: dict[str, int] = order["ports"]
        self.transports = tuple(self._ports)
        authority = {"cadata": order["certificate"].encode()}
        self._configurations = {
            "quic": create_quic_client_configuration(**authority),
            "tcp": create_tcp_client_configuration(),
            "tls": create_tcp_client_configuration(**authority),
        }

    async def dial(self, transport: str) -> ClientSession:
        """A new session."""
        return await dial_client(
            "127.0.0.1",
            self._ports[transport],
            config=self._configurations[transport],
            requested_session_id=0,
        )


async def main() -> None:
    """Keep the sessions going, sample, and say what is left in the end."""
    # Forgetting sessions is part of the plan.
    warnings.simplefilter("ignore", ResourceWarning)
    order = json.loads(sys.stdin.readline())
    client = Client(order)
    sampler = Sampler(client.counters)
    before = await baseline(sampler)
    say(before=before)
    until = time.monotonic() + order["seconds"]
    sampling = asyncio.create_task(sampler.run(order["interval"]))
    workers = [Worker(client, number) for number in range(order["sessions"])]
    await asyncio.gather(*(worker.run(until) for worker in workers))
    sampling.cancel()
    await asyncio.gather(sampling, return_exceptions=True)
    del workers, sampling
    after = await settle(sampler, before)
    say(after=after, faults=client.faults[:_FAULTS_TOLD])


asyncio.run(main())
