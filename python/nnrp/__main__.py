"""`python -m nnrp`: what can be done with the protocol from a shell."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from nnrp import __version__
from nnrp.inspect import decode

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]


def build_parser() -> argparse.ArgumentParser:
    """Return the parser. Each command adds its own part and names the function that runs it."""
    parser = argparse.ArgumentParser(
        prog="python -m nnrp",
        description="Tools for NNRP/1, the Neural Network Runtime Protocol.",
        epilog="`python -m nnrp COMMAND --help` explains a command and gives examples.",
    )
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    decode.add_parser(commands)
    version = commands.add_parser("version", help="print the version of this package")
    version.set_defaults(run=print_version)
    return parser


def print_version(_: argparse.Namespace) -> int:
    """Print the version of the package."""
    sys.stdout.write(f"nnrp {__version__}\n")
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parsed = build_parser().parse_args(arguments)
    try:
        code: int = parsed.run(parsed)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads, `head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
