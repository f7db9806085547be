"""Installs the wheel where there is no compiler, and uses it.

    python scripts/try_wheel.py [--demo] build/wheels/nnrp-….whl

A fresh virtual environment gets the wheel and nothing else, and no program but its Python is on the `PATH`.
There the server and the client of the README run against each other, and importing is measured. With `--demo`
the super-resolution demo is run too, whose requirements come from the package index, as wheels.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RUNS = 7
MEASURE = """
import {before}, time
begun = time.process_time()
import {module}
print(1000 * (time.process_time() - begun))
"""


def main() -> int:
    """Installs, runs, and says what happened."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("wheel", type=Path)
    arguments.add_argument("--demo", action="store_true", help="also run the demo, with what it needs")
    chosen = arguments.parse_args()
    describe(chosen.wheel)
    with tempfile.TemporaryDirectory(prefix="nnrp-wheel-") as folder:
        home = Path(folder)
        venv.create(home / "venv", with_pip=True)
        python = home / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python"
        environment = bare(python.parent)

        def run(*command: str | Path, **more: str) -> str:
            done = subprocess.run(
                [python, *command],
                env=environment | more,
                cwd=home,
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            return done.stdout

        install = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary", ":all:")
        run(*install, "--no-index", "--no-deps", chosen.wheel.resolve())
        for before, module in (("sys", "nnrp"), ("asyncio", "nnrp"), ("asyncio", "nnrp.server")):
            measure = MEASURE.format(before=before, module=module)
            least = min(float(run("-c", measure)) for _ in range(RUNS))
            beyond = " beyond asyncio" if before == "asyncio" else ""
            sys.stdout.write(f"import {module}{beyond}: {least:.1f} ms of CPU time\n")
        command = python.with_name("nnrp")
        sys.stdout.write(subprocess.check_output([command, "--version"], env=environment, text=True))
        sys.stdout.write(run(ROOT / "scripts" / "readme_examples.py"))
        if chosen.demo:
            run(*install, "-r", ROOT / "examples" / "python" / "super_resolution" / "requirements.txt")
            run("-m", "super_resolution.demo", PYTHONPATH=str(ROOT / "examples" / "python"))
            sys.stdout.write("the demo ran\n")
    return 0


def describe(wheel: Path) -> None:
    """Says what the wheel fits and how large it is, and that there is one."""
    version, python, abi, platform = wheel.stem.split("-")[1:]
    with zipfile.ZipFile(wheel) as archive:
        installed = sum(entry.file_size for entry in archive.infolist())
        if not any(name.endswith("/licenses/LICENSE") for name in archive.namelist()):
            raise SystemExit(f"{wheel.name} has no licence in it")
    sys.stdout.write(
        f"{wheel.name}: version {version}, {python} and newer ({abi}), {platform}, "
        f"{wheel.stat().st_size / 1e6:.1f} MB, {installed / 1e6:.1f} MB installed\n"
    )


def bare(folder: Path) -> dict[str, str]:
    """An environment in which nothing is found but the interpreter; what pip needs for an index is kept."""
    kept = ("HOME", "TMPDIR", "SYSTEMROOT", "SSL_CERT_FILE", "HTTPS_PROXY", "https_proxy")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    return environment | {"PATH": str(folder), "PYTHONNOUSERSITE": "1"}


if __name__ == "__main__":
    sys.exit(main())
