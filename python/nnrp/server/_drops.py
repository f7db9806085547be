"""Why a server drops a frame: the words of applications, and the code that the protocol has for each."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from nnrp._logging import about
from nnrp.core import ResultHintReason

_log = logging.getLogger("nnrp.server")

#: What applications call the reasons for dropping a frame, with case, ``-`` and ``_`` left out.
_DROP_REASONS = {
    "queueoverflow": ResultHintReason.QUEUE_FULL,
    "queuefull": ResultHintReason.QUEUE_FULL,
    "serverbusy": ResultHintReason.SERVER_BUSY,
    "busy": ResultHintReason.SERVER_BUSY,
    "overloaded": ResultHintReason.SERVER_BUSY,
    "budgetexceeded": ResultHintReason.BUDGET_EXCEEDED,
    "deadlineexceeded": ResultHintReason.BUDGET_EXCEEDED,
    "expired": ResultHintReason.BUDGET_EXCEEDED,
    "timeout": ResultHintReason.BUDGET_EXCEEDED,
    "superseded": ResultHintReason.SUPERSEDED,
    "stale": ResultHintReason.SUPERSEDED,
}


def drop_reason(
    reason: str | int | ResultHintReason | None, header: Mapping[str, int], session_id: int
) -> ResultHintReason:
    """Return the code for an application's reason; a text without a code is logged.

    Raises:
        ValueError: an integer that is no :class:`~nnrp.core.ResultHintReason`.

    """
    if reason is None or reason == "":
        return ResultHintReason.NONE
    if not isinstance(reason, str):
        try:
            return ResultHintReason(reason)
        except ValueError:
            known = ", ".join(f"{known.name} {known:d}" for known in ResultHintReason)
            raise ValueError(f"{reason!r} is no ResultHintReason; there are {known}") from None
    code = _DROP_REASONS.get(reason.lower().replace("-", "").replace("_", ""))
    if code is None:
        frame_id = header["frame_id"]
        context = about(session=session_id, frame=frame_id, view=header["view_id"], trace=header["trace_id"])
        _log.info("frame %d dropped: %s", frame_id, reason, extra=context)
        _say_once_what_clients_do_not_hear(reason)
        return ResultHintReason.NONE
    return code


#: Reasons without a code that a warning was given about; so many and no more, because their number is not
#: bounded.
_untold: set[str] = set()
_MOST_UNTOLD = 16


def _say_once_what_clients_do_not_hear(reason: str) -> None:
    if reason in _untold or len(_untold) >= _MOST_UNTOLD:
        return
    _untold.add(reason)
    _log.warning(
        "clients do not hear the reason %r: a drop has room for a code, which there is for %s",
        reason,
        ", ".join(sorted(_DROP_REASONS)),
        extra=about(),
    )
