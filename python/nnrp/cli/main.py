"""The command line: which command, and how it ends."""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

from nnrp import __version__
from nnrp.cli._common import EXIT_CODES, INTERRUPTED, explain

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

#: Name, module, and what `nnrp --help` says. Each module has `add_arguments(parser)` and `run(arguments)`;
#: only that of the command in use is imported, so that the others cost nothing.
COMMANDS: Final = (
    ("serve", "nnrp.cli.serve", "serve a function of yours over QUIC and TCP"),
    ("submit", "nnrp.cli.submit", "send images, arrays or text to a server, and keep what comes back"),
    ("probe", "nnrp.cli.probe", "measure QUIC and TCP to a server, and show its certificate"),
    ("bench", "nnrp.cli.bench", "put a load on a server, and measure latency and throughput"),
    ("cert", "nnrp.cli.cert", "make a development certificate, or show what one says"),
    ("decode", "nnrp.inspect.decode", "show the packets of a file, a hex dump or a capture"),
)

_EPILOG: Final = f"""\
examples:
  nnrp serve app:handle --dev-cert                      serve handle() of app.py on this machine
  nnrp submit nnrps://localhost:4433 photo.png --dev-cert
                                                        send it a picture
  nnrp COMMAND --help                                   more about a command

{EXIT_CODES}"""


def build_parser(chosen: str | None = None) -> argparse.ArgumentParser:
    """Return the parser, in which only the chosen command knows its arguments."""
    parser = argparse.ArgumentParser(
        prog="nnrp",
        description="Serve, use, measure and debug NNRP/1, the Neural Network Runtime Protocol.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"nnrp {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    for name, module, text in COMMANDS:
        command = commands.add_parser(
            name, help=text, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
        )
        if name == chosen:
            imported = import_module(module)
            imported.add_arguments(command)
            command.add_argument("--debug", action="store_true", help="show where an error comes from")
            command.set_defaults(run=imported.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    names = {name for name, _, _ in COMMANDS}
    chosen = next((word for word in given if not word.startswith("-")), None)
    parsed = build_parser(chosen if chosen in names else None).parse_args(given)
    try:
        code: int = parsed.run(parsed)
        sys.stdout.flush()
    except BrokenPipeError:  # whoever reads, `head` for example, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if parsed.debug:
            raise
        sentence, code = explain(error)
        sys.stderr.write(f"nnrp {parsed.command}: {sentence}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
