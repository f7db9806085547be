"""Counters and traces for other people's libraries.

:mod:`nnrp.observe.prometheus` needs ``nnrp[prometheus]``, :mod:`nnrp.observe.opentelemetry` needs
``nnrp[opentelemetry]``. Nothing here is imported by the rest of the package.
"""

from nnrp.observe._families import Source

__all__ = ["Source"]
