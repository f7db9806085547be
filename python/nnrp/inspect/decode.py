"""The command `nnrp decode`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from nnrp.inspect._json import packet_to_json
from nnrp.inspect._packet import dissect
from nnrp.inspect._region import Options
from nnrp.inspect._render import Style, render
from nnrp.inspect._source import FORMATS, Found, Piece, UnreadableError, find_packets

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["add_arguments", "run"]

LEGAL, VIOLATION, UNREADABLE = 0, 1, 2
"""Exit codes."""

_EXAMPLES: Final = """\
examples:
  nnrp decode packet.bin              a file of packets, back to back
  xxd frame.bin | nnrp decode -       what a hex dump shows
  echo 4e4e5250... | nnrp decode -    hexadecimal digits from a log
  nnrp decode --port 9000 lo.pcapng   the TCP streams of a capture
  nnrp decode --json lo.pcap | jq .   one JSON object per packet

exit codes: 0 every packet is legal, 1 a rule is broken, 2 the input holds no packets
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description = (
        "Show packets as trees of named fields, with the rules that are broken marked in them."
    )
    parser.epilog = _EXAMPLES
    parser.add_argument("file", metavar="FILE", help="what to read; - for standard input")
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="auto",
        help="how the input is written down (default: by its start)",
    )
    parser.add_argument(
        "--port", type=_port, metavar="N", help="of a capture, only the TCP connections with this port"
    )
    parser.add_argument(
        "--limit",
        type=_limit,
        default=Options().limit,
        metavar="N",
        help="bytes shown of each run of bytes, and entries of each list (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per packet and line")
    parser.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="colours (default: on a terminal)",
    )
    parser.add_argument("--secrets", action="store_true", help="show auth blocks and migration tokens too")


def _port(text: str) -> int:
    return _number(text, 1, 0xFFFF)


def _limit(text: str) -> int:
    return _number(text, 1, sys.maxsize)


def _number(text: str, lowest: int, highest: int) -> int:
    value = int(text) if text.isdecimal() else -1
    if not lowest <= value <= highest:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from {lowest} to {highest}")
    return value


def run(arguments: argparse.Namespace) -> int:
    """Run the command and return its exit code."""
    try:
        found = find_packets(_read(arguments.file), arguments.format, arguments.port)
    except (OSError, UnreadableError) as error:
        sys.stderr.write(f"nnrp decode: {error}\n")
        return UNREADABLE
    options = Options(arguments.limit, arguments.secrets)
    style = Style.coloured() if _is_coloured(arguments.color, sys.stdout) else Style()
    for note in found.notes:
        sys.stderr.write(f"nnrp decode: {note}\n")
    code = LEGAL
    for is_legal, lines in _results(found, options, style, as_json=arguments.json):
        for line in lines:
            # A terminal that lacks a character shows a question mark instead of ending the program.
            encoding = sys.stdout.encoding or "utf-8"
            sys.stdout.write(line.encode(encoding, "replace").decode(encoding) + "\n")
        code = code if is_legal else VIOLATION
    return code


def _read(name: str) -> bytes:
    return sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()


def _is_coloured(wish: str, stream: IO[str]) -> bool:
    if wish == "auto":
        return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wish == "always"


def _results(
    found: Found, options: Options, style: Style, *, as_json: bool
) -> Iterator[tuple[bool, Iterator[str]]]:
    """Yield for each packet whether it is legal, and the lines that show it."""
    for index, piece in enumerate(found.pieces):
        packet = dissect(piece.raw, options)
        if as_json:
            place = {
                "index": index,
                "offset": piece.offset,
                "stream": piece.stream or None,
                "time": piece.time,
            }
            lines = iter([json.dumps(place | packet_to_json(packet, options))])
        else:
            lines = _with_blank(render(packet, _title(index, piece), options, style), is_first=index == 0)
        yield not packet.violations, lines


def _with_blank(lines: Iterator[str], *, is_first: bool) -> Iterator[str]:
    if not is_first:
        yield ""
    yield from lines


def _title(index: int, piece: Piece) -> str:
    if piece.stream:
        return " ".join(part for part in (f"#{index}", piece.clock, piece.stream) if part)
    return f"#{index} at {piece.offset}"
