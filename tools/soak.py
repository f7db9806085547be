"""Keep sessions of every kind going, and assert that nothing grows and every frame is answered once.

A server process and a client process, over QUIC and TCP: tensors of all sizes, token streams, drops, cancels,
timeouts, sessions that end in order, that the server ends, that are abandoned with frames in flight, and new
ones in their place, all the time. Linux only (``/proc``)::

    python tools/soak.py --seconds 1800

Fails (exit code 1) when

- a frame was answered twice, not at all, or with other bytes than it has to be;
- resident memory, descriptors, threads or asyncio tasks of either process grow after the warm-up
  (``soaklib/flat.py`` says what that means, ``--help`` how much is too much);
- descriptors or tasks are left over when all sessions are gone, or objects of the library are;
- a process dies.

In less than a minute memory does not come to rest: it is shown then and not judged.
``docs/operations.md`` shows a run of 30 minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from nnrp.adapters import create_development_certificate
from soaklib.chart import Line, draw
from soaklib.flat import Verdict, judge

HERE = Path(__file__).resolve().parent
MIB = 1 << 20
MEMORY = {"resident_bytes", "allocated_bytes", "python_blocks"}
COLOURS = {"server": (200, 60, 40), "client": (40, 90, 190)}
#: In less time neither the allocator nor the interpreter has found its size: what memory does is shown then,
#: and not judged. Everything else is.
JUDGED_FROM = 60.0
#: Beyond the time they were given, the processes have this long to finish what they are at.
GRACE = 120.0


class Process:
    """The server or the client, and what it has said."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.samples: list[dict[str, Any]] = []
        self.news: dict[str, Any] = {}
        self._heard = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self._listening: asyncio.Task[None] | None = None

    async def start(self, order: dict[str, Any]) -> None:
        """Start it with its order."""
        script = HERE / "soaklib" / f"{self.name}.py"
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, str(script), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdin is not None  # noqa: S101  # for the type checker: a pipe was asked for
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._listening = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        assert self._process is not None and self._process.stdout is not None  # noqa: S101, PT018  # likewise
        while line := await self._process.stdout.readline():
            said = json.loads(line)
            if "sample" in said:
                self.samples.append(said.pop("sample"))
            self.news.update(said)
            self._heard.set()

    async def hear(self, what: str, timeout: float = GRACE) -> Any:
        """Wait until it has said something about ``what``."""
        async with asyncio.timeout(timeout):
            while what not in self.news:
                assert self._listening is not None  # noqa: S101  # started
                if self._listening.done():
                    raise RuntimeError(f"the {self.name} ended without a word about {what!r}")
                self._heard.clear()
                await asyncio.wait(
                    [self._listening, hearing := asyncio.ensure_future(self._heard.wait())],
                    return_when=asyncio.FIRST_COMPLETED,
                )
                hearing.cancel()
        return self.news[what]

    def finish(self) -> None:
        """Tell it that nothing more comes."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    async def end(self) -> int:
        """Its exit code; it is killed if it does not end by itself."""
        if self._process is None:
            return 1
        try:
            return await asyncio.wait_for(self._process.wait(), GRACE)
        except TimeoutError:
            self._process.kill()
            return await self._process.wait()

    def counters(self) -> dict[str, int]:
        """What it has counted so far."""
        latest = self.news.get("after") or (self.samples[-1] if self.samples else {})
        return latest.get("counters", {})


def progress(arguments: argparse.Namespace, server: Process, client: Process, started: float) -> str:
    """One line about how it goes."""
    elapsed = min(time.monotonic() - started, arguments.seconds)
    done = int(24 * elapsed / arguments.seconds)
    counted = client.counters()
    memory = "  ".join(
        f"{process.name} {process.samples[-1]['resident_bytes'] / MIB:.1f} MiB"
        f" {process.samples[-1]['descriptors']} fd {process.samples[-1]['tasks']} tasks"
        for process in (server, client)
        if process.samples
    )
    return (
        f"[{'#' * done}{'.' * (24 - done)}] {elapsed:5.0f} s  {counted.get('submitted', 0)} frames "
        f"in {counted.get('sessions', 0)} sessions, {counted.get('faults', 0)} faults  {memory}"
    )


async def show(arguments: argparse.Namespace, server: Process, client: Process) -> None:
    """Say how it goes: on a terminal in one line that changes, elsewhere now and then."""
    started = time.monotonic()
    terminal = sys.stderr.isatty()
    while True:
        await asyncio.sleep(1.0 if terminal else arguments.report)
        line = progress(arguments, server, client, started)
        sys.stderr.write(f"\r{line}\x1b[K" if terminal else f"{line}\n")
        sys.stderr.flush()


async def run(arguments: argparse.Namespace) -> tuple[Process, Process, list[str]]:
    """Run both processes; what they said, and what went wrong with them."""
    made = create_development_certificate()
    order = {
        "certificate": made.certificate.decode(),
        "private_key": made.private_key.decode(),
        "interval": max(arguments.seconds / 1800, 0.25),
    }
    server, client = Process("server"), Process("client")
    wrong = []
    showing = asyncio.create_task(show(arguments, server, client))
    try:
        await server.start(order)
        ports = await server.hear("ports")
        await client.start(
            {
                **order,
                "ports": ports,
                "seconds": arguments.seconds,
                "sessions": arguments.sessions,
                "pace": arguments.pace,
                "seed": arguments.seed,
            }
        )
        await client.hear("after", arguments.seconds + GRACE)
        server.finish()
        await server.hear("after")
    except (TimeoutError, RuntimeError) as error:
        wrong.append(str(error) or "a process did not finish in time")
    finally:
        showing.cancel()
        for process in (client, server):
            process.finish()
            if code := await process.end():
                wrong.append(f"the {process.name} ended with code {code}")
    return server, client, wrong


def quantities(arguments: argparse.Namespace, process: Process) -> list[Verdict]:
    """Whether each of a process' quantities is flat."""
    warm_up = arguments.warm_up * arguments.seconds
    # The server goes on for a while when the client is done.
    points = [
        (sample["seconds"], sample) for sample in process.samples if sample["seconds"] <= arguments.seconds
    ]
    resident = [sample["resident_bytes"] / MIB for _, sample in points] or [0.0]
    memory = max(arguments.megabytes, max(resident) * arguments.share)
    verdicts = []
    for what, name, scale, allowed in (
        ("resident_bytes", "MiB resident", MIB, memory),
        ("allocated_bytes", "MiB allocated", MIB, arguments.megabytes),
        ("python_blocks", "Python objects", 1000, arguments.objects),
        ("descriptors", "descriptors", 1, arguments.things),
        ("threads", "threads", 1, 1.0),
        ("tasks", "tasks", 1, arguments.things),
    ):
        values = [(seconds, sample[what] / scale) for seconds, sample in points]
        verdict = judge(f"{process.name}: {name}", values, warm_up=warm_up, allowed=allowed)
        if arguments.seconds < JUDGED_FROM and what in MEMORY:
            verdict = replace(verdict, what=f"({verdict.what})", flat=True)
        verdicts.append(verdict)
    return verdicts


def leftovers(process: Process) -> list[str]:
    """What is still there when everything is over."""
    before, after = process.news["before"], process.news["after"]
    left = [
        f"{process.name}: {after[what]} {what} are left, {before[what]} were there before"
        for what in ("descriptors", "tasks")
        if after[what] > before[what]
    ]
    if after["objects"]:
        left.append(f"{process.name}: objects of the library are left: {after['objects']}")
    return left


def books(server: Process, client: Process) -> list[str]:
    """Whether what the client counted is what the server counted."""
    ours, theirs = client.counters(), server.counters()
    wrong = list(client.news.get("faults", []))
    ended = sum(ours.get(name, 0) for name in ("answered", "cancelled", "abandoned"))
    if ours.get("submitted", 0) != ended:
        wrong.append(f"{ours.get('submitted', 0)} frames were submitted and {ended} ended")
    never_read = ours.get("submitted", 0) - theirs.get("received", 0)
    if not 0 <= never_read <= ours.get("abandoned", 0) + ours.get("timeouts", 0):
        wrong.append(
            f"the server received {theirs.get('received', 0)} of {ours.get('submitted', 0)} frames, "
            f"of which only {ours.get('abandoned', 0)} were abandoned"
        )
    if not ours.get("answered", 0):
        wrong.append("no frame was answered at all")
    return wrong


def report(arguments: argparse.Namespace, server: Process, client: Process, wrong: list[str]) -> int:
    """Judge, write the files, and say it; the exit code."""
    verdicts: list[Verdict] = []
    for process in (server, client):
        try:
            verdicts += quantities(arguments, process)
            wrong += leftovers(process)
        except (ValueError, KeyError) as error:
            wrong.append(f"the {process.name} did not say enough: {error}")
    wrong += books(server, client)
    wrong += [f"{verdict.what} grew by {verdict.growth:g}" for verdict in verdicts if not verdict.flat]
    counted = client.counters()
    for name in sorted(counted):
        print(f"  {counted[name]:>10,} {name}")  # noqa: T201  # the report
    for verdict in verdicts:
        state = "shown" if verdict.what.startswith("(") else "flat " if verdict.flat else "GROWS"
        print(  # noqa: T201
            f"  {state} {verdict.what:<22} median {verdict.median:8.1f}  grew {verdict.growth:+7.2f} in "
            f"{verdict.seconds:.0f} s (allowed {verdict.allowed:.2f})"
        )
    for fault in wrong:
        print(f"  WRONG {fault}")  # noqa: T201
    arguments.output.mkdir(parents=True, exist_ok=True)
    processes = (server, client)
    said = {
        "arguments": {name: value for name, value in vars(arguments).items() if name != "output"},
        "verdicts": [verdict.as_dict() for verdict in verdicts],
        "wrong": wrong,
        **{p.name: {**p.news, "samples": p.samples, "faults": None} for p in processes},
    }
    (arguments.output / "soak.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    lines = [
        Line(
            f"{process.name} MiB",
            COLOURS[process.name],
            [(sample["seconds"], sample["resident_bytes"] / MIB) for sample in process.samples],
        )
        for process in processes
    ]
    title = f"resident memory: {counted.get('submitted', 0)} frames in {counted.get('sessions', 0)} sessions"
    draw(arguments.output / "soak.png", title, lines, warm_up=arguments.warm_up * arguments.seconds)
    print(f"{'FAILED' if wrong else 'passed'}; see {arguments.output}/soak.json and soak.png")  # noqa: T201
    return 1 if wrong else 0


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--seconds", type=float, default=60.0, help="how long (default 60)")
    add("--sessions", type=int, default=16, help="sessions at any time (default 16)")
    add("--pace", type=float, default=0.1, help="seconds a session rests between rounds, on average (0.1)")
    add("--seed", type=int, default=1, help="what the sessions do (default 1)")
    add("--warm-up", type=float, default=1 / 3, help="share of the time that is not judged (default 1/3)")
    add("--megabytes", type=float, default=4.0, help="memory that may be gained in the rest, MiB (default 4)")
    add(
        "--share",
        type=float,
        default=0.05,
        help="the same as a share of the highest; the larger counts (0.05)",
    )
    add("--objects", type=float, default=5.0, help="Python's memory blocks that may be gained, thousands (5)")
    add("--things", type=float, default=8.0, help="descriptors or tasks that may be gained (default 8)")
    add("--report", type=float, default=30.0, help="seconds between reports without a terminal (default 30)")
    add("--output", type=Path, default=Path("build/soak"), help="folder for JSON and chart (build/soak)")
    return parser.parse_args(argv)


def main() -> int:
    """Run, then judge."""
    arguments = parse()
    server, client, wrong = asyncio.run(run(arguments))
    return report(arguments, server, client, wrong)


if __name__ == "__main__":
    sys.exit(main())
