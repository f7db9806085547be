"""What all commands share: how they end, and what they say when they fail."""

from __future__ import annotations

import argparse
import math
import os
from importlib import import_module
from typing import Any, Final

__all__ = [
    "DEFAULT_PORT",
    "DROPPED",
    "EXIT_CODES",
    "FAILED",
    "INTERRUPTED",
    "NOT_REACHED",
    "OK",
    "REFUSED",
    "USAGE",
    "Failure",
    "add_wire_logs",
    "explain",
    "keylog_of",
    "number",
    "optional",
    "port",
    "seconds",
    "size",
]

OK, FAILED, USAGE, NOT_REACHED, REFUSED, DROPPED, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

#: Where servers are, and are looked for, unless told otherwise.
DEFAULT_PORT: Final = 4433

EXIT_CODES: Final = """\
exit codes: 0 done, 1 failed, 2 wrong arguments, 3 the server was not reached, did not answer in time, or
  showed a certificate that is not accepted, 4 the server refused, 5 the server dropped a frame,
  130 interrupted
"""


class Failure(Exception):  # noqa: N818  # it is not always an error of ours
    """Ends a command with a sentence and an exit code.

    Attributes:
        code: the exit code.

    """

    def __init__(self, sentence: str, code: int = FAILED) -> None:
        super().__init__(sentence)
        self.code = code


def explain(error: Exception) -> tuple[str, int]:  # noqa: PLR0911  # a table
    """Return a sentence about an exception, and the exit code that goes with it."""
    from nnrp.errors import (  # noqa: PLC0415  # `nnrp --help` does without
        NnrpAuthenticationError,
        NnrpConnectionClosedError,
        NnrpProtocolError,
    )

    text = str(error) or type(error).__name__
    match error:
        case Failure():
            return text, error.code
        case NnrpAuthenticationError():
            return f"the server did not accept the token: {text}", REFUSED
        case NnrpProtocolError():
            wait = f"; try again in {error.retry_after_ms / 1000:g} s" if error.retry_after_ms else ""
            return f"the server refused: {text}{wait}", REFUSED
        case NnrpConnectionClosedError(tls_fault=fault) if fault is not None:
            return f"{text}{_hint(fault)}", NOT_REACHED
        case NnrpConnectionClosedError() | TimeoutError():
            return text, NOT_REACHED
        case FileNotFoundError() | PermissionError() | IsADirectoryError() if error.filename:
            return f"{error.filename}: {error.strerror}", FAILED
        case OSError():
            return error.strerror or text, NOT_REACHED
        case ValueError() | ImportError():
            return text, FAILED
        case _:
            return f"{type(error).__name__}: {text}", FAILED


def _hint(fault: str) -> str:
    match fault:
        case "unknown_authority":
            return "; --cafile names an authority, --dev-cert trusts the development certificate"
        case "not_tls":
            return "; nnrp:// is the address of a server without TLS"
        case "tls_required":
            return "; nnrps:// is the address of a server with TLS"
        case _:
            return ""


def optional(module: str, purpose: str) -> Any:
    """Return a module of another package; the extra `nnrp[cli]` has all of them.

    Raises:
        Failure: it is missing.

    """
    try:
        return import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        name = {"PIL": "Pillow", "numpy": "NumPy"}.get(package, package)
        raise Failure(f"{purpose} needs {name}: pip install {name.lower()}") from None


def add_wire_logs(parser: argparse._ActionsContainer) -> None:
    """Add the arguments that ask for TLS secrets and for the events of QUIC."""
    parser.add_argument(
        "--keylog",
        nargs="?",
        const="",
        metavar="FILE",
        help="for debugging: append TLS secrets, for Wireshark, to FILE or what SSLKEYLOGFILE names",
    )
    parser.add_argument(
        "--qlog", metavar="DIR", help="for debugging: write what QUIC does into files there (slows it down)"
    )


def keylog_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the TLS setting that it makes; the environment variable alone makes none.

    Raises:
        Failure: no file is named.

    """
    if arguments.keylog is None:
        return {}
    path = arguments.keylog or os.environ.get("SSLKEYLOGFILE")
    if not path:
        raise Failure("--keylog needs a file, or SSLKEYLOGFILE to name one", USAGE)
    return {"key_log": path}


def number(lowest: float, highest: float = math.inf, *, whole: bool = False) -> _Number:
    """Return an argparse type for numbers in a range."""
    return _Number(lowest, highest, whole)


class _Number:
    """Reads a number, and says what is wrong with one out of range."""

    def __init__(self, lowest: float, highest: float, whole: bool) -> None:
        self._lowest, self._highest, self._whole = lowest, highest, whole

    def __call__(self, text: str) -> int | float:
        try:
            value = int(text) if self._whole else float(text)
        except ValueError:
            value = math.nan
        if not self._lowest <= value <= self._highest or math.isinf(value):
            kind = "a whole number" if self._whole else "a number"
            upper = "" if math.isinf(self._highest) else f" to {self._highest:g}"
            raise argparse.ArgumentTypeError(f"{text!r} is not {kind} from {self._lowest:g}{upper}")
        return value


#: Seconds. Whoever means for ever leaves the option out.
seconds = number(0.001)

#: A port; 0 lets the system choose.
port = number(0, 0xFFFF, whole=True)

_UNITS: Final = {
    "": 1,
    "K": 1 << 10,
    "KIB": 1 << 10,
    "M": 1 << 20,
    "MIB": 1 << 20,
    "G": 1 << 30,
    "GIB": 1 << 30,
}


def size(text: str) -> int:
    """Read a number of bytes: ``65536``, ``64K``, ``1.5MiB``."""
    digits = text.rstrip("BbIiKkMmGg")
    unit = text[len(digits) :].upper()
    try:
        value = float(digits) * _UNITS[unit if unit != "B" else ""]
    except (ValueError, KeyError):
        value = math.nan
    if not 0 <= value < 1 << 32:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 65536, 64K or 2M, less than 4G")
    return int(value)
