"""Counters and traces for other people's libraries.

:mod:`nnrp.observe.prometheus` needs ``prometheus_client``, :mod:`nnrp.observe.opentelemetry` needs
``opentelemetry-sdk``. Nothing here is imported by the rest of the package.
"""

from nnrp.observe._families import Source

__all__ = ["Source"]
