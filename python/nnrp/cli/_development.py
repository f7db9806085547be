"""The development certificate of this user: `--dev-cert` makes it once, then serves and trusts it."""

from __future__ import annotations

import os
import time
from pathlib import Path

__all__ = ["DevelopmentFiles", "write_pair"]

#: It is made anew this many days before it ends, so that it does not end while somebody is working.
_DAYS_LEFT = 7


class DevelopmentFiles:
    """Certificate and key, in the folder where programs keep what is theirs."""

    def __init__(self, folder: Path | None = None) -> None:
        """Name the files; nothing is read or written."""
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        self.folder = folder if folder is not None else Path(state) / "nnrp"
        self.certificate = self.folder / "development-cert.pem"
        self.private_key = self.folder / "development-key.pem"

    def ensure(self) -> None:
        """Make them unless they are there and good for some more days.

        Raises:
            OSError: the folder cannot be written.

        """
        if not self._usable():
            write_pair(self.certificate, self.private_key)

    def _usable(self) -> bool:
        from nnrp.cli._x509 import certificates_of  # noqa: PLC0415  # for this only

        try:
            [leaf, *_] = certificates_of(self.certificate.read_bytes())
        except (OSError, ValueError):
            return False
        return self.private_key.is_file() and leaf.not_after.timestamp() > time.time() + _DAYS_LEFT * 86400


def write_pair(certificate: Path, private_key: Path) -> None:
    """Make a development certificate and write it; the key is for its owner's eyes only.

    Raises:
        OSError: a file cannot be written.

    """
    from nnrp.adapters import create_development_certificate  # noqa: PLC0415  # for this only

    made = create_development_certificate()
    for path, content, mode in (
        (certificate, made.certificate, 0o644),
        (private_key, made.private_key, 0o600),
    ):
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Another command may be doing the same: whoever reads finds a whole file.
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        beside.replace(path)
