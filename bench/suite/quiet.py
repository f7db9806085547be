"""Whether anything else is at work on this machine: numbers taken beside a compiler are worth nothing."""

from __future__ import annotations

import os
import time

from suite.process import PROC, TICKS_PER_SECOND, busy_seconds

#: CPU time others may use, as a part of one core.
TOLERATED = 0.10
OBSERVED_SECONDS = 1.0


def used_by_process() -> dict[int, tuple[str, float]]:
    """Name and CPU seconds of every process but this one."""
    used = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                name, _, rest = (entry / "stat").read_text().rpartition(")")
            except (FileNotFoundError, ProcessLookupError):
                continue
            user, system = rest.split()[11:13]
            used[int(entry.name)] = (name.partition("(")[2], (int(user) + int(system)) / TICKS_PER_SECOND)
    return used


def disturbances() -> list[str]:
    """Look for a second; return who used more than a tenth of a core, or that all together did."""
    busy, before = busy_seconds(), used_by_process()
    time.sleep(OBSERVED_SECONDS)
    busy, after = busy_seconds() - busy, used_by_process()
    found = []
    for pid, (name, seconds) in after.items():
        share = (seconds - before.get(pid, (name, 0.0))[1]) / OBSERVED_SECONDS
        if share > TOLERATED:
            found.append(f"{name} (process {pid}) uses {share:.0%} of a core")
    if not found and busy / OBSERVED_SECONDS > TOLERATED:
        found.append(f"short-lived processes or the kernel use {busy / OBSERVED_SECONDS:.0%} of a core")
    return found
