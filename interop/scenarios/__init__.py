"""The rows of the matrix, in the order they run."""

from __future__ import annotations

from interop.model import Scenario
from interop.scenarios import control, frames, handshake, load

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for table in (handshake.SCENARIOS, frames.SCENARIOS, load.SCENARIOS, control.SCENARIOS)
    for scenario in table
}
