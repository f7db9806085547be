"""`nnrp submit`: sends files to a server, and keeps what comes back."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nnrp.cli import _target
from nnrp.cli._common import DROPPED, EXIT_CODES, OK, USAGE, Failure, number

if TYPE_CHECKING:
    from nnrp.cli._inputs import Input
    from nnrp.client import ClientSession, Result, SubmitRequest

__all__ = ["add_arguments", "run"]

#: What a file may hold; `auto` goes by its name.
KINDS: Final = ("auto", "image", "array", "text", "bytes")

_EPILOG: Final = f"""\
examples:
  nnrp submit nnrps://localhost:4433 photo.png --dev-cert --out result.png
  nnrp submit nnrps://localhost:4433 photo.png --dev-cert --tiles 64x64 --out result.png
  nnrp submit nnrps://infer.example:4433 a.npy b.npy --token-file token --out results/
  echo "Once upon a time" | nnrp submit nnrp://127.0.0.1:9000 -

A picture is a tensor section of (height, width, channels), an array too; text is a token chunk. Text that
comes back is shown as it comes, other results are described, or written with --out.

{EXIT_CODES}"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of this command."""
    parser.description = (
        "Send images, arrays or text to a server, each file as a frame, and keep what comes back."
    )
    parser.epilog = _EPILOG
    parser.add_argument("url", metavar="URL", help="nnrps://host:port, or nnrp://host:port for plain TCP")
    parser.add_argument("files", metavar="FILE", nargs="+", help="what to send; - for standard input")
    parser.add_argument(
        "--as", dest="kind", choices=KINDS, default="auto", help="what files hold (default: by their names)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="FILE",
        help="write the result there (.png, .npy, or text); a folder, ending with /, for several files",
    )
    parser.add_argument(
        "--shape", type=_shape, metavar="N,N,…", help="reshape what is sent, such as 480,640,3"
    )
    parser.add_argument("--out-shape", type=_shape, metavar="N,N,…", help="reshape what is written")
    parser.add_argument("--tiles", type=_tiles, metavar="WxH", help="cut pictures into tiles of W x H pixels")
    parser.add_argument(
        "--budget",
        type=number(1, 0xFFFF, whole=True),
        default=0,
        metavar="MS",
        help="time the server has for each frame",
    )
    _target.add_arguments(parser)


def _shape(text: str) -> tuple[int, ...]:
    try:
        return tuple(map(int, text.replace("x", ",").split(",")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a shape such as 480,640,3") from None


def _tiles(text: str) -> tuple[int, int]:
    side = number(1, 0xFFFF, whole=True)
    width, times, height = text.partition("x")
    if not times:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 64x64")
    return int(side(width)), int(side(height))


def run(arguments: argparse.Namespace) -> int:
    """Submit all files; return the exit code."""
    import asyncio  # noqa: PLC0415  # `--help` does without

    from nnrp.cli._inputs import read_input  # noqa: PLC0415  # likewise

    target = _target.Target.of(arguments.url, arguments)
    inputs = [
        read_input(name, arguments.kind, shape=arguments.shape, tiles=arguments.tiles)
        for name in arguments.files
    ]
    outputs = [_destination(arguments.out, given, len(inputs)) for given in inputs]
    if arguments.out is not None and len(set(outputs)) < len(outputs):
        raise Failure("two of the files would have their results in the same place", USAGE)
    return asyncio.run(_submit(target, inputs, outputs, arguments))


def _destination(out: Path | None, given: Input, count: int) -> Path | None:
    """Return the file for one input."""
    if out is None:
        return None
    if out.is_dir() or (count > 1 and not out.suffix):
        suffix = ".png" if given.grid is not None and not given.name.endswith(".npy") else ".npy"
        return out / f"{Path(given.name).stem}{suffix if 'sections' in given.fields else '.txt'}"
    if count > 1:
        raise Failure("--out names one file, and there are several: name a folder", USAGE)
    return out


async def _submit(
    target: _target.Target, inputs: list[Input], outputs: list[Path | None], arguments: argparse.Namespace
) -> int:
    code = OK
    async with target.dial() as session:
        sys.stderr.write(f"{target.address} over {session.transport_id.name}, session {session.session_id}\n")
        for index, (given, path) in enumerate(zip(inputs, outputs, strict=True)):
            request = given.request(index + 1, arguments.budget)
            code = max(code, await _one(session, given, request, path, arguments))
    return code


async def _one(
    session: ClientSession,
    given: Input,
    request: SubmitRequest,
    path: Path | None,
    arguments: argparse.Namespace,
) -> int:
    """Submit one frame, and say what became of it."""
    import time  # noqa: PLC0415  # `--help` does without

    from nnrp.cli._outputs import Output  # noqa: PLC0415  # likewise

    output = Output(given, path, arguments.out_shape)
    began = time.perf_counter()
    parts = 0
    result: Result | None = None
    async with session.stream(request, timeout=arguments.timeout) as results:
        async for result in results:
            if not result.is_drop:
                output.take(result)
                parts += 1
    took = 1000 * (time.perf_counter() - began)
    if result is not None and result.is_drop:
        reason = result.drop_reason.name if result.drop_reason else "without a reason; its log may say why"
        sys.stderr.write(f"{given.name}: dropped by the server, {reason} ({took:.1f} ms)\n")
        return DROPPED
    said = output.finish()
    counted = f"{parts} results" if parts > 1 else "one result"
    sys.stderr.write(f"{given.name}: {counted} in {took:.1f} ms{''.join(f'; {one}' for one in said)}\n")
    return OK
