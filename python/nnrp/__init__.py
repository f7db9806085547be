"""NNRP/1, the Neural Network Runtime Protocol, for asyncio servers and clients.

Start here. To serve:

* ``create_quic_server_configuration`` and ``serve_quic`` (:mod:`nnrp.adapters`): a certificate, and a
  listener (``serve_tcp`` for TCP, with a certificate or, on one machine, plain);
* ``accept_server_session`` (:mod:`nnrp.server`): lets the next client in, and returns its session;
* ``ServerSession`` (:mod:`nnrp.server`): ``receive_submit``, then ``send_result`` or ``send_result_drop``.

To use a server:

* ``create_quic_client_configuration`` (:mod:`nnrp.adapters`): whom to trust;
* ``dial_client`` (:mod:`nnrp.client`): opens a session;
* ``ClientSession`` (:mod:`nnrp.client`): ``submit``, or ``submit_frame`` and ``receive_result``;
* ``SubmitRequest`` (:mod:`nnrp.client`): what is submitted.

In both:

* ``TensorSectionData`` (:mod:`nnrp.core`) and ``TypedPayload`` (:mod:`nnrp.client`): what frames and results
  are made of.

This module re-exports the packet layer of :mod:`nnrp.core`, the transports of :mod:`nnrp.adapters`, and every
exception of :mod:`nnrp.errors`; names of :mod:`nnrp.server` and :mod:`nnrp.client` are imported from there.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from nnrp import core, errors
from nnrp._native import __version__ as __version__  # re-exported
from nnrp.errors import *  # the re-export is the point

if TYPE_CHECKING:
    from nnrp.adapters import *
    from nnrp.core import *

__all__ = [
    "NNRP_ALPN",
    "NNRP_CURRENT_ALPN",
    "NNRP_TCP_ALPN",
    "DevelopmentCertificate",
    "NnrpQuicConnection",
    "NnrpQuicListener",
    "NnrpTcpClientConfiguration",
    "NnrpTcpConnection",
    "NnrpTcpListener",
    "NnrpTcpServerConfiguration",
    "QuicConfiguration",
    "alpn_for_wire_format",
    "connect_quic",
    "connect_tcp",
    "create_development_certificate",
    "create_quic_client_configuration",
    "create_quic_server_configuration",
    "create_tcp_client_configuration",
    "create_tcp_server_configuration",
    "serve_quic",
    "serve_tcp",
]

#: Names of :mod:`nnrp.adapters`, resolved when first used, as are those of the packet layer that has
#: not been imported yet: importing stays cheap.
_ADAPTER_NAMES = frozenset(__all__)
_CORE_NAMES = frozenset(core.__all__)
globals().update((name, value) for name, value in vars(core).items() if name in _CORE_NAMES)

__all__ += core.__all__
__all__ += errors.__all__
__all__ += ["__version__"]


def __getattr__(name: str) -> object:
    if name in _ADAPTER_NAMES or name in _CORE_NAMES:
        source = core if name in _CORE_NAMES else import_module("nnrp.adapters")
        value = globals()[name] = getattr(source, name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_ADAPTER_NAMES, *_CORE_NAMES})
