"""Where cards, caches and data roots are.

SAMBENCH_HOME   user cards (`cards/datasets`, `cards/models`), adopted data roots, caches. Default: the platform's user-data folder.
SAMBENCH_DATA   datasets, one folder per dataset id. Default: `$SAMBENCH_HOME/data`.
SAMBENCH_CACHE  downloaded weights and generated data. Default: `$SAMBENCH_HOME/cache`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

RECORD, RUN_FILE = "cell.json", "model.json"  # the files by which cells and runs are known

CardKind = Literal["datasets", "baselines", "reports"]


def home() -> Path:
    """The folder of everything sambench keeps for a user; not created here."""
    env = os.environ.get("SAMBENCH_HOME")
    if env:
        return Path(env).expanduser()
    import platformdirs

    return Path(platformdirs.user_data_dir("sambench", appauthor=False))


def data_root() -> Path:
    """The folder under which a dataset's files are looked for, as `<data_root>/<id>`."""
    env = os.environ.get("SAMBENCH_DATA")
    return Path(env).expanduser() if env else home() / "data"


def cache() -> Path:
    """The folder of downloaded weights and generated datasets; safe to delete."""
    env = os.environ.get("SAMBENCH_CACHE")
    return Path(env).expanduser() if env else home() / "cache"


def listed(folder: Path, ending: str = "") -> list[Path]:
    """What a folder holds, sorted, with names of that ending alone; nothing where there is no such folder.

    Raises OSError where it cannot be read, which `Path.glob` takes for an empty one.
    """
    try:
        return sorted(p for p in folder.iterdir() if p.name.endswith(ending))
    except (FileNotFoundError, NotADirectoryError):
        return []


def matching(folder: Path, pattern: str) -> list[Path]:
    """As `folder.glob(pattern)`, of names without `**`, sorted; raises OSError on a folder that cannot be read, as `listed`."""
    found = [folder]
    for part in pattern.split("/"):
        found = [p for f in found for p in listed(f) if fnmatchcase(p.name, part)]
    return found


def walk(folder: Path | str) -> Iterator[tuple[str, list[str], list[str]]]:
    """As `os.walk`, through links; raises OSError on a folder that cannot be read, which that leaves out in silence."""

    def refuse(e: OSError) -> None:
        if not isinstance(e, FileNotFoundError | NotADirectoryError):
            raise e

    return os.walk(os.fspath(folder), onerror=refuse, followlinks=True)


def packaged(kind: CardKind) -> Path:
    """The folder of the cards that ship with sambench: inside the installed package, or the checkout's top level."""
    installed = Path(__file__).parent / "_shared" / kind
    return installed if installed.is_dir() else Path(__file__).parent.parent / kind
