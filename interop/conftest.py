"""Options, the peers, and the matrix at the end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import pytest

from interop.harness import Bench, PeerError
from interop.matrix import Matrix
from interop.model import Package, Transport
from interop.scenarios import SCENARIOS

DIRECTIONS: list[tuple[Package, Package]] = [("rc2", "ours"), ("ours", "rc2")]
MATRIX = pytest.StashKey[Matrix]()
BENCH = pytest.StashKey[Bench]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--baseline`` checks the scenarios themselves: rc2 against rc2."""
    parser.addoption("--baseline", action="store_true", help="run rc2 against rc2 instead of against ours")


def pytest_configure(config: pytest.Config) -> None:
    """Lay out the columns."""
    directions: list[tuple[Package, Package]] = (
        [("rc2", "rc2")] if config.getoption("--baseline") else DIRECTIONS
    )
    columns = [
        (client, server, transport) for client, server in directions for transport in get_args(Transport)
    ]
    config.stash[MATRIX] = Matrix(columns)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test per cell, column by column, so that the same peers stay in use."""
    if {"scenario", "column"} <= set(metafunc.fixturenames):
        columns = metafunc.config.stash[MATRIX].columns
        metafunc.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS.keys())
        metafunc.parametrize("column", columns, ids=["-".join(column) for column in columns], scope="session")


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Bench]:
    """The peers of both packages."""
    try:
        found = Bench.from_environment(tmp_path_factory.mktemp("certificates"))
    except PeerError as error:
        pytest.exit(str(error), returncode=2)
    request.config.stash[BENCH] = found
    yield found
    found.stop()


@pytest.fixture
def matrix(request: pytest.FixtureRequest) -> Matrix:
    """The table of this run."""
    return request.config.stash[MATRIX]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the matrix whatever the outcome."""
    table = config.stash[MATRIX]
    if not table.rows:
        return
    terminalreporter.section("interop matrix")
    if found := config.stash.get(BENCH, None):
        for package, version in found.versions.items():
            terminalreporter.write_line(f"{package}: {version}")
    for line in table.lines():
        terminalreporter.write_line(line)
