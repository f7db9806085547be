"""From `module:handler` to a function, and to a newer one when its file changes."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnrp.cli._common import USAGE, Failure

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

__all__ = ["Source"]


class Source:
    """Where a handler comes from.

    Attributes:
        target: as it was said on the command line.
        folder: what its own modules are in: these, and no others, are read anew.
        handler: the function as it is now.

    """

    def __init__(self, target: str, folder: Path) -> None:
        """Import it.

        Raises:
            Failure: there is no such module, no such function, or importing raises.

        """
        module, colon, name = target.partition(":")
        if not (module and colon and name):
            raise Failure(f"{target!r} is not module:function, such as app:handle", USAGE)
        self.target = target
        self.folder = folder.resolve()
        self._module, self._name = module, name
        if str(self.folder) not in sys.path:
            sys.path.insert(0, str(self.folder))
        self.handler = self._load()
        self._seen = self._stamps()

    def _load(self) -> Callable[[Any], Any]:
        try:
            module = importlib.import_module(self._module)
        except ModuleNotFoundError as error:
            if error.name is not None and (self._module + ".").startswith(error.name + "."):
                raise Failure(
                    f"there is no module {self._module!r} in {self.folder}; --app-dir names its folder", USAGE
                ) from None
            raise Failure(
                f"{self._module} needs the module {error.name!r}, which is not installed"
            ) from error
        except Exception as error:
            place = _place(error, self.folder)
            raise Failure(
                f"importing {self._module} failed: {type(error).__name__}: {error}{place}"
            ) from error
        found: Any = module
        for part in self._name.split("."):
            if not hasattr(found, part):
                raise Failure(f"{self._module} has no {self._name!r}", USAGE)
            found = getattr(found, part)
        if not callable(found):
            raise Failure(f"{self.target} is a {type(found).__name__} and cannot be called", USAGE)
        handler: Callable[[Any], Any] = found
        return handler

    def _own(self) -> dict[str, tuple[ModuleType, Path]]:
        """Return the modules that came from the folder, with their files."""
        own: dict[str, tuple[ModuleType, Path]] = {}
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and name != "__main__":
                path = Path(file)
                if path.is_relative_to(self.folder) and "site-packages" not in path.parts:
                    own[name] = (module, path)
        return own

    def _stamps(self) -> dict[str, int]:
        stamps: dict[str, int] = {}
        for _, path in self._own().values():
            try:
                stamps[str(path)] = path.stat().st_mtime_ns
            except OSError:  # an editor is just replacing it
                stamps[str(path)] = 0
        return stamps

    def changed(self) -> list[str]:
        """Return the names of the files that have changed since they were read."""
        now = self._stamps()
        return [Path(path).name for path, stamp in now.items() if stamp and stamp != self._seen.get(path)]

    def reload(self) -> None:
        """Read all modules of the folder anew; the handler before stays in use if that fails.

        Raises:
            Failure: as the constructor.

        """
        before = {name: module for name, (module, _) in self._own().items()}
        self._seen = self._stamps()
        for name in before:
            del sys.modules[name]
        importlib.invalidate_caches()
        try:
            self.handler = self._load()
        except Failure:
            sys.modules.update(before)
            raise
        self._seen |= self._stamps()


def _place(error: Exception, folder: Path) -> str:
    """Return the last line of the user's own code that an exception came through."""
    trace, place = error.__traceback__, ""
    while trace is not None:
        path = Path(trace.tb_frame.f_code.co_filename)
        if path.is_relative_to(folder):
            place = f" ({path.name}, line {trace.tb_lineno})"
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename:
        return ""
    return place
