"""Every scenario, in both directions, on both transports."""

from __future__ import annotations

import pytest

from interop.harness import Bench
from interop.matrix import Column, Matrix
from interop.model import Scenario


def test_scenario(scenario: Scenario, column: Column, bench: Bench, matrix: Matrix) -> None:
    """Both peers verify what they receive; what a defect prevents is listed."""
    client, server, transport = column
    if reason := scenario.prevented_by(client, server, transport):
        matrix.prevented(scenario.name, column, reason)
        pytest.skip(reason)
    matrix.failed(scenario.name, column)  # until it has passed
    matrix.passed(scenario.name, column, bench.run(scenario, client, server, transport))
