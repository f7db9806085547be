"""Server and client processes, the cores they may use, and what the kernel says they used."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

PROC = Path("/proc")
#: A server that has not said where it listens by then will not.
START_SECONDS = 20.0
#: How long a client may take beyond warm-up and measuring: it connects, and drains what is in flight.
SPARE_SECONDS = 15.0
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
#: CPU time of others in one measurement, as a part of a core, from which on it is suspect.
SUSPECT = 0.10


class MeasurementError(Exception):
    """A process did not do its part; the text says which."""


def cpu_seconds(pid: int) -> float:
    """CPU time of all threads of a process, in seconds, from its scheduler's nanosecond counters."""
    total = 0
    for task in (PROC / str(pid) / "task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def busy_seconds() -> float:
    """CPU time that all processes of this machine have used since it started."""
    fields = [int(field) for field in (PROC / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    user, nice, system, _idle, _waiting, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND


def peak_memory(pid: int) -> int:
    """Largest resident memory of a process since :func:`forget_peak`, in bytes."""
    for line in (PROC / str(pid) / "status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise MeasurementError(f"process {pid} has no VmHWM")


def resident_memory(pid: int) -> int:
    """Resident memory of a process now, in bytes."""
    return int((PROC / str(pid) / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def forget_peak(pid: int) -> None:
    """Let :func:`peak_memory` start again from what is resident now."""
    (PROC / str(pid) / "clear_refs").write_text("5")


@contextlib.contextmanager
def precedence() -> Iterator[None]:
    """Let this terminal's session run before everything else on this machine; needs to be root.

    The scheduler groups processes by session, and niceness counts within a group only, so it is the group
    that gets the highest weight. Others get what is left.

    Raises:
        OSError: it is not allowed, or the kernel does not group.

    """
    group = PROC / "self" / "autogroup"
    before = group.read_text().rpartition("nice ")[2]
    group.write_text("-20")
    try:
        yield
    finally:
        group.write_text(before)


def pin(pid: int, cores: Iterable[int]) -> None:
    """Restrict every thread of a process to some cores; threads it starts later inherit that."""
    wanted = set(cores)
    for task in (PROC / str(pid) / "task").iterdir():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(task.name), wanted)


class Program:
    """A process that prints lines of JSON and ends when its standard input does."""

    def __init__(
        self, command: list[str], environment: dict[str, str], log: Path, cores: set[int] | None = None
    ) -> None:
        self.command = command
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **environment},
                preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None,  # noqa: PLW1509  # one thread
            )
        self._log = log
        assert self._process.stdout is not None  # noqa: S101  # for the type checker: a pipe was asked for
        self._pipe = self._process.stdout.fileno()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._pipe, selectors.EVENT_READ)
        self._pending = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def line(self, deadline: float) -> dict[str, Any]:
        """Return the next line it prints, waiting until ``deadline`` on the monotonic clock."""
        while b"\n" not in self._pending:
            if not self._selector.select(max(deadline - time.monotonic(), 0.0)):
                raise MeasurementError(f"{self._name()} is stuck: nothing was heard of it in time")
            chunk = os.read(self._pipe, 65536)
            if not chunk:
                raise MeasurementError(f"{self._name()} ended early; see {self._log}")
            self._pending += chunk
        line, self._pending = self._pending.split(b"\n", 1)
        return dict(json.loads(line))

    def ask(self, deadline: float) -> dict[str, Any]:
        """Send it an empty line, and return the next one it prints."""
        assert self._process.stdin is not None  # noqa: S101  # for the type checker: a pipe was asked for
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()
        return self.line(deadline)

    def _name(self) -> str:
        return " ".join(Path(part).name if "/" in part else part for part in self.command[:6])

    def stop(self) -> None:
        """End it, by force if it does not want to."""
        self._selector.close()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        try:
            self._process.wait(2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@dataclass(frozen=True)
class Sample:
    """What one client measured against one server in one round."""

    frames: int
    seconds: float
    p50_us: float
    p99_us: float
    max_us: float
    #: CPU seconds while measuring.
    server_cpu: float
    client_cpu: float
    #: CPU seconds that neither of the two used, of a kernel that counts in hundredths.
    foreign_cpu: float
    #: Largest resident memory of the server, in bytes.
    server_peak: int

    @property
    def rate(self) -> float:
        """Frames per second."""
        return self.frames / self.seconds

    @property
    def disturbance(self) -> float:
        """What others used meanwhile, as a part of a core; on a virtual machine what its host took, too."""
        return self.foreign_cpu / self.seconds


def calmest(measure_once: Callable[[], Sample], again: int) -> Sample:
    """Measure until nobody disturbs it, at most ``again`` times more; the least disturbed counts.

    What is chosen by is what others did, never what was measured. The first has to get through; where another
    one does not, what there is counts.
    """
    found = measure_once()
    for _ in range(again):
        if found.disturbance <= SUSPECT:
            break
        try:
            found = min(found, measure_once(), key=lambda sample: sample.disturbance)
        except MeasurementError:
            break
    return found


def measure(server: Program, client: Program, seconds: float) -> Sample:
    """Follow a client that was just started until it has said what it measured."""
    deadline = time.monotonic() + seconds + SPARE_SECONDS
    expect(client, "begin", deadline)
    before = (cpu_seconds(server.pid), cpu_seconds(client.pid), busy_seconds())
    expect(client, "end", deadline)
    after = (cpu_seconds(server.pid), cpu_seconds(client.pid), busy_seconds())
    peak = peak_memory(server.pid)
    said = client.line(deadline)
    server_cpu, client_cpu, busy = (later - earlier for later, earlier in zip(after, before, strict=True))
    return Sample(
        **said,
        server_cpu=server_cpu,
        client_cpu=client_cpu,
        foreign_cpu=max(busy - server_cpu - client_cpu, 0.0),
        server_peak=peak,
    )


def expect(client: Program, mark: str, deadline: float) -> None:
    """Wait for a mark."""
    said = client.line(deadline)
    if said != {"mark": mark}:
        raise MeasurementError(f"expected the mark {mark!r}, got {said}")
