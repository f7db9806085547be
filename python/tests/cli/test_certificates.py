"""`nnrp cert`: certificates for development, and what certificates say."""

import re
import signal
import ssl
from pathlib import Path

import pytest

from nnrp.adapters import create_development_certificate
from nnrp.cli._x509 import certificates_of, parse

HERE = Path(__file__).parent


def test_make_writes_a_pair_and_replaces_nothing(commands):
    code, out, _ = commands.run("cert", "make", "made")
    assert (code, out) == (0, "made/cert.pem\nmade/key.pem\n")
    assert (commands.folder / "made" / "key.pem").stat().st_mode & 0o777 == 0o600
    code, _, err = commands.run("cert", "make", "made")
    assert (code, err) == (2, "nnrp cert: made/cert.pem is there already; --force replaces it\n")
    before = (commands.folder / "made" / "cert.pem").read_bytes()
    assert commands.run("cert", "make", "made", "--force")[0] == 0
    assert (commands.folder / "made" / "cert.pem").read_bytes() != before


async def test_what_was_made_serves_and_is_trusted(commands):
    commands.run("cert", "make")
    async with commands.serve("app:shout", "--cert", "cert.pem", "--key", "key.pem") as served:
        code, out, err = await commands.submit(served.url, "-", "--cafile", "cert.pem", stdin=b"x")
        assert (code, out) == (0, "X\n"), err
        shown = [
            await commands.in_thread("cert", "show", what, *options)
            for what, options in (
                ("cert.pem", ()),
                (served.url, ()),
                (served.url, ("--transport", "tcp")),
            )
        ]
    assert shown[0][0] == 0
    assert len(set(shown)) == 1
    assert re.search(r"names +localhost, 127\.0\.0\.1, ::1$", shown[0][1], re.MULTILINE)
    assert "ECDSA P-256" in shown[0][1]


async def test_a_server_without_quic_is_asked_over_tcp(commands):
    async with commands.serve("app:shout", "--dev-cert", "--quic-port", "off") as served:
        code, out, err = await commands.in_thread("cert", "show", served.url, "--timeout", "2")
        at_once = await commands.in_thread("cert", "show", served.url, "--transport", "tcp")
    assert code == 0, err
    assert at_once == (0, out, "")
    assert "localhost, 127.0.0.1, ::1" in out
    assert err.startswith("QUIC failed: no answer from ")
    assert err.endswith("\ngoing on over TCP; --transport tcp does not wait for QUIC\n")
    code, _, err = await commands.in_thread("cert", "show", served.url, "--timeout", "0.5")
    assert (code, "Connection refused" in err) == (3, True), err


def test_an_expired_certificate_is_shown_and_ends_with_1(commands):
    commands.write("old.pem", (HERE.parent / "expired.pem").read_bytes())
    code, out, err = commands.run("cert", "show", "old.pem")
    assert (code, err) == (1, "")
    assert "EXPIRED" in out


def test_the_reader_agrees_with_openssl(tmp_path):
    pem = create_development_certificate().certificate
    for number, text in enumerate((pem, (HERE.parent / "expired.pem").read_bytes())):
        path = tmp_path / f"{number}.pem"
        path.write_bytes(text)
        theirs = ssl._ssl._test_decode_cert(str(path))
        [ours] = certificates_of(text)
        names = {value for _, value in theirs.get("subjectAltName", ())}
        assert {name.replace("::1", "0:0:0:0:0:0:0:1") for name in ours.names} == names
        assert f"{ours.serial:X}" == theirs["serialNumber"].lstrip("0")
        assert ours.not_after.timestamp() == ssl.cert_time_to_seconds(theirs["notAfter"])
        assert ours.not_before.timestamp() == ssl.cert_time_to_seconds(theirs["notBefore"])
        common = [value for part in theirs["subject"] for name, value in part if name == "commonName"]
        assert [word for word in ours.subject.split(", ") if word.startswith("CN=")] == [
            f"CN={value}" for value in common
        ]


def test_whatever_the_bytes_are_the_reader_says_so_or_reads_them():
    der = ssl.PEM_cert_to_DER_cert(create_development_certificate().certificate.decode())
    for at in range(len(der)):
        for changed in (der[:at], der[:at] + bytes([der[at] ^ 0xFF]) + der[at + 1 :]):
            try:
                assert parse(changed).fingerprint
            except ValueError as error:
                assert str(error) == "this is not an X.509 certificate"  # noqa: PT017  # either is fine


@pytest.mark.parametrize(
    ("what", "code", "sentence"),
    [
        ("absent.pem", 1, "absent.pem: No such file or directory"),
        ("app.py", 1, "app.py: this is not an X.509 certificate"),
        ("nnrp://localhost:1", 2, "nnrp://localhost:1 is plain TCP, where nobody shows a certificate"),
        ("nnrps://localhost", 2, "no address of a server: it has no port"),
    ],
)
def test_errors_are_sentences(commands, what, code, sentence):
    answer = commands.run("cert", "show", what)
    assert answer[0] == code
    assert sentence in answer[2]
    assert answer[2].count("\n") == 1


async def test_a_renewed_certificate_is_shown_after_sighup(commands):
    commands.run("cert", "make")
    async with commands.serve("app:shout", "--cert", "cert.pem", "--key", "key.pem") as served:
        before = await commands.in_thread("cert", "show", served.url)
        commands.run("cert", "make", "--force")
        served.process.send_signal(signal.SIGHUP)
        await served.logged("were read again")
        after = [
            await commands.in_thread("cert", "show", served.url, "--transport", transport)
            for transport in ("quic", "tcp")
        ]
        (commands.folder / "key.pem").write_text("nonsense")
        served.process.send_signal(signal.SIGHUP)
        await served.logged("what was in use stays in use")
        still = await commands.in_thread("cert", "show", served.url)
    assert before[0] == 0
    assert after == [still, still]
    assert before != still
