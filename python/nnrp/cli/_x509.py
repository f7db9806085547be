"""What a certificate says: the few fields people ask for, read from its DER.

Verifying is rustls's affair; this is for showing. X.509 is read as far as RFC 5280 fixes it, and what is not
as expected raises `ValueError`: certificates come from strangers.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Certificate", "certificates_of", "parse"]

_PEM: Final = re.compile(rb"-----BEGIN CERTIFICATE-----(.*?)-----END CERTIFICATE-----", re.DOTALL)

_BOOLEAN, _INTEGER, _OBJECT, _SEQUENCE, _SET = 0x01, 0x02, 0x06, 0x30, 0x31
_UTC_TIME, _LONG_TIME = 0x17, 0x18
_VERSION, _EXTENSIONS = 0xA0, 0xA3
_DNS_NAME, _IP_ADDRESS = 0x82, 0x87

#: Parts of names, keys and extensions by object identifier.
_NAMES: Final = {
    "2.5.4.3": "CN",
    "2.5.4.6": "C",
    "2.5.4.7": "L",
    "2.5.4.8": "ST",
    "2.5.4.10": "O",
    "2.5.4.11": "OU",
}
_KEYS: Final = {
    "1.2.840.113549.1.1.1": "RSA",
    "1.2.840.10045.3.1.7": "ECDSA P-256",
    "1.3.132.0.34": "ECDSA P-384",
    "1.3.132.0.35": "ECDSA P-521",
    "1.3.101.112": "Ed25519",
}
_EC_KEY: Final = "1.2.840.10045.2.1"
_ALTERNATIVE_NAMES: Final = "2.5.29.17"
_BASIC_CONSTRAINTS: Final = "2.5.29.19"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate.

    Attributes:
        subject: whom it is for.
        issuer: who signed it.
        names: hosts and addresses it is good for.
        not_before: since when.
        not_after: until when.
        key: the kind of its key.
        is_authority: whether it may sign others.
        serial: its number.
        fingerprint: SHA-256 of its DER.

    """

    subject: str
    issuer: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    key: str
    is_authority: bool
    serial: int
    fingerprint: bytes

    @property
    def is_self_signed(self) -> bool:
        """Whether subject and issuer are the same."""
        return self.subject == self.issuer


def certificates_of(data: bytes) -> list[Certificate]:
    """Return the certificates of a PEM or DER file.

    Raises:
        ValueError: there is none, or one cannot be read.

    """
    found = [base64.b64decode(match) for match in _PEM.findall(data)]
    if not found and b"-----BEGIN" in data:
        raise ValueError("the file holds no certificate")
    return [parse(der) for der in found or [data]]


def parse(der: bytes) -> Certificate:
    """Return what a certificate says.

    Raises:
        ValueError: it is none.

    """
    try:
        return _parse(der)
    except (ValueError, IndexError, StopIteration, OverflowError, binascii.Error) as error:
        raise ValueError("this is not an X.509 certificate") from error


def _parse(der: bytes) -> Certificate:
    [(_, whole)] = _elements(der, _SEQUENCE)
    signed = next(_elements(whole))
    fields = list(_elements(signed[1]))
    if fields[0][0] == _VERSION:
        del fields[0]
    (_, serial), _, (_, issuer), (_, validity), (_, subject), (_, key) = fields[:6]
    begin, end = (_time(*one) for one in _elements(validity))
    names, is_authority = _extensions(
        next((content for tag, content in fields[6:] if tag == _EXTENSIONS), b"")
    )
    return Certificate(
        subject=_name(subject),
        issuer=_name(issuer),
        names=names,
        not_before=begin,
        not_after=end,
        key=_key(key),
        is_authority=is_authority,
        serial=int.from_bytes(serial, "big"),
        fingerprint=hashlib.sha256(der).digest(),
    )


def _elements(data: bytes, expected: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield tag and content of the elements that follow each other."""
    at = 0
    while at < len(data):
        tag, length = data[at], data[at + 1]
        at += 2
        if length & 0x80:
            count = length & 0x7F
            if not 1 <= count <= 4:  # noqa: PLR2004  # 4 GiB
                raise ValueError("length")
            length = int.from_bytes(data[at : at + count], "big")
            at += count
        if at + length > len(data) or expected not in (None, tag):
            raise ValueError("element")
        yield tag, data[at : at + length]
        at += length


def _identifier(content: bytes) -> str:
    parts = [min(content[0] // 40, 2)]
    parts.append(content[0] - 40 * parts[0])
    value = 0
    for byte in content[1:]:
        value = value << 7 | byte & 0x7F
        if not byte & 0x80:
            parts.append(value)
            value = 0
    return ".".join(map(str, parts))


def _name(content: bytes) -> str:
    """Return a distinguished name such as ``CN=localhost, O=Example``."""
    words: list[str] = []
    for _, relative in _elements(content, _SET):
        for _, pair in _elements(relative, _SEQUENCE):
            (_, kind), (_, value) = _elements(pair)
            identifier = _identifier(kind)
            text = "".join(one if one.isprintable() else "?" for one in value.decode("utf-8", "replace"))
            words.append(f"{_NAMES.get(identifier, identifier)}={text}")
    return ", ".join(words)


def _time(tag: int, content: bytes) -> datetime:
    text = content.decode("ascii")
    if tag == _UTC_TIME:  # two digits: 1950 to 2049
        text = ("20" if int(text[:2]) < 50 else "19") + text  # noqa: PLR2004
    elif tag != _LONG_TIME:
        raise ValueError("time")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _key(content: bytes) -> str:
    (_, algorithm), (_, bits) = _elements(content)
    parts = list(_elements(algorithm))
    identifier = _identifier(parts[0][1])
    if identifier == _EC_KEY and len(parts) > 1 and parts[1][0] == _OBJECT:
        identifier = _identifier(parts[1][1])
    name = _KEYS.get(identifier, identifier)
    if name == "RSA":
        [(_, numbers)] = _elements(bits[1:])
        modulus = next(_elements(numbers, _INTEGER))[1]
        return f"RSA {int.from_bytes(modulus, 'big').bit_length()}"
    return name


def _extensions(content: bytes) -> tuple[tuple[str, ...], bool]:
    names: tuple[str, ...] = ()
    is_authority = False
    for _, several in _elements(content, _SEQUENCE):
        for _, extension in _elements(several, _SEQUENCE):
            (_, kind), *_, (_, value) = _elements(extension)
            identifier = _identifier(kind)
            if identifier == _ALTERNATIVE_NAMES:
                names = tuple(_alternative_names(value))
            elif identifier == _BASIC_CONSTRAINTS:
                [(_, constraints)] = _elements(value, _SEQUENCE)
                is_authority = any(tag == _BOOLEAN and any(flag) for tag, flag in _elements(constraints))
    return names, is_authority


def _alternative_names(value: bytes) -> Iterator[str]:
    [(_, several)] = _elements(value, _SEQUENCE)
    for tag, content in _elements(several):
        if tag == _DNS_NAME:
            yield content.decode("ascii", "replace")
        elif tag == _IP_ADDRESS:
            yield str(ipaddress.ip_address(content))
