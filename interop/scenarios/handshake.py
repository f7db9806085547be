"""Opening and ending a session."""

from __future__ import annotations

from interop.model import (
    LOSS_TOLERANCE,
    OPAQUE_BYTES,
    PAYLOAD_CAPABILITIES,
    TOKEN_CHUNK,
    Exchange,
    Extension,
    Hello,
    Prevented,
    Push,
    Scenario,
    Server,
    Submit,
    Typed,
    content,
)

VENDOR_EXTENSION, UNKNOWN_EXTENSION, CRITICAL = 0x8001, 0x8002, 1


def echo(frame_id: int, text: bytes = b"echo") -> Exchange:
    """The smallest useful exchange: one token chunk each way."""
    payload = (Typed(TOKEN_CHUNK, text),)
    return Exchange((Submit(frame_id, typed_payloads=payload),), (Push(frame_id, typed_payloads=payload),))


SCENARIOS = (
    Scenario("hello", steps=(echo(1),)),
    Scenario("hello-no-model-name", steps=(echo(1),), server=Server(model_name="")),
    Scenario("hello-model-name-utf8", steps=(echo(1),), server=Server(model_name="sr-\u00d72")),
    Scenario("hello-requested-session-id", steps=(echo(1),), hello=Hello(requested_session_id=0xFFFF_FFFE)),
    Scenario("hello-server-session-id", steps=(echo(1),), server=Server(session_id=77)),
    Scenario(
        "hello-session-id-zero",
        steps=(echo(1),),
        hello=Hello(requested_session_id=0),
        prevented=(Prevented("server", "rc2's server confirms id 0 instead of assigning one (D-SID)"),),
    ),
    Scenario("hello-auth-block", steps=(echo(1),), hello=Hello(auth_block=b"\x00token\xff" * 8)),
    Scenario("hello-auth-block-32-kib", steps=(echo(1),), hello=Hello(auth_block=content("auth", 32 << 10))),
    Scenario("hello-requested-model", steps=(echo(1),), hello=Hello(requested_model="upscale-\u00d72")),
    Scenario(
        "hello-auth-accepted",
        steps=(echo(1),),
        hello=Hello(auth_block=b"s3cret"),
        server=Server(token=b"s3cret"),
        prevented=(Prevented("server", "rc2's server has no auth validator (D-AUTH)"),),
    ),
    Scenario(
        "hello-auth-refused",
        hello=Hello(auth_block=b"guess"),
        server=Server(token=b"s3cret"),
        ending="refused",
        prevented=(Prevented("server", "rc2's server has no auth validator (D-AUTH)"),),
    ),
    Scenario("hello-transport-selected", steps=(echo(1),), hello=Hello(choice="selected")),
    Scenario("hello-transport-forced", steps=(echo(1),), hello=Hello(choice="forced")),
    Scenario(
        "hello-extensions-and-auth",
        steps=(echo(1),),
        hello=Hello(
            choice="selected",
            auth_block=b"tok",
            extensions=(
                Extension(LOSS_TOLERANCE, bytes((2, 0, 0, 0, 0, 0, 0, 0))),
                Extension(PAYLOAD_CAPABILITIES, bytes((0x7F, 0, 0, 0, 0, 0, 0, 0))),
                Extension(VENDOR_EXTENSION, b"vendor data"),
            ),
        ),
    ),
    Scenario(
        "hello-critical-refused",
        hello=Hello(extensions=(Extension(UNKNOWN_EXTENSION, b"", CRITICAL),)),
        ending="refused",
        prevented=(Prevented("server", "rc2's server ignores the critical flag (D-EXTIGN)"),),
    ),
    Scenario(
        "hello-profile",
        steps=(echo(1),),
        hello=Hello(max_views=3, max_cache_entries=9, max_cache_bytes=4096),
        server=Server(max_concurrent_frames=5, max_sections=4, max_body_bytes=1 << 20),
    ),
    Scenario(
        "hello-no-cache", steps=(echo(1),), hello=Hello(enable_cache=False), server=Server(enable_cache=False)
    ),
    Scenario(
        "hello-after-probe",
        steps=(echo(1),),
        hello=Hello(probe=True),
        prevented=(Prevented("server", "rc2's ordinary server refuses probes (D-PROBE)"),),
    ),
    Scenario("sessions-concurrent", steps=(echo(1), echo(2)), sessions=4),
    Scenario("close-by-server", steps=(echo(1),), ending="server"),
    Scenario(
        "close-right-after-result",
        steps=(echo(1),),
        ending="result",
        prevented=(
            Prevented(
                "both", "rc2's client discards results it has not read when the transport ends (D-RACE)"
            ),
        ),
    ),
    Scenario(
        "close-right-after-large-result",
        steps=(
            Exchange(
                (Submit(1, typed_payloads=(Typed(TOKEN_CHUNK, b"large"),)),),
                (Push(1, typed_payloads=(Typed(OPAQUE_BYTES, content("large", 1 << 20)),)),),
            ),
        ),
        ending="result",
        prevented=(
            Prevented(
                "both", "rc2's client discards results it has not read when the transport ends (D-RACE)"
            ),
            Prevented(
                "server",
                "rc2's server ends the transport at once and loses what it had not sent (D-RACE)",
                "quic",
            ),
        ),
    ),
)
