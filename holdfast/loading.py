"""Finding and importing the module that a command line names.

Owns the search ("package.module" or "path/file.py") and the words for what went wrong. A file is imported as
``python file.py`` would see it: under its stem, with its directory first on the path. Read ``Registry.load`` in
``holdfast/definitions.py`` for the caller.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from pathlib import Path
from types import ModuleType

from holdfast.errors import LoadFailed


def load_module(target: str) -> ModuleType:
    """Import a module by dotted name or path; an imported one is returned as it is. Raises LoadFailed."""
    if target.endswith(".py") or os.sep in target:
        return _load_file(Path(target))
    if not all(part.isidentifier() for part in target.split(".")):
        raise LoadFailed(f"{target!r} is neither a module name like shop.orders nor a file like path/app.py")
    return _load_named(target)


def module_name(module: str) -> str:
    """Return the name a module goes by in the log: ``__main__`` is the stem of its file, as a loaded file would be."""
    file = getattr(sys.modules.get("__main__"), "__file__", None)
    return Path(file).stem if module == "__main__" and file else module


def _load_named(name: str) -> ModuleType:
    # What python -m would see: the current directory first.
    _put_on_path(Path.cwd())
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise _failed(name, error) from error
        raise LoadFailed(
            f"there is no module {error.name!r} in {Path.cwd()} or on the Python path; "
            "give a module name like shop.orders or a file like path/app.py"
        ) from None
    except BaseException as error:
        raise _failed(name, error) from error


def _load_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise LoadFailed(f"there is no file {path} (looked in {Path.cwd()})")
    file, name = path.resolve(), path.stem
    known = sys.modules.get(name)
    if known is not None:
        return _known_file(known, file)
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise LoadFailed(f"{path} is not a Python file; its name must end in .py")
    _put_on_path(file.parent)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        raise _failed(str(path), error) from error
    return module


def _known_file(module: ModuleType, file: Path) -> ModuleType:
    where = getattr(module, "__file__", None)
    if where is not None and Path(where).resolve() == file:
        return module
    raise LoadFailed(
        f"{file} cannot be loaded as {module.__name__!r}: that name is taken by {where or 'Python itself'}"
    )


def _put_on_path(directory: Path) -> None:
    if str(directory) not in sys.path:
        sys.path.insert(0, str(directory))


def _failed(target: str, error: BaseException) -> LoadFailed:
    """Say what stopped an import, with the deepest line outside the import machinery."""
    if isinstance(error, KeyboardInterrupt):
        raise error
    frames = [it for it in traceback.extract_tb(error.__traceback__) if "importlib" not in it.filename]
    own = [it for it in frames if it.filename != __file__]
    at = f" ({own[-1].filename}:{own[-1].lineno})" if own else ""
    return LoadFailed(f"{target} could not be imported: {type(error).__name__}: {error}{at}")
