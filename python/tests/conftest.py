"""What the session tests share: each of the networks, and uvloop on demand."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import hypothesis  # noqa: F401  # its plugin would import it after the last test, where CPython 3.11 may fail
import pytest
from commands import APP, Commands
from leftovers import pytest_runtest_makereport, pytest_runtest_protocol  # noqa: F401  # hooks
from networks import TRANSPORTS, Network

from nnrp.adapters import DevelopmentCertificate, create_development_certificate

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--uvloop", action="store_true", help="run the asynchronous tests on uvloop")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--uvloop"):
        config.pluginmanager.register(OnUvloop())


class OnUvloop:
    """Runs every asynchronous test on uvloop."""

    def pytest_asyncio_loop_factories(self) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
        import uvloop  # noqa: PLC0415  # there is none on Windows

        return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def certificate() -> DevelopmentCertificate:
    return create_development_certificate()


@pytest.fixture(params=TRANSPORTS)
def network(request: pytest.FixtureRequest, certificate: DevelopmentCertificate) -> Network:
    return Network(request.param, certificate)


@pytest.fixture
def tcp(certificate: DevelopmentCertificate) -> Network:
    return Network("tcp", certificate)


@pytest.fixture
def commands(tmp_path: Path) -> Commands:
    """A folder with handlers, and the command `nnrp` in it."""
    made = Commands(tmp_path)
    made.write("app.py", APP)
    return made
