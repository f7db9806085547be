"""Every command line of the documentation and of `--help` runs."""

import json
import re
import shlex
import tomllib
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from nnrp.adapters import create_development_certificate
from nnrp.cli.main import build_parser

ROOT = Path(__file__).parents[3]
PAGES = ("docs/command.md", "docs/deploying.md")
BLOCK = re.compile(r"```sh\n(.*?)```", re.DOTALL)
FILE = re.compile(r"<!-- file (\S+) -->\n```python\n(.*?)```", re.DOTALL)
HELP = re.compile(r"^  (nnrp .*?)(?:   .*)?$", re.MULTILINE)
COMMANDS = ("serve", "submit", "probe", "bench", "cert", "decode")


def lines_of(text):
    return [line for block in BLOCK.findall(text) for line in block.splitlines() if line.startswith("nnrp ")]


def shown():
    for page in PAGES:
        for line in lines_of((ROOT / page).read_text(encoding="utf-8")):
            yield pytest.param(line, id=f"{page}: {line}")


@pytest.fixture
def workplace(commands):
    """The files that the documentation speaks of."""
    for name, text in FILE.findall((ROOT / "docs/command.md").read_text(encoding="utf-8")):
        commands.write(name, text)
    picture = np.zeros((96, 128, 3), np.uint8)
    for name in ("a", "b"):
        np.save(commands.folder / f"{name}.npy", picture)
    Image.fromarray(picture).save(commands.folder / "photo.png")
    made = create_development_certificate()
    commands.write("cert.pem", made.certificate)
    commands.write("key.pem", made.private_key)
    commands.write("tokens", "a-token\n")
    return commands


@pytest.mark.parametrize("line", list(shown()))
async def test_a_line_of_the_documentation_runs(workplace, line):
    program, command, *arguments = shlex.split(line, comments=True)
    assert program == "nnrp"
    if command == "serve":
        # Any port will do where the documentation names one.
        handler, *options = arguments
        free = ["0" if before.endswith("-port") else option for before, option in pairwise(["", *options])]
        async with workplace.serve(handler, *free) as served:
            code, _ = await served.stop()
        assert code == 0
    else:
        async with workplace.serve("app:handle", "--dev-cert") as served:
            here = [argument.replace(":4433", f":{served.port}") for argument in arguments]
            if command == "probe":
                here += ["--port", served.port]
            elif "show" in here:  # what the line before has made
                await workplace.in_thread("cert", "make", "certificates/")
            code, _, err = await workplace.in_thread(command, *here)
        assert code == 0, err


def test_pages_name_all_packages_that_the_command_can_use():
    settings = tomllib.loads((ROOT / "python/pyproject.toml").read_text(encoding="utf-8"))
    extra = {re.match(r"[\w-]+", one)[0] for one in settings["project"]["optional-dependencies"]["cli"]}
    for page in ("README.md", "docs/command.md"):
        shown = re.findall(r"pip install ([\w \n-]*)`", (ROOT / page).read_text(encoding="utf-8"))
        assert extra in [set(names.split()) for names in shown], page


def test_nothing_is_said_to_be_published_that_is_not():
    """Until the first release `pip install nnrp` finds nothing, or something of somebody else's."""
    assert "There is no release on PyPI yet" in (ROOT / "README.md").read_text(encoding="utf-8")
    places = [ROOT / "README.md", *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
    places += ROOT.glob("python/nnrp/**/*.py")
    for place in places:
        if place.name != "releasing.md":
            found = re.search(r"pip install [^\n`]*(?<![/\w])nnrp\b(?!-)", place.read_text(encoding="utf-8"))
            assert found is None, f"{place}: {found}"


def test_help_has_examples_for_each_command(commands):
    for command in COMMANDS:
        code, out, _ = commands.run(command, "--help")
        assert code == 0
        assert f"\n  nnrp {command} " in out or f"| nnrp {command} " in out
        assert "exit codes:" in out
    code, out, _ = commands.run("--help")
    assert code == 0
    assert all(f"    {command} " in out for command in COMMANDS)


@pytest.mark.parametrize("command", [*COMMANDS])
def test_the_arguments_of_examples_are_understood(command):
    """Examples of `--help` that would need a network are parsed, and not run."""
    parser = build_parser(command)
    choices = parser._subparsers._group_actions[0].choices
    lines = HELP.findall(choices[command].format_help())
    examples = [line for line in lines if line.startswith(f"nnrp {command} ")]
    assert examples
    for line in examples:
        parsed = parser.parse_args(shlex.split(re.split(r" [|>] ", line)[0])[1:])
        assert parsed.command == command


def test_the_deployment_examples_say_what_the_command_understands():
    """A unit and an image that would fail where they are started are of no use."""
    unit = (ROOT / "examples/deploy/nnrp.service").read_text(encoding="utf-8")
    start = re.search(r"^ExecStart=(.*?[^\\])\n", unit, re.MULTILINE | re.DOTALL).group(1)
    image = (ROOT / "examples/deploy/Containerfile").read_text(encoding="utf-8")
    lists = [
        json.loads(found)
        for found in re.findall(r"^(?:ENTRYPOINT|CMD) (\[.*?\])$", image.replace("\\\n", ""), re.MULTILINE)
    ]
    for line in (shlex.split(start.replace("\\\n", "")), lists[0] + lists[1]):
        program, command, *arguments = line
        assert Path(program).name == "nnrp"
        parsed = build_parser(command).parse_args([command, *arguments])
        assert parsed.handler == "app:handle"
        assert parsed.metrics_port == parsed.health_port == 9464
    assert "ExecReload=/bin/kill -HUP $MAINPID\n" in unit
    seconds = int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE).group(1))
    assert seconds >= build_parser("serve").parse_args(["serve", "app:handle"]).drain + 10
