"""Where files of results lie: on a file system, or in an object store of which this machine has a copy.

All that writes results goes through a `Place`, and what others may have written meanwhile is asked of it. On a file system that
is what it always was: files are renamed into place, and the folder shows what there is. In an object store every file of a run is
an object; the files that programs read are its copy in `paths.cache()/stores`, brought up to date where a reader begins and
where a worker looks what others have done. The copy is a cache: whoever removes it loses nothing but time.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from sambench.errors import system_error
from sambench.files import mirror
from sambench.files.objects import Version

ANY = Version("")  # in the place of whatever is there


class Place(Protocol):
    """What differs between a file system and a store. Paths are those of this machine. Methods raise OSError."""

    def refresh(self, path: Path) -> Version | None:
        """Make one file what it is now; gives its version, None where there is none, or where files have none."""
        ...

    def known(self, path: Path) -> Version | None:
        """As `refresh` gave it when it was last asked, without looking again."""
        ...

    def refresh_below(self, folder: Path, *, records_alone: bool = False) -> None:
        """As `refresh`, all files below a folder, or the file that it is. records_alone: those by which runs are known."""
        ...

    def publish(self, aside: Path, path: Path, instead: Version | None = ANY) -> None:
        """Let the file `aside` take the place of `path`, in one step for whoever reads. instead: the version that it was made
        of (None: there was none), where the place can tell; raises `objects.Changed` where another is there now."""
        ...

    def remove(self, path: Path) -> None:
        """Remove a file, if it is there."""
        ...


class FileSystem:
    """Files are what they are."""

    def refresh(self, path: Path) -> Version | None:
        """See `Place`."""
        return None

    def known(self, path: Path) -> Version | None:
        """See `Place`."""
        return None

    def refresh_below(self, folder: Path, *, records_alone: bool = False) -> None:
        """See `Place`."""

    def publish(self, aside: Path, path: Path, instead: Version | None = ANY) -> None:
        """See `Place`. Who may write is decided by leases alone."""
        os.replace(aside, path)

    def remove(self, path: Path) -> None:
        """See `Place`."""
        path.unlink(missing_ok=True)


class Store:
    """A bucket, through its copy on this machine."""

    def __init__(self, copy: mirror.Mirror) -> None:
        self.copy = copy

    def refresh(self, path: Path) -> Version | None:
        """See `Place`."""
        return self.copy.refresh(path)

    def known(self, path: Path) -> Version | None:
        """See `Place`."""
        return self.copy.known(path)

    def refresh_below(self, folder: Path, *, records_alone: bool = False) -> None:
        """See `Place`."""
        if records_alone:
            self.copy.refresh_below(folder, lambda key: key.endswith(mirror.RECORDS))
        elif not self.copy.refresh_below(folder) and self.copy.key(folder):
            self.copy.refresh(folder)

    def publish(self, aside: Path, path: Path, instead: Version | None = ANY) -> None:
        """See `Place`."""
        self.copy.write(path, aside.read_bytes(), instead=None if instead in (None, ANY) else instead, create=instead is None)
        with suppress(FileNotFoundError):
            aside.unlink()

    def remove(self, path: Path) -> None:
        """See `Place`."""
        self.copy.remove(path)


_FILES = FileSystem()


def place_of(path: Path) -> Place:
    """The place in which a file of results lies."""
    copy = mirror.at(path)
    return _FILES if copy is None else Store(copy)


def brought(path: Path, *, records_alone: bool = False) -> Path:
    """The path on this machine of what a user names by path or URL, as it is now. records_alone: see `Place.refresh_below`.

    Raises UsageError and OSError.
    """
    here = mirror.here(path)
    if mirror.at(here) is not None:
        place_of(here).refresh_below(here, records_alone=records_alone)
    return here


def brought_name(name: str) -> str:
    """A name made of paths and URLs, in which every URL is the path of its copy on this machine, as it is now. Raises RunError."""
    try:
        return mirror.with_copies(name, brought)
    except OSError as e:
        raise system_error(e) from e
