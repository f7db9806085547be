"""Certificates: what configurations are given, and what the native half gets."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass, field
from os import PathLike
from typing import TypeAlias

from nnrp import _native
from nnrp.core._base import Value

#: A PEM file, or PEM as ``bytes``.
PemSource: TypeAlias = str | PathLike[str] | bytes

#: A file for TLS secrets, ``None`` for none.
KeyLog: TypeAlias = str | PathLike[str] | None

#: Certificate, private key, roots of client certificates, whether clients need one, where secrets are
#: written; for ``_native``.
ServerSide: TypeAlias = tuple[bytes, bytes, bytes | None, bool, KeyLog]
#: Name to verify, roots, whether to verify, certificate and key to show, where secrets are written; likewise.
ClientSide: TypeAlias = tuple[str, bytes | None, bool, tuple[bytes, bytes] | None, KeyLog]


#: What marks them in PEM; there are several kinds of private keys.
_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_KEY = b" PRIVATE KEY-----"


def read_pem(source: PemSource) -> bytes:
    """Return the PEM that ``source`` is or names.

    Raises:
        OSError: a file cannot be read.

    """
    return bytes(source) if isinstance(source, bytes | bytearray | memoryview) else _contents(source)


def _contents(path: str | PathLike[str]) -> bytes:
    with open(path, "rb") as file:  # noqa: PTH123  # importing pathlib takes longer than most of this package
        return file.read()


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Roots(Value):
    """Trusted certificates: a file, a directory, PEM, or several of them."""

    cafile: str | PathLike[str] | None = None
    capath: str | PathLike[str] | None = None
    cadata: str | bytes | None = None

    def __bool__(self) -> bool:
        return any(source is not None for source in (self.cafile, self.capath, self.cadata))

    def read(self) -> bytes | None:
        """Return them as PEM, ``None`` for the platform's.

        Raises:
            OSError: a file cannot be read.
            ValueError: there is no certificate in one of them.

        """
        parts: dict[str, bytes] = {}
        if self.cafile is not None:
            parts[f"cafile {self.cafile}"] = _contents(self.cafile)
        if self.capath is not None:
            with os.scandir(self.capath) as entries:
                names = sorted(entry.path for entry in entries if entry.is_file())
            parts[f"capath {self.capath}"] = b"\n".join(map(_contents, names))
        if self.cadata is not None:
            parts["cadata"] = self.cadata.encode() if isinstance(self.cadata, str) else bytes(self.cadata)
        for source, pem in parts.items():
            _require_certificates(source, pem)
        return b"\n".join(parts.values()) if parts else None


def _require_certificates(source: str, pem: bytes) -> None:
    """Refuse a wrong file when it is named, and not only when it is used."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem.decode("ascii", "replace"))
    except (ssl.SSLError, ValueError) as error:
        raise ValueError(f"no trusted certificate found in {source}: {error}") from None


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Identity(Value):
    """A certificate and its key, which a file of both may hold."""

    certificate: PemSource = field(repr=False)
    private_key: PemSource | None = field(repr=False, default=None)

    def read(self) -> tuple[bytes, bytes]:
        """Return both as PEM.

        Raises:
            OSError: a file cannot be read.
            ValueError: the contents are not a certificate chain and its private key.

        """
        certificate = read_pem(self.certificate)
        private_key = read_pem(self.private_key) if self.private_key is not None else certificate
        try:
            _native.check_identity(certificate, private_key)
        except ValueError as error:
            raise ValueError(f"{error}{self._described(certificate, private_key)}") from None
        return certificate, private_key

    def _described(self, certificate: bytes, private_key: bytes) -> str:
        """Say for an error which files these are, and what is easily mistaken about them."""
        names = [
            str(name) for name in (self.certificate, self.private_key) if isinstance(name, str | PathLike)
        ]
        where = f" (in {' and '.join(names)})" if names else ""
        if _KEY in certificate and _CERTIFICATE not in certificate and _CERTIFICATE in private_key:
            return f"{where}: certificate and private key are swapped"
        return where


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ServerTls(Value):
    """What a listener shows its clients, and what it wants to see of them."""

    identity: Identity
    roots: Roots
    verify_mode: ssl.VerifyMode
    key_log: KeyLog = None

    def read(self) -> ServerSide:
        """Return what the native half takes, from the files as they are now.

        Raises:
            OSError: a file cannot be read.
            ValueError: it holds something else, or clients shall be verified and nobody says against what.

        """
        certificate, private_key = self.identity.read()
        if self.verify_mode is ssl.CERT_NONE:
            return certificate, private_key, None, False, self.key_log
        if not self.roots:
            raise ValueError(
                "clients shall show certificates: name their authority in cafile, capath or cadata"
            )
        required = self.verify_mode is ssl.CERT_REQUIRED
        return certificate, private_key, self.roots.read(), required, self.key_log

    def with_identity(self, identity: Identity) -> ServerTls:
        return ServerTls(identity, self.roots, self.verify_mode, self.key_log)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class ClientTls(Value):
    """Whom a client believes, and what it shows a server that asks."""

    server_name: str | None
    roots: Roots
    verify_mode: ssl.VerifyMode
    identity: Identity | None
    key_log: KeyLog = None

    def read(self, host: str) -> ClientSide:
        """Return what the native half takes to connect to ``host``. Raises like :meth:`ServerTls.read`."""
        return (
            self.server_name or host,
            self.roots.read(),
            self.verify_mode is not ssl.CERT_NONE,
            self.identity.read() if self.identity is not None else None,
            self.key_log,
        )


def parse_address(address: str) -> tuple[bool, str, int]:
    """Return whether ``nnrps://host:port`` (or ``nnrp://``, plain) asks for TLS, its host, and its port.

    Raises:
        ValueError: it is no address.

    """
    return _native.parse_address(address)
