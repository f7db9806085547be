"""What a failed test leaves open is thrown away before the next test, which would be blamed for it.

Its traceback keeps all that the test had until a later test fails or collects garbage, and there the warnings
about what was never closed are errors. `conftest.py` has these two hooks.
"""

import gc
import sys

import pytest

FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    done = yield
    if item.stash.get(FAILED, False):
        throw_away()
    return done


def throw_away():
    """Forget the last exception, as debuggers would find it, and all that only it has kept."""
    for name in ("last_exc", "last_type", "last_value", "last_traceback"):
        vars(sys).pop(name, None)
    hook = sys.unraisablehook
    sys.unraisablehook = lambda _: None
    try:
        gc.collect()
    finally:
        sys.unraisablehook = hook
