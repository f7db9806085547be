"""From files to frames, and from results to files."""

import numpy as np
import pytest
from PIL import Image

RNG = np.random.default_rng(1)
PICTURE = RNG.integers(0, 256, (30, 50, 3), np.uint8)


@pytest.mark.parametrize("transport", ["auto", "quic", "tcp"])
async def test_an_array_goes_out_and_a_result_comes_back(commands, transport):
    np.save(commands.folder / "in.npy", PICTURE)
    async with commands.serve("app:negative", "--dev-cert") as served:
        options = ("--dev-cert", "--transport", transport, "--out", "out.npy")
        code, out, err = await commands.submit(served.url, "in.npy", *options)
    assert (code, out) == (0, ""), err
    assert np.array_equal(np.load(commands.folder / "out.npy"), 255 - PICTURE)
    assert f"over {'TCP' if transport == 'tcp' else 'QUIC'}, session " in err
    assert "out.npy: 30 x 50 x 3 uint8" in err


async def test_a_server_without_quic_is_asked_over_tcp_and_the_wait_is_explained(commands):
    async with commands.serve("app:shout", "--dev-cert", "--quic-port", "off") as served:
        options = ("--dev-cert", "--timeout", "2")
        code, out, err = await commands.submit(served.url, "-", *options, stdin=b"x")
    assert (code, out) == (0, "X\n"), err
    failed, hint, reached, _ = err.splitlines()
    assert failed.startswith(f"QUIC failed: no answer from {served.url[8:]} over QUIC within 2 s"), failed
    assert hint == "going on over TCP; --transport tcp does not wait for QUIC"
    assert "over TCP, session " in reached


async def test_a_picture_in_tiles_is_put_together_again(commands):
    np.save(commands.folder / "in.npy", PICTURE)
    async with commands.serve("app:together_again", "--plain") as served:
        code, _, err = await commands.submit(served.url, "in.npy", "--tiles", "16x16", "--out", "out.npy")
    assert code == 0, err
    doubled = PICTURE.repeat(2, axis=0).repeat(2, axis=1)
    assert np.array_equal(np.load(commands.folder / "out.npy"), doubled)


async def test_png_in_png_out(commands):
    Image.fromarray(PICTURE).save(commands.folder / "in.png")
    async with commands.serve("app:negative", "--plain") as served:
        code, _, err = await commands.submit(served.url, "in.png", "--out", "out.png")
    assert code == 0, err
    with Image.open(commands.folder / "out.png") as made:
        assert np.array_equal(np.asarray(made), 255 - PICTURE)


async def test_an_array_that_is_no_picture_keeps_its_shape(commands):
    np.save(commands.folder / "in.npy", np.arange(60, dtype=np.float32).reshape(3, 4, 5))
    async with commands.serve("app:negative", "--plain") as served:
        assert (await commands.submit(served.url, "in.npy", "--out", "out.npy"))[0] == 0
        shaped = ("--out-shape", "12,5", "--out", "shaped.npy")
        assert (await commands.submit(served.url, "in.npy", *shaped))[0] == 0
    assert np.load(commands.folder / "out.npy").shape == (3, 4, 5)
    assert np.load(commands.folder / "shaped.npy").shape == (12, 5)


async def test_text_is_shown_as_it_comes(commands):
    async with commands.serve("app:words", "--plain") as served:
        code, out, _ = await commands.submit(served.url, "-", stdin=b"once upon a time")
    assert (code, out) == (0, "once upon a time \n")


async def test_text_goes_into_a_file(commands):
    commands.write("prompt.txt", "hello")
    async with commands.serve("app:shout", "--plain") as served:
        code, out, _ = await commands.submit(served.url, "prompt.txt", "--out", "answer.txt")
    assert (code, out) == (0, "")
    assert (commands.folder / "answer.txt").read_text() == "HELLO"


async def test_several_files_go_into_a_folder(commands):
    for name in ("a", "b"):
        np.save(commands.folder / f"{name}.npy", PICTURE)
    async with commands.serve("app:negative", "--plain") as served:
        code, _, err = await commands.submit(served.url, "a.npy", "b.npy", "--out", "made/")
        assert code == 0, err
        code, _, err = await commands.submit(served.url, "a.npy", "b.npy", "--out", "one.npy")
        assert (code, "name a folder" in err) == (2, True)
        code, _, err = await commands.submit(served.url, "a.npy", "./a.npy", "--out", "made/")
        assert (code, "in the same place" in err) == (2, True)
    assert {path.name for path in (commands.folder / "made").iterdir()} == {"a.npy", "b.npy"}


async def test_a_drop_has_an_exit_code_of_its_own(commands):
    async with commands.serve("app:busy", "--plain") as served:
        code, _, err = await commands.submit(served.url, "-", stdin=b"x")
    assert code == 5
    assert "standard input: dropped by the server, SERVER_BUSY" in err


async def test_a_result_that_does_not_come_is_waited_for_so_long(commands):
    async with commands.serve("app:stuck", "--plain") as served:
        code, _, err = await commands.submit(served.url, "-", "--timeout", "0.3", stdin=b"x")
    assert code == 3
    assert err.splitlines()[-1] == "nnrp submit: no result of frame 1 within 0.3 s"


async def test_a_token_comes_from_a_file_or_the_environment(commands):
    tokens = commands.write("tokens", "secret\n")
    async with commands.serve("app:shout", "--plain", "--auth-token-file", tokens) as served:
        code, _, err = await commands.submit(served.url, "-", stdin=b"x")
        assert code == 4
        assert err.startswith("nnrp submit: the server did not let us in, and was given no token: --")
        wrong = commands.write("wrong", "guessed\n")
        code, _, err = await commands.submit(served.url, "-", "--token-file", wrong, stdin=b"x")
        assert code == 4
        assert err.startswith("nnrp submit: the server did not accept the token: ")
        assert (await commands.submit(served.url, "-", "--token-file", tokens, stdin=b"x"))[0] == 0
        commands.variables["NNRP_TOKEN"] = "secret"  # noqa: S105
        assert (await commands.submit(served.url, "-", stdin=b"x"))[0] == 0


async def test_a_server_with_tls_is_verified(commands):
    async with commands.serve("app:shout", "--dev-cert") as served:
        code, _, err = await commands.submit(served.url, "-", stdin=b"x")
        assert (code, "--dev-cert trusts the development certificate" in err) == (3, True), err
        plain = served.url.replace("nnrps", "nnrp")
        code, _, err = await commands.submit(plain, "-", stdin=b"x")
        assert (code, "nnrps:// is the address of a server with TLS" in err) == (3, True), err
        assert (await commands.submit(served.url, "-", "--insecure", stdin=b"x"))[0] == 0
        files = commands.folder / "state" / "nnrp"
        cafile = files / "development-cert.pem"
        assert (await commands.submit(served.url, "-", "--cafile", cafile, stdin=b"x"))[0] == 0
        assert (files / "development-key.pem").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["localhost:1", "-"], 2, '"localhost:1" is no address of a server: it has no scheme'),
        (["nnrp://127.0.0.1:1", "-"], 3, "cannot connect to 127.0.0.1:1: Connection refused"),
        (["nnrp://127.0.0.1:1", "-", "--transport", "quic"], 2, "nnrp://127.0.0.1:1 is plain TCP; "),
        (["nnrp://127.0.0.1:1", "absent.npy"], 1, "absent.npy: No such file or directory"),
        (["nnrp://127.0.0.1:1", "bad.npy"], 1, "bad.npy is not an array that numpy.save has written"),
        (["nnrp://127.0.0.1:1", "what.bin"], 2, "what.bin may hold anything: "),
        (["nnrp://127.0.0.1:1", "bad.npy", "--as", "text"], 1, "bad.npy is not UTF-8 text; "),
        (["nnrp://127.0.0.1:1", "a.txt", "--tiles", "8x8"], 2, "--tiles and --shape are for pictures "),
        (["nnrps://127.0.0.1:1", "a.txt", "--dev-cert"], 1, "there is no "),
        (["nnrps://127.0.0.1:1", "a.txt", "--dev-cert", "--insecure"], 2, "--cafile, --dev-cert and "),
        (["nnrps://127.0.0.1:1", "a.txt", "--key", "k"], 2, "--key needs --cert"),
        (["nnrps://nowhere.invalid:1", "a.txt"], 3, "no address for host 'nowhere.invalid': "),
        (["nnrps://127.0.0.1:1", "a.txt", "--cafile", "absent"], 1, "absent: No such file or directory"),
    ],
)
def test_errors_are_sentences(commands, arguments, code, sentence):
    commands.write("bad.npy", b"\x93NUMPY\xff\xff")
    commands.write("what.bin", b"?")
    commands.write("a.txt", b"text")
    answer = commands.run("submit", *arguments)
    assert answer[0] == code, answer
    assert sentence in answer[2]
    assert answer[2].startswith("nnrp submit: ")
    assert answer[2].count("\n") == 1
