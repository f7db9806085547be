"""The command as a whole: versions, help, what is wrong with arguments, how soon it is there."""

import os
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from programs import PATIENCE

import nnrp

#: Milliseconds of CPU time for `nnrp --help`. It is about 80 on a machine with nothing else to do.
GENEROUS = 400
RUNS = 5


def test_the_script_of_the_package_is_there():
    settings = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    module, _, name = settings["project"]["scripts"]["nnrp"].partition(":")
    assert callable(getattr(import_module(module), name))


def test_version(commands):
    assert commands.run("--version") == (0, f"nnrp {nnrp.__version__}\n", "")


def test_no_command_and_a_wrong_one_are_wrong_arguments(commands):
    assert commands.run()[0] == 2
    code, _, err = commands.run("bogus")
    assert code == 2
    assert "invalid choice: 'bogus'" in err


def test_debug_shows_where_an_error_comes_from(commands):
    code, _, err = commands.run("submit", "nnrp://127.0.0.1:1", "absent", "--debug")
    assert code == 1
    assert "Traceback" in err
    assert "FileNotFoundError" in err


def test_help_comes_at_once(tmp_path):
    """Only what every command needs is imported: no asyncio, no transports, no NumPy."""
    program = (
        "import sys, time\n"
        "from nnrp.cli.main import main\n"
        "try:\n"
        "    main(['serve', '--help'])\n"
        "except SystemExit:\n"
        "    pass\n"
        "dear = {'asyncio', 'numpy', 'nnrp.server', 'nnrp.client', 'nnrp.adapters', 'ssl'}\n"
        "dear &= set(sys.modules)\n"
        "print(1000 * time.process_time(), *dear, file=sys.stderr)\n"
    )
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    took = []
    for _ in range(RUNS):
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment
        )
        milliseconds, *dear = done.stderr.split()
        assert dear == []
        took.append(float(milliseconds))
    assert min(took) < GENEROUS


@pytest.mark.parametrize(
    ("arguments", "needs"),
    [
        (["submit", "nnrp://127.0.0.1:1", "a.npy"], "reading an array needs NumPy: pip install numpy"),
        (["submit", "nnrp://127.0.0.1:1", "a.png"], "reading a picture needs NumPy: pip install numpy"),
        (
            ["bench", "nnrp://127.0.0.1:1", "--plot", "a.png"],
            "--plot needs matplotlib: pip install matplotlib",
        ),
        (
            ["serve", "app:shout", "--plain", "--port", "0", "--metrics-port", "0"],
            "--metrics-port needs prometheus_client: pip install prometheus_client",
        ),
        (
            ["serve", "app:shout", "--plain", "--port", "0", "--otel", "otlp"],
            "--otel needs opentelemetry-sdk: pip install opentelemetry-sdk",
        ),
    ],
)
def test_what_is_not_installed_is_said(commands, arguments, needs):
    """Everything else works without: the package has no dependency."""
    for name in ("a.npy", "a.png"):
        commands.write(name, b"")
    commands.write("app.py", "def shout(submit): pass\n")
    absent = ["numpy", "PIL", "matplotlib", "prometheus_client", "opentelemetry", "opentelemetry.sdk"]
    program = (
        f"import sys; sys.modules.update(dict.fromkeys({absent!r}))\n"
        f"from nnrp.cli.main import main; sys.exit(main({arguments!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        cwd=commands.folder,
        env=commands.environment(),
        timeout=PATIENCE,
    )
    last = done.stderr.splitlines()[-1]
    assert done.returncode == 1
    assert last == f"nnrp {arguments[0]}: {needs}"
