"""How `nnrp serve` begins and ends, and whom it lets in."""

import signal

import pytest

from nnrp.adapters import create_tcp_client_configuration
from nnrp.client import SubmitRequest, TypedPayload, dial_client
from nnrp.errors import NnrpAuthenticationError, NnrpProtocolError

STEP = 20.0


def dial(served, token=b""):
    return dial_client(
        served.url,
        config=create_tcp_client_configuration(),
        auth_block=token,
        timeout=STEP,
        requested_session_id=0,
    )


def prompt(text, frame_id=1):
    return SubmitRequest(frame_id=frame_id, typed_payloads=(TypedPayload.token_chunk(text.encode()),))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_the_exit_code_is_0(commands, number):
    async with commands.serve("app:held", "--plain") as served, dial(served) as session:
        await session.submit_frame(prompt("x"), timeout=STEP)
        await served.logged("begun")
        served.process.send_signal(number)
        await served.logged("draining")
        commands.write("1", b"")
        result = await session.receive_result(STEP, frame_id=1)
        code, records = await served.ended()
    assert result.token_chunks == (b"at last",)
    assert code == 0
    assert any("drained: Drained(answered=1" in record["message"] for record in records)


async def test_a_handler_that_never_returns_does_not_keep_the_process(commands):
    async with commands.serve("app:slow", "--plain", "--drain", "0.2") as served, dial(served) as session:
        await session.submit_frame(prompt("3600"), timeout=STEP)
        await served.logged("begun")
        code, _ = await served.stop()
        result = await session.receive_result(STEP, frame_id=1)
    assert (code, result.is_drop) == (0, True)


async def test_both_transports_have_the_same_port(commands):
    async with commands.serve("app:shout", "--dev-cert") as served:
        assert set(served.addresses) == {"quic", "tcp"}
        assert len(set(served.addresses.values())) == 1


async def test_only_those_with_a_token_are_let_in(commands):
    tokens = commands.write("tokens", "# people\nalice-token\n\nbob-token\n")
    async with commands.serve("app:shout", "--plain", "--auth-token-file", tokens) as served:
        for token in (b"alice-token", b"bob-token"):
            async with dial(served, token) as session:
                assert (await session.submit(prompt("a"), timeout=STEP)).token_chunks == (b"A",)
        for token in (b"", b"alice", b"# people", b"alice-token\n"):
            with pytest.raises(NnrpAuthenticationError):
                await dial(served, token)


@pytest.mark.parametrize("decided", [True, False])
async def test_admitting_everybody_is_warned_about_where_others_can_connect(commands, decided):
    tokens = commands.write("tokens", "token\n")
    options = ("--auth-token-file", tokens) if decided else ()
    async with commands.serve("app:shout", "--plain", "--host", "0.0.0.0", *options) as served:  # noqa: S104
        _, records = await served.stop()
    warned = [record for record in records if "everybody who reaches" in record["message"]]
    assert len(warned) == (0 if decided else 1)


async def test_tokens_are_read_again_on_sighup(commands):
    tokens = commands.write("tokens", "old\n")
    async with commands.serve("app:shout", "--plain", "--auth-token-file", tokens) as served:
        async with dial(served, b"old"):
            pass
        tokens.write_text("new\n")
        served.process.send_signal(signal.SIGHUP)
        await served.logged("were read again")
        async with dial(served, b"new"):
            pass
        with pytest.raises(NnrpAuthenticationError):
            await dial(served, b"old")
        tokens.write_text("\n")
        served.process.send_signal(signal.SIGHUP)
        assert "holds no token" in (await served.logged("stays in use"))["message"]
        async with dial(served, b"new"):
            pass


async def test_a_server_that_is_full_sends_clients_away(commands):
    async with commands.serve("app:shout", "--plain", "--max-sessions", "1") as served:
        async with dial(served) as session:
            await session.submit(prompt("a"), timeout=STEP)
            with pytest.raises(NnrpProtocolError) as refused:
                await dial(served)
            assert refused.value.retry_after_ms == 1000
        await served.logged("the session is over")
        async with dial(served):
            pass


async def test_a_changed_handler_is_read_again_and_sessions_stay(commands):
    app = commands.write("fresh.py", "def handle(submit):\n    return 'one'\n")
    async with commands.serve("fresh:handle", "--plain", "--reload") as served, dial(served) as session:
        assert (await session.submit(prompt("?"), timeout=STEP)).token_chunks == (b"one",)
        app.write_text("def handle(submit):\n    return 'two'\n")
        await served.logged("the handler was read again")
        assert (await session.submit(prompt("?", 2), timeout=STEP)).token_chunks == (b"two",)
        app.write_text("def handle(submit) return\n")
        assert "SyntaxError" in (await served.logged("stays as it was"))["message"]
        assert (await session.submit(prompt("?", 3), timeout=STEP)).token_chunks == (b"two",)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["app", "--plain"], "'app' is not module:function, such as app:handle"),
        (["nowhere:handle", "--plain"], "there is no module 'nowhere' in "),
        (["app:nowhere", "--plain"], "app has no 'nowhere'"),
        (["app:number", "--plain"], "app:number is a int and cannot be called"),
        (["app:shout"], "QUIC and TLS need a certificate: --cert and --key, "),
        (["app:shout", "--plain", "--dev-cert"], "--plain is without encryption, and "),
        (["app:shout", "--plain", "--quic-port", "0"], "QUIC is always encrypted: "),
        (["app:shout", "--plain", "--tcp-port", "off"], "QUIC and TCP are both off: "),
        (["app:shout", "--dev-cert", "--cert", "x"], "--cert and --dev-cert are two certificates; "),
    ],
)
def test_wrong_arguments_are_sentences(commands, arguments, sentence):
    code, out, err = commands.run("serve", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(f"nnrp serve: {sentence}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "content", "sentence"),
    [
        (["--cert", "given"], "no PEM", "no certificate found"),
        (["--cert", "absent"], "", "absent: No such file or directory"),
        (["--plain", "--auth-token-file", "given"], "# nobody\n", "given holds no token: "),
        (["--plain", "--host", "192.0.2.1"], "", "cannot serve TCP on 192.0.2.1 port "),
    ],
)
def test_what_cannot_be_served_is_a_sentence(commands, arguments, content, sentence):
    commands.write("given", content)
    code, _, err = commands.run("serve", "app:shout", "--port", "0", *arguments)
    assert code == 1
    assert sentence in err
    assert err.startswith("nnrp serve: ")
    assert err.count("\n") == 1


def test_a_module_that_fails_says_where(commands):
    commands.write("bad.py", "\nx = 1 / 0\n")
    code, _, err = commands.run("serve", "bad:handle", "--plain")
    assert code == 1
    assert err == "nnrp serve: importing bad failed: ZeroDivisionError: division by zero (bad.py, line 2)\n"
    assert "Traceback" in commands.run("serve", "bad:handle", "--plain", "--debug")[2]
