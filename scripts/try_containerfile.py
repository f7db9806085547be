"""Does what examples/deploy/Containerfile says, without a container: in a folder, with a venv.

    python scripts/try_containerfile.py build/wheels/nnrp-….whl

Every COPY and RUN is done (all but what needs to be root), the server is started as ENTRYPOINT and CMD say,
asked by the HEALTHCHECK, sent the STOPSIGNAL, and has to end with 0. What pip needs comes from the package
index. What it cannot show: that the base image has what the venv has.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
#: Folders of the image, which are folders of ours here.
FOLDERS = ("/tmp/", "/app", "/run/secrets/")  # noqa: S108  # of the image
#: Only root may, and nothing else depends on it.
FOR_ROOT = "useradd"
PATIENCE = 30.0
CERTIFICATE = """
from pathlib import Path
from nnrp.adapters import create_development_certificate as make
made = make()
Path("run/secrets/cert.pem").write_bytes(made.certificate)
Path("run/secrets/key.pem").write_bytes(made.private_key)
"""


def main() -> int:
    """Does the steps, and says what was done."""
    wheel = Path(sys.argv[1]).resolve()
    text = (ROOT / "examples/deploy/Containerfile").read_text(encoding="utf-8").replace("\\\n", "")
    steps = re.findall(r"^(COPY|RUN|HEALTHCHECK|ENTRYPOINT|CMD|STOPSIGNAL) (.*)$", text, re.MULTILINE)
    with tempfile.TemporaryDirectory(prefix="nnrp-image-") as folder:
        image = Image(Path(folder), wheel)
        told: dict[str, str] = {}
        for step, argument in steps:
            if step in ("COPY", "RUN"):
                image.do(step, argument)
            else:
                told[step] = argument
        image.serve(told)
    return 0


class Image:
    """What becomes of an image: its root, and the files beside the Containerfile."""

    def __init__(self, root: Path, wheel: Path) -> None:
        self.root, self.beside = root, root / "beside"
        for path in (self.beside, *(root / name.strip("/") for name in FOLDERS)):
            path.mkdir(parents=True)
        shutil.copy(wheel, self.beside)
        (self.beside / "app.py").write_text("def handle(submit):\n    return submit.request.sections[0]\n")
        (root / "run/secrets/tokens").write_text("a-token\n")
        venv.create(root / "venv", with_pip=True)
        self.environment = os.environ | {"PATH": f"{root}/venv/bin:{os.environ['PATH']}"}

    def here(self, text: str) -> str:
        """Return the text with the folders of the image as they are here."""
        for name in FOLDERS:
            text = re.sub(rf"(?<![\w/]){re.escape(name)}", f"{self.root}{name}", text)
        return text

    def do(self, step: str, argument: str) -> None:
        """Copy, or run."""
        if argument.startswith(FOR_ROOT):
            sys.stdout.write(f"left out: {step} {argument}\n")
            return
        line = f"cp {self.here(argument)}" if step == "COPY" else self.here(argument)
        subprocess.run(line, shell=True, check=True, cwd=self.beside, env=self.environment)  # noqa: S602  # ours
        sys.stdout.write(f"done: {step} {argument}\n")

    def serve(self, told: dict[str, str]) -> None:
        """Start what the image starts, ask for its health, and stop it as the container would be."""
        python = self.root / "venv/bin/python"
        subprocess.run([python, "-c", CERTIFICATE], check=True, cwd=self.root)
        with socket.create_server(("127.0.0.1", 0)) as probe:
            health = str(probe.getsockname()[1])
        command = [*json.loads(told["ENTRYPOINT"]), *json.loads(told["CMD"]), "--port", "0"]
        here = [self.here(word).replace("9464", health) for word in command]
        check = told["HEALTHCHECK"].partition("CMD ")[2].replace("9464", health)
        serving = subprocess.Popen(here, env=self.environment, cwd=self.root, stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + PATIENCE
            ask = json.loads(check)
            while subprocess.run(ask, env=self.environment, check=False, capture_output=True).returncode:
                if serving.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit("the server of the image is not healthy")
                time.sleep(0.2)
            sys.stdout.write("healthy\n")
            serving.send_signal(signal.Signals[told["STOPSIGNAL"]])
            code = serving.wait(PATIENCE)
        finally:
            serving.kill()
        if code:
            raise SystemExit(f"the server of the image ended with {code}")
        sys.stdout.write(f"{told['STOPSIGNAL']}: it ended with 0\n")


if __name__ == "__main__":
    sys.exit(main())
