"""The programs and commands of the tutorial and of the how-to pages run, and print what the pages say.

In the tutorial a block is what a reader does next: `<!-- file NAME -->` is a file to save, `<!-- change
NAME -->` are lines to change in it, a block of `sh` is commands to type, a block of text what the last one
printed. On the other pages each `<!-- runs -->` is a whole program, and the text after it its output.
"""

import asyncio
import os
import re
import shlex
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from networks import free_port
from programs import PATIENCE, running

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"(?:<!-- (file|change|runs)(?: (\S+))? -->\n)?```(\w+)\n(.*?)```", re.DOTALL)
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def blocks_of(page):
    return BLOCK.findall((ROOT / "docs" / page).read_text(encoding="utf-8"))


def start(folder, *arguments):
    return running(sys.executable, *arguments, cwd=folder, env=ENVIRONMENT, stdout=asyncio.subprocess.PIPE)


async def printed(folder, *arguments):
    async with start(folder, *arguments) as process:
        out, _ = await asyncio.wait_for(process.communicate(), PATIENCE)
    assert process.returncode == 0, arguments
    return out.decode()


@pytest.mark.parametrize("page", ["tokens.md", "arrays.md", "backpressure.md"])
async def test_a_program_prints_what_its_page_says(page, tmp_path):
    blocks = blocks_of(page)
    programs = [number for number, (kind, *_) in enumerate(blocks) if kind == "runs"]
    assert programs
    for number in programs:
        _, _, language, text = blocks[number + 1]
        assert language == "text", "what a program prints stands behind it"
        (tmp_path / "program.py").write_text(blocks[number][3], encoding="utf-8")
        assert await printed(tmp_path, "program.py") == text


class Reader:
    """Does in a folder what the tutorial says."""

    def __init__(self, folder, processes):
        self.port = str(free_port())
        self.folder = folder
        self.processes = processes
        self.server = None
        self.output = ""

    def save(self, name, text):
        (self.folder / name).write_text(text.replace("4433", self.port), encoding="utf-8")

    def change(self, name, text):
        """Replace each run of lines with a minus by the lines with a plus behind it."""
        program = (self.folder / name).read_text(encoding="utf-8").replace(self.port, "4433")
        for old, new in re.findall(r"((?:^-.*\n)+)((?:^\+.*\n)+)", text, re.MULTILINE):
            before, after = (re.sub(r"^[-+]", "", lines, flags=re.MULTILINE) for lines in (old, new))
            assert program.count(before) == 1, before
            program = program.replace(before, after)
        self.save(name, program)

    async def type(self, line):
        program, *arguments = shlex.split(line, comments=True)
        if program == "nnrp":
            arguments = ["-m", "nnrp", *arguments]
        else:
            assert program == "python", line
        if arguments == ["server.py"]:
            await self.stop()
            self.server = await self.processes.enter_async_context(start(self.folder, *arguments))
            said = await asyncio.wait_for(self.server.stdout.readline(), PATIENCE)
            assert said.split()[-1].decode() == self.port
        else:
            self.output = await printed(self.folder, *arguments)

    async def stop(self):
        if self.server:
            self.server.terminate()  # as Ctrl-C: the server ends in order
            assert await asyncio.wait_for(self.server.wait(), PATIENCE) == 0
            self.server = None


def of_others(line):
    """Installing is tried by `make wheel`, the programs in Rust by `crates/nnrp/tests/pages.rs`."""
    return line.startswith(("make ", "python3 -m venv", "my-env/", "source ", "cargo "))


async def test_the_tutorial_can_be_followed(tmp_path):
    shown = 0
    async with AsyncExitStack() as processes:
        reader = Reader(tmp_path, processes)
        for kind, name, language, text in blocks_of("tutorial.md"):
            if kind == "file":
                reader.save(name, text)
            elif kind == "change":
                reader.change(name, text)
            elif language == "sh":
                for line in text.splitlines():
                    if not of_others(line):
                        await reader.type(line)
            elif language == "text":
                assert reader.output == text
                mask, shown = text, shown + 1
        assert shown == 1
        assert reader.output == mask, "over QUIC it is the same"
        await reader.stop()


def test_the_tutorial_installs_as_the_readme_does():
    """These lines are tried as they are by `scripts/try_wheel.py` and by whoever makes the package."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = blocks_of("tutorial.md")[0][3].splitlines()
    assert all(line.split("  ")[0] in readme for line in lines if not line.startswith("source"))
