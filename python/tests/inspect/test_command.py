"""The command line: what it prints, and how it ends."""

import io
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import captures
import pytest
from packets import INVALID, one_of

import nnrp
from nnrp.__main__ import main
from nnrp.core import MessageType

GOLDEN = Path(__file__).parent / "golden"
GOOD = one_of(MessageType.PING)
BAD = next(bytes.fromhex(vector["hex"]) for vector in INVALID if "dtype" in vector["defect"])


@pytest.fixture
def decode(tmp_path, capsys):
    """Runs the command on some bytes; answers with the exit code and both outputs."""

    def run(data, *options):
        path = tmp_path / "input"
        path.write_bytes(data)
        code = main(["decode", str(path), *options])
        return code, *capsys.readouterr()

    return run


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.hex")))
def test_golden(name, decode):
    _, out, _ = decode((GOLDEN / f"{name}.hex").read_bytes())
    assert out == (GOLDEN / f"{name}.txt").read_text()


def test_exit_codes(decode, capsys):
    assert decode(GOOD)[0] == 0
    assert decode(GOOD + BAD)[0] == 1
    code, out, err = decode(b"")
    assert (code, out, err) == (2, "", "nnrp decode: the input is empty\n")
    assert main(["decode", "no/such/file"]) == 2
    assert "no/such/file" in capsys.readouterr().err


def test_standard_input(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(GOOD.hex().encode())))
    assert main(["decode", "-"]) == 0
    assert "PING" in capsys.readouterr().out


def test_json_has_a_line_for_each_packet(decode):
    code, out, _ = decode(GOOD + BAD, "--json")
    good, bad = (json.loads(line) for line in out.splitlines())
    assert code == 1
    assert (good["index"], good["offset"], good["message"], good["legal"]) == (0, 0, "PING", True)
    assert (bad["index"], bad["offset"], bad["legal"]) == (1, 40, False)
    assert bad["violations"][0]["rule"] == "R-SEC-4"
    assert bad["violations"][0]["field"] == "dtype_id"
    header = good["fields"][0]
    assert header["fields"][3] == {
        "name": "msg_type",
        "offset": 6,
        "length": 1,
        "value": 0x20,
        "text": "PING (0x20)",
        "hex": "20",
    }


def test_a_capture_says_who_sent_what(decode):
    data = captures.pcap(captures.loopback(captures.session(GOOD, b"")))
    code, out, _ = decode(data)
    assert code == 0
    assert out.startswith("#0 22:13:20.00")
    assert " 127.0.0.1:40001 > 127.0.0.1:9000  PING, " in out
    assert decode(data, "--port", "9000")[0] == 0
    assert decode(data, "--port", "9001")[0] == 2


def test_the_limit_is_about_bytes_and_entries(decode):
    submit = one_of(MessageType.FRAME_SUBMIT)
    short, long = decode(submit, "--limit", "1")[1], decode(submit, "--limit", "100000")[1]
    assert "more" in short
    assert "more" not in long
    assert len(short) < len(long)


@pytest.mark.parametrize(
    "arguments", [["--limit", "0"], ["--limit", "x"], ["--port", "65536"], ["--format", "x"]]
)
def test_bad_arguments(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["decode", "-", *arguments])
    assert stop.value.code == 2
    assert "usage:" in capsys.readouterr().err


class Terminal(io.StringIO):
    encoding = "ascii"

    def isatty(self):
        return True


def coloured(monkeypatch, decode, *options, **environment):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    terminal = Terminal()
    with monkeypatch.context() as context:
        context.setattr("sys.stdout", terminal)
        decode(BAD, *options)
    return "\x1b[" in terminal.getvalue()


def test_colours(monkeypatch, decode):
    assert coloured(monkeypatch, decode)
    assert not coloured(monkeypatch, decode, NO_COLOR="1")
    assert not coloured(monkeypatch, decode, TERM="dumb")
    assert not coloured(monkeypatch, decode, "--color", "never")
    assert coloured(monkeypatch, decode, "--color", "always", NO_COLOR="1")
    assert "\x1b[" not in decode(BAD)[1]


def test_text_that_the_terminal_lacks(monkeypatch, decode):
    close = bytearray(one_of(MessageType.CLOSE)[:40])
    reason = "für später".encode()
    close[16:20] = len(reason).to_bytes(4, "little")
    terminal = Terminal()
    with monkeypatch.context() as context:
        context.setattr("sys.stdout", terminal)
        assert decode(bytes(close) + reason)[0] == 0
    assert '"f?r sp?ter"' in terminal.getvalue()


def program(*arguments, **options):
    return subprocess.run(  # our own interpreter
        [sys.executable, "-m", "nnrp", *arguments], capture_output=True, timeout=50, check=False, **options
    )


def test_help_has_examples():
    assert b"decode" in program("--help").stdout
    text = program("decode", "--help").stdout.decode()
    assert "examples:" in text
    assert "exit codes:" in text
    assert program().returncode == 2


def test_version():
    assert program("--version").stdout.decode() == f"nnrp {nnrp.__version__}\n"


@pytest.mark.skipif(os.name != "posix", reason="pipes break differently elsewhere")
def test_a_reader_that_has_seen_enough():
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(  # our own interpreter
        [sys.executable, "-m", "nnrp", "decode", "-"],
        input=GOOD * 3000,
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=50,
        check=False,
    )
    os.close(writing)
    assert process.returncode == 1
    assert process.stderr == b""


def test_the_output_in_the_documentation_is_real():
    page = (Path(__file__).resolve().parents[3] / "docs" / "debugging.md").read_text()
    shown = page.split("```text\n")[1].split("```")[0].splitlines()
    real = (GOLDEN / "damaged.txt").read_text().splitlines()
    assert [line for line in shown if line not in (*real, "...")] == []


def test_the_first_try_of_the_documentation_shows_a_packet():
    page = (Path(__file__).resolve().parents[3] / "docs" / "debugging.md").read_text()
    [line] = [line for line in page.splitlines() if line.startswith('python -c "from nnrp.core')]
    python = shlex.quote(sys.executable)
    command = line.replace("python -c", f"{python} -c").replace("nnrp decode", f"{python} -m nnrp decode")
    done = subprocess.run(  # noqa: S602  # a pipe, as it is typed
        command, shell=True, capture_output=True, text=True, timeout=50, check=True
    )
    assert done.stdout.startswith("#0 at 0  PING, session 1, 40 bytes\n")
