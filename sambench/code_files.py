"""The Python files that a module of somebody else's is made of: itself, and what it imports from its own folder or package.

Found in two ways. Statically: the `import` statements of each file, also those inside functions, followed as long as they lead
to files of the folder. Dynamically: modules that are loaded and whose file lies there, which also finds what `importlib` was asked
for. Installed packages, the standard library and sambench itself are no part of it, nor is what is imported by a computed name
later on.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType

_OWN = Path(__file__).resolve().parent
_INSTALLED = ("site-packages", "dist-packages")


def local_sources(file: Path, module: str = "", *, loaded: bool = True) -> dict[str, Path]:
    """Files by their name in the folder or package, as 'helper.py' or 'package/part.py'; `file` itself is not among them.

    module: the dotted name under which `file` is imported; '' or a bare name: a file of its own, whose neighbours count. Of a
    module in a package it is the package that counts. loaded: look at the modules that are loaded, too.
    """
    file = file.resolve()
    depth = module.count(".") + (file.name == "__init__.py")
    root = file.parents[depth] if module and depth else file.parent
    package = module.partition(".")[0] if module and depth else ""
    if not package and _is_installed(file):
        return {}
    found: dict[Path, None] = {}
    queue = [file, *(_loaded(root, package) if loaded else ())]
    while queue:
        at = queue.pop()
        if at in found or (package and not at.is_relative_to(root / package)):
            continue
        found[at] = None
        queue += [Path(os.path.normpath(p)) for p in _imported(at, root)]  # a link counts where it stands
    base = root / package
    return {p.relative_to(base).as_posix(): p for p in sorted(found) if p != file and p.is_relative_to(base)}


def module_of(file: Path) -> ModuleType:
    """The module that a file of somebody's is, executed once for each content that it has. file: absolute.

    Its folder is put at the end of `sys.path`, so that it can import what lies beside it. Raises whatever its code raises, and
    OSError.
    """
    # One name a file and content: a file edited in between is read again, an unchanged one keeps its classes.
    name = f"_sambench_file_{hashlib.sha256(bytes(file) + file.read_bytes()).hexdigest()[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    found = importlib.util.spec_from_file_location(name, file)
    if found is None or found.loader is None:
        raise ImportError(f"{file} has no loader", path=str(file))
    if str(file.parent) not in sys.path:
        sys.path.append(str(file.parent))  # at the end: a neighbour must not hide an installed package
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses and pickle look their module up while it is executed
    try:
        found.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def import_remedy(error: BaseException) -> str | None:
    """What to do where a file of somebody's imports relatively, as if it lay in a package; None for any other error."""
    if not isinstance(error, ImportError) or "no known parent package" not in str(error):
        return None
    frames = traceback.extract_tb(error.__traceback__)
    found = re.match(r"from \.+(\w[\w.]*)? *import +(\w+)?", (frames[-1].line or "").strip()) if frames else None
    module, name = (found[1], found[2]) if found else (None, None)
    instead = f"from {module} import {name or '...'}" if module else f"import {name or 'NAME'}"
    package = "or name a module of its package, python:PACKAGE.MODULE:NAME"
    return f"write `{instead}`: files of its own folder are importable by name; {package}"


def _imported(file: Path, root: Path) -> Iterator[Path]:
    """Files of `root` that the import statements of a file lead to; none of what is no Python."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files_of(alias.name.split("."), root)
        elif isinstance(node, ast.ImportFrom):
            start = root if not node.level else file.parent.joinpath(*[".."] * (node.level - 1))
            parts = node.module.split(".") if node.module else []
            for alias in node.names:
                yield from _files_of([*parts, alias.name], start)
            yield from _files_of(parts, start)


def _files_of(parts: list[str], start: Path) -> Iterator[Path]:
    """`a.b.c`: the package files on the way, and the module at its end, as far as they exist."""
    at = start
    for part in parts:
        for candidate in (at / f"{part}.py", at / part / "__init__.py"):
            if candidate.is_file() and not candidate.resolve().is_relative_to(_OWN):
                yield candidate
        at = at / part


def _loaded(root: Path, package: str) -> Iterable[Path]:
    for module in list(sys.modules.values()):
        name = getattr(module, "__file__", None)
        if not isinstance(name, str) or not name:
            continue
        path = Path(os.path.abspath(name))
        if path.is_relative_to(root / package if package else root) and path.is_file():
            outside = path.resolve().is_relative_to(_OWN) or (not package and _is_installed(path))
            if not outside and module.__name__ != "__main__":
                yield path


def _is_installed(path: Path) -> bool:
    """Whether a file belongs to an installed package or the standard library."""
    if any(part in _INSTALLED for part in path.parts):
        return True
    places = (sysconfig.get_paths()[k] for k in ("stdlib", "platstdlib"))
    return any(path.is_relative_to(Path(p).resolve()) for p in places)


def is_own_code(file: str | None) -> bool:
    """Whether code of that file is the user's: not sambench's, not installed, not the standard library's. Without a file it is."""
    if not file or file.startswith("<"):
        return not (file or "").startswith("<frozen")
    path = Path(file)
    return not path.is_relative_to(_OWN) and not _is_installed(path)
