"""Compare our servers and clients with floors and peers, in turns, on this machine.

``make bench`` and ``make bench-quick`` run this with everything it needs; ``docs/benchmarks.md`` says what is
measured and how to read it. To see what a change does::

    P=build/bench/venv/bin/python
    $P bench/run.py --keep before    # copies the build there is
    ...                              # change, make bench-quick, which builds
    $P bench/run.py --build before=kept --build after=. --only tcp --sizes 64,65536 --modes ping1,64
"""

from __future__ import annotations

import argparse
import datetime as dt
import itertools
import os
import platform
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from pathlib import Path

from suite.cells import size_text
from suite.charts import charts
from suite.contenders import BUILD, CERTIFICATES, ROOT, Build, Contender, all_contenders, keep, kept
from suite.plan import Cell, Plan, chosen_modes, comparisons
from suite.process import (
    START_SECONDS,
    MeasurementError,
    Program,
    Sample,
    calmest,
    forget_peak,
    measure,
    pin,
    precedence,
)
from suite.quiet import disturbances
from suite.results import Results
from suite.scenarios import SCENARIOS, Answer
from suite.table import markdown
from suite.targets import FAMILIES, KIB, MIB, MODES, SIZES

QUICK = {
    "scenarios": [],
    "only": ["tcp", "quic", "python", "python-quic"],
    "sizes": [64, 64 * KIB, MIB],
    "modes": ["ping1", "64"],
    "rounds": 3,
    "seconds": 0.3,
    "again": 0,
}


class Servers:
    """The servers of a run. Each lives for all of it, since they are measured again and again in turns."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self._running: dict[str, tuple[Program, int]] = {}

    def of(self, contender: Contender, options: dict[str, int]) -> tuple[Program, int]:
        """Return a contender's server and its port; it is started when it is not there."""
        if contender.name not in self._running:
            log = BUILD / "logs" / f"{contender.name}.server"
            command = [*contender.server, *worded(options)]
            server = self._stack.enter_context(Program(command, contender.environment, log))
            port = server.line(time.monotonic() + START_SECONDS)["port"]
            self._running[contender.name] = server, int(port)
        return self._running[contender.name]

    def give_up(self, contender: Contender) -> None:
        """Stop a server that went wrong; the next measurement gets a new one."""
        if running := self._running.pop(contender.name, None):
            running[0].stop()


def worded(options: Mapping[str, float]) -> list[str]:
    """Write options as programs take them."""
    return [f"--{name}={value}" for name, value in options.items()]


def one(
    contender: Contender,
    servers: Servers,
    cell: Cell,
    plan: Plan,
    client_options: dict[str, int] | None = None,
    server_options: dict[str, int] | None = None,
) -> Sample:
    """Measure a contender, again where others disturbed it."""
    server, port = servers.of(contender, server_options or {})
    every = os.sched_getaffinity(0)
    server_cores, client_cores = [{core} for core in cell.mode.cores] if cell.mode.cores else (every, every)
    pin(server.pid, server_cores)
    options = {
        "port": port,
        "size": cell.size,
        "in-flight": cell.mode.in_flight,
        "sessions": cell.mode.sessions,
        "seconds": plan.seconds_of(cell),
        "warm-up": plan.warm_up,
        **(client_options or {}),
    }
    command = [*contender.client, *worded(options)]
    log = BUILD / "logs" / f"{contender.name}.client"

    def once() -> Sample:
        forget_peak(server.pid)
        with Program(command, contender.environment, log, client_cores) as client:
            return measure(server, client, options["seconds"] + options["warm-up"])

    return calmest(once, plan.again)


def run(plan: Plan, found: dict[str, Contender], results: Results) -> None:
    """Measure everything there is to measure."""
    total = len(plan.cells) * plan.rounds * len(plan.contenders)
    done = itertools.count(1)
    with ExitStack() as stack:
        servers = Servers(stack)
        for cell, number, names in plan.turns():
            for name in names:
                contender = found[name]
                said = ""
                try:
                    sample = one(contender, servers, cell, plan)
                    results.add(name, cell, number, sample)
                    said = f"{sample.rate:,.0f} frames/s"
                except MeasurementError as error:
                    results.fail(name, cell, str(error))
                    servers.give_up(contender)
                    said = f"failed: {error}"
                progress(
                    next(done),
                    total,
                    f"{name} {size_text(cell.size)} {cell.mode.name}: {said}",
                    "failed" in said,
                )


def ask(plan: Plan, names: list[str], found: dict[str, Contender]) -> list[Answer]:
    """Go through scenarios; one that fails says so in its answer."""
    answers = []
    with ExitStack() as stack:
        servers = Servers(stack)

        def measured(
            contender: Contender, cell: Cell, client: dict[str, int], server: dict[str, int]
        ) -> Sample:
            return one(contender, servers, cell, plan, client, server)

        for number, name in enumerate(names, 1):
            progress(number, len(names), name, remember=True)
            try:
                answers.append(SCENARIOS[name](measured, found, plan.rounds))
            except MeasurementError as error:
                answers.append(Answer(name, f"Failed: {error}.", [""]))
    return answers


def progress(done: int, total: int, what: str, remember: bool) -> None:
    """Say how far it is, in a line that changes on a terminal."""
    bar = "#" * (30 * done // total)
    if sys.stderr.isatty():
        sys.stderr.write(
            f"\r[{bar:.<30}] {done}/{total} {what}\x1b[K" + ("\n" if remember or done == total else "")
        )
    elif remember or done == total or done % 50 == 0:
        sys.stderr.write(f"[{bar:.<30}] {done}/{total} {what}\n")
    sys.stderr.flush()


def processor() -> str:
    """Return the name of this machine's processor."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def about(plan: Plan, builds: list[Build]) -> dict[str, object]:
    """Return what one has to know about a run to understand its numbers."""
    commit = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "date": dt.datetime.now(dt.UTC).date().isoformat(),
        "commit": commit.stdout.strip(),
        "machine": processor(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "rounds": plan.rounds,
        "seconds": plan.seconds,
        "builds": [build.name for build in builds],
    }


def prepare(found: dict[str, Contender], names: list[str]) -> list[str]:
    """Make what all share; return what is missing."""
    first = found["floor-tcp"]
    # Whatever is measured, the scenarios too, is measured with this program.
    needed = {*names, first.name}
    missing = {contender.missing for name, contender in found.items() if name in needed} - {None}
    if not missing and not (CERTIFICATES / "certificate.pem").exists():
        subprocess.run([first.server[0], "certificate", str(CERTIFICATES)], check=True)
    return sorted(path for path in missing if path)


def builds(arguments: argparse.Namespace) -> list[Build]:
    """Return the builds to compare; without ``--build``, the one there is."""
    here = Build("ours", arguments.binary, arguments.python, arguments.python_path)
    chosen = []
    for text in arguments.build:
        name, _, folder = text.partition("=")
        if folder == ".":
            chosen.append(Build(name, here.binary, here.python, here.python_path))
        else:
            chosen.append(kept(name, Path(folder), arguments.python))
    return chosen or [here]


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )

    def words(text: str) -> list[str]:
        return text.split(",")

    def sizes(text: str) -> list[int]:
        return [int(word) for word in text.split(",")]

    parser.add_argument(
        "--only", type=words, default=list(FAMILIES), help=f"of {','.join(FAMILIES)}; or 'none'"
    )
    parser.add_argument(
        "--scenarios", type=words, default=list(SCENARIOS), help=f"of {','.join(SCENARIOS)}; 'none' for none"
    )
    parser.add_argument("--sizes", type=sizes, default=list(SIZES), help="payload bytes, with commas between")
    parser.add_argument("--modes", type=words, default=list(MODES), help=f"of {','.join(MODES)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one measurement (8 MiB: at least 2)")
    parser.add_argument("--warm-up", type=float, default=0.15, help="seconds before each measurement")
    parser.add_argument(
        "--again",
        type=int,
        default=2,
        help="how often to repeat what others disturbed (default: 2)",
    )
    parser.add_argument("--quick", action="store_true", help="a part of it in less than two minutes")
    parser.add_argument("--precedence", action="store_true", help="run before everything else (needs root)")
    parser.add_argument("--force", action="store_true", help="measure even if the machine is busy")
    parser.add_argument("--output", type=Path, default=BUILD / "results", help="folder for the results")
    parser.add_argument("--charts", type=Path, help="folder for the charts, if it is another")
    parser.add_argument("--binary", type=Path, default=ROOT / "target" / "release" / "nnrp-bench")
    parser.add_argument(
        "--python", type=Path, default=Path(sys.executable), help="interpreter for our servers"
    )
    parser.add_argument(
        "--python-path", type=lambda text: Path(text).resolve(), help="folder the package is in"
    )
    parser.add_argument(
        "--merge",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="put results of runs together; measures nothing",
    )
    parser.add_argument(
        "--keep", metavar="NAME", help="copy the build for later comparisons, and do nothing else"
    )
    parser.add_argument(
        "--build",
        action="append",
        default=[],
        metavar="NAME=FOLDER",
        help="of several to compare: FOLDER is 'kept' for one kept under this name, '.' for the one there is",
    )
    arguments = parser.parse_args()
    if arguments.quick:
        vars(arguments).update(QUICK)
    arguments.scenarios = [name for name in arguments.scenarios if name != "none"]
    arguments.only = [name for name in arguments.only if name != "none"]
    for given, known in (
        (arguments.only, FAMILIES),
        (arguments.modes, tuple(MODES)),
        (arguments.scenarios, tuple(SCENARIOS)),
    ):
        if unknown := set(given) - set(known):
            parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    return arguments


def show(results: Results, plan: Plan, arguments: argparse.Namespace) -> int:
    """Write and print what was measured."""
    results.write(arguments.output / "results.json", plan.comparisons)
    try:
        charts(results, plan, arguments.charts or arguments.output)
    except ImportError:
        sys.stderr.write("no charts: matplotlib is not installed\n")
    text = markdown(results, plan)
    (arguments.output / "results.md").write_text(text)
    sys.stdout.write(text)
    sys.stderr.write(f"written to {arguments.output}\n")
    return 1 if results.failures else 0


def main() -> int:
    """Run what was asked for."""
    arguments = parse()
    compared = builds(arguments)
    if arguments.keep:
        sys.stdout.write(f"kept in {keep(compared[0], arguments.keep)}\n")
        return 0
    plan = Plan(
        comparisons=comparisons(arguments.only, compared),
        sizes=arguments.sizes,
        modes=chosen_modes(arguments.modes, len(os.sched_getaffinity(0))),
        rounds=arguments.rounds,
        seconds=arguments.seconds,
        warm_up=arguments.warm_up,
        again=arguments.again,
    )
    found = all_contenders(compared)
    results = Results({**about(plan, compared), "precedence": arguments.precedence})
    if arguments.merge:
        for number, folder in enumerate(arguments.merge):
            results.take(folder / "results.json", number)
        return show(results, plan, arguments)
    if missing := prepare(found, plan.contenders):
        sys.stderr.write(
            "not there: " + ", ".join(missing) + " ('make bench' builds and installs everything)\n"
        )
        return 2
    if busy := disturbances():
        sys.stderr.write("this machine is busy: " + "; ".join(busy) + "\n")
        if not arguments.force:
            sys.stderr.write("numbers would be worth nothing; --force measures all the same\n")
            return 3
    with precedence() if arguments.precedence else nullcontext():
        run(plan, found, results)
        # A build is compared with another by frames; the scenarios are about the one there is.
        results.answers = ask(plan, arguments.scenarios, found) if len(compared) == 1 else []
    return show(results, plan, arguments)


if __name__ == "__main__":
    sys.exit(main())
