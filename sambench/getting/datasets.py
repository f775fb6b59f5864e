"""Getting a dataset: what a person must do, verbatim, and all of the rest. Nothing is printed here.

The card's access state decides: `auto` is downloaded; `form`, `credentials` and `manual` need a person for some or all files, who
then names the folder of what they downloaded; of `dead` ones only a copy made earlier will do; `embedded` ones are generated.

    <SAMBENCH_DATA>/.getting/<id>/files/    downloads, each removed when it is unpacked (unless they shall be kept)
                                  tree/     the dataset as it grows; becomes <SAMBENCH_DATA>/<id> when it is whole
                                  unpacked.json    the files that are in the tree
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

from sambench import cards, paths
from sambench.cards import DatasetCard, RemoteFile
from sambench.errors import CardError, DataError, DataMissingError, SambenchError, message_of, shown
from sambench.files.expected import difference
from sambench.files.writing import replacing
from sambench.getting import archives, part_file, remote_zip
from sambench.getting import weights as fetch
from sambench.loaders.open import check_layout, find_place
from sambench.text import counted, human_bytes

Progress = Callable[[str, int, int | None], None]  # (what is done, bytes done, bytes in all)

_STATES = {
    "embedded": "generated on first use: there is nothing to get",
    "auto": "open: downloaded without a person",
    "form": "a form must be filled or terms accepted first",
    "credentials": "an account is needed",
    "manual": "to be downloaded by a person",
    "dead": "the official source is gone; a copy made earlier will do",
}


@dataclass(frozen=True)
class Offer:
    """What getting a dataset takes; nothing is done yet. here: the folder where it already is, in the right layout.

    n_bytes: of all downloads whose size is known; whole: whether that is all of them.
    """

    card: DatasetCard
    here: Path | None
    n_bytes: int
    whole: bool

    @property
    def by_hand(self) -> tuple[RemoteFile, ...]:
        """Files that a person must bring."""
        return tuple(f for f in self.card.access.files if not f.url)

    @property
    def automatic(self) -> bool:
        """Whether it can be had without a person."""
        return bool(self.card.access.files) and not self.by_hand

    @property
    def how(self) -> str:
        """The access state in words."""
        by_person = self.card.access.state == "auto" and not self.automatic
        return "open, but to be downloaded by a person" if by_person else _STATES[self.card.access.state]

    @property
    def size(self) -> str:
        """'83 MB', 'at least 1.2 GB', 'of unknown size'."""
        if not self.n_bytes:
            return "of unknown size"
        return ("" if self.whole else "at least ") + human_bytes(self.n_bytes)

    @property
    def restricted(self) -> bool:
        """Whether the terms forbid something, or are not known."""
        return not (self.card.access.commercial_use and self.card.access.redistribution)

    def text(self) -> str:
        """State, terms, and what is to be done, for people."""
        card, access = self.card, self.card.access
        lines = [f"{card.id}: {card.name}", f"  access: {access.state}; {self.how}", *(f"  {t}" for t in self._terms())]
        if access.state == "embedded":
            return "\n".join(lines)
        if self.automatic:
            n = len(access.files)
            what = f"{counted(n, 'file')}, {self.size}" + (f", and {access.brings}" if access.fetcher else "")
            lines.append(f"  download: {what}, into {paths.data_root() / card.id}")
            if parts := [f.file for f in access.files if f.members]:
                lines.append(f"  of {', '.join(parts)} only what is needed is read, on its server")
            return "\n".join(lines)
        return "\n".join([*lines, "  what to do:", *self.steps()])

    def steps(self) -> list[str]:
        """What a person has to do, a line for each step, indented."""
        card, access = self.card, self.card.access
        lines = [f"    {i}. {step}" for i, step in enumerate(access.steps, 1)]
        if access.files:
            names = ", ".join(f.file for f in self.by_hand)
            lines.append(f"  then: sambench data get {card.named} --from FOLDER, with {names} in it; it is unpacked for you")
        return [*lines, f"  or, for a copy that is unpacked already: sambench data adopt {card.named} FOLDER"]

    def _terms(self) -> list[str]:
        access = self.card.access
        forbids = [
            what
            for allowed, what in (
                (access.commercial_use, "no commercial use"),
                (access.redistribution, "must not be passed on"),
            )
            if allowed is False
        ]
        terms = f"licence: {self.card.licence or 'not stated'}"
        return [f"{terms} ({', '.join(forbids)})" if forbids else terms, f"please cite: {self.card.citation}"]


def offer(name: str) -> Offer:
    """What getting a dataset takes. Raises UsageError with near names for an unknown one."""
    card = cards.dataset_card(name)
    sizes = [f.bytes for f in card.access.files]
    return Offer(card, _already_here(card), sum(s or 0 for s in sizes), all(sizes))


def get(wanted: Offer, *, brought: Path | None = None, keep: bool = False, progress: Progress | None = None) -> Path:
    """Bring a dataset to `<SAMBENCH_DATA>/<id>`, whole or not at all; gives that folder (or the one where it already is).

    brought: a folder with files that a person has downloaded (those without an address on the card must be there, others may),
    or one such file. keep: leave the downloaded archives where they are.
    What is interrupted goes on with the next call. Raises DataMissingError (a person is needed: the steps), DownloadError and
    DataError (a file is another than the card says, an archive is refused, the result has another layout, no disk space).
    """
    card = wanted.card
    if wanted.here is not None:
        return wanted.here
    if not card.access.files:
        raise _needs_person(wanted, "no address on its card that a program may download from")
    root, stage = paths.data_root() / card.id, stage_of(card)
    lacking = [f.file for f in wanted.by_hand if _find(f, brought, stage) is None and f.file not in _done(stage)]
    if lacking:
        raise _needs_person(wanted, f"not in {brought}: {', '.join(lacking)}" if brought else f"to bring: {', '.join(lacking)}")
    _check_in_the_way(card, root)
    try:
        with part_file.locked(paths.data_root() / f".{card.id}.getting"):
            if (there := _already_here(card)) is not None:  # another process got it while this one waited
                return there
            stage.mkdir(parents=True, exist_ok=True)
            for file in card.access.files:
                if file.file not in _done(stage):
                    _bring(file, brought, stage, keep, progress or (lambda *_: None))
            if card.access.fetcher:
                _fetch_rest(card, card.access.fetcher, stage / "tree", progress or (lambda *_: None))
            check_layout(card, stage / "tree")
            if root.is_dir():
                root.rmdir()
            os.replace(stage / "tree", root)  # a folder, filled and checked
            _tidy(stage, keep)
    except OSError as e:
        raise DataError(
            "a dataset cannot be stored",
            where=e.filename or root,
            expected="a folder that can be written",
            found=e.strerror or repr(e),
            remedy="mend the folder's permissions, or set SAMBENCH_DATA to another one",
        ) from e
    return root


def _fetch_rest(card: DatasetCard, entry: str, tree: Path, progress: Progress) -> None:
    """By the card's own function, which may be anyone's and raise anything."""
    where = f"card {card.id}"
    fetcher = cards.load_entry(entry, where=where)
    try:
        fetcher(card, tree, progress)
    except (SambenchError, OSError):
        raise
    except (Exception, SystemExit) as e:
        raise CardError(f"a card's fetcher {entry!r} failed", where=where, found=message_of(e), remedy="mend the function") from e


def stage_of(card: DatasetCard) -> Path:
    """Where a dataset grows until it is whole."""
    return paths.data_root() / ".getting" / card.id


def _already_here(card: DatasetCard) -> Path | None:
    if card.access.state == "embedded":
        return None
    place = find_place(card)
    if place is None:
        return None
    try:
        check_layout(card, place.path)
    except DataError:
        return None
    return place.path


def _check_in_the_way(card: DatasetCard, root: Path) -> None:
    if root.is_dir() and not any(root.iterdir()):
        return
    if root.exists() or root.is_symlink():
        raise DataError(
            f"another folder is where dataset {card.id!r} belongs",
            where=root,
            expected=" | ".join(card.layout),
            found="files in another layout",
            remedy=f"move it away; or, if the files are in it, name the right folder: sambench data adopt {card.named} FOLDER",
        )


def _needs_person(wanted: Offer, found: str) -> DataMissingError:
    by_person = wanted.card.access.state != "embedded" and not wanted.automatic
    return DataMissingError(
        f"dataset {wanted.card.id!r} cannot be had without you: {wanted.how}",
        found=found,
        remedy="\n".join(["", *wanted.steps()]) if by_person else None,
    )


def _bring(file: RemoteFile, brought: Path | None, stage: Path, keep: bool, progress: Progress) -> None:
    """One file into the tree."""
    found = _find(file, brought, stage)
    into = stage / "tree" / archives.safe_path(file.file, file.unpack_to)
    if file.members and found is None:
        _members(file, into, progress)
        _record(stage, file.file)
        return
    source = found or stage / "files" / file.file
    if found is None:
        _download(file, source, progress)
    else:
        _check_brought(file, found)
    own = source.parent == stage / "files"
    if archives.is_archive(file.file):
        aside = stage / "unpacking" / file.file
        archives.unpack(source, into, aside=aside, progress=lambda d, n: progress(f"unpacking {file.file}", d, n))
        if file.inner:
            _unpack_inner(file, into, stage, progress)
    else:
        with replacing(into / file.file, aside=stage / f"{file.file}.copy") as copy:  # not in the tree, which is the dataset to be
            shutil.copyfile(source, copy)
    _record(stage, file.file)
    if own and not keep:
        source.unlink()


def _unpack_inner(file: RemoteFile, into: Path, stage: Path, progress: Progress) -> None:
    inner = into / archives.safe_path(file.file, str(file.inner))
    if not inner.is_file():
        raise DataError(
            "an archive does not hold the one that is expected in it",
            where=file.file,
            expected=file.inner,
            found=", ".join(sorted(p.name for p in into.iterdir())[:5]) or "nothing",
            remedy="the distribution has changed: unpack it by hand and use `sambench data adopt`",
        )
    aside = stage / "unpacking" / inner.name
    archives.unpack(inner, inner.parent, aside=aside, progress=lambda d, n: progress(f"unpacking {inner.name}", d, n))
    inner.unlink()


def _members(file: RemoteFile, into: Path, progress: Progress) -> None:
    """What a zip on its server holds of the wanted members."""
    with remote_zip.opened(file.url) as archive:
        wanted = [m for m in archive.infolist() if not m.is_dir() and any(fnmatchcase(m.filename, p) for p in file.members)]
        if not wanted:
            raise DataError(
                "a remote archive has no member that is wanted",
                where=file.url,
                expected=" | ".join(file.members),
                found=f"{len(archive.namelist())} others",
                remedy="the distribution has changed: download it by hand and use `sambench data adopt`",
            )
        total, done = sum(m.file_size for m in wanted), 0
        for member in wanted:
            remote_zip.fetch_member(archive, member, into, partial(_from, done, total, file.file, progress))
            done += member.file_size


def _from(before: int, total: int, name: str, progress: Progress, done: int, _of_member: int | None) -> None:
    progress(f"reading out of {name}", before + done, total)


def _download(file: RemoteFile, dest: Path, progress: Progress) -> None:
    fetch.download(
        file.url,
        dest,
        sha256=file.sha256,
        n_bytes=file.bytes,
        progress=lambda done, total: progress(f"downloading {file.file}", done, total),
        variable="SAMBENCH_DATA",
    )


def _find(file: RemoteFile, brought: Path | None, stage: Path) -> Path | None:
    """The file as a person brought it; None where it is to be downloaded."""
    given = [brought / file.file, brought] if brought is not None else []
    candidates = [p for p in given if p.name == file.file]
    if not file.url:
        candidates.append(stage / "files" / file.file)
    try:
        return next((p for p in candidates if p.is_file()), None)
    except (OSError, ValueError) as e:  # a name that no disk takes
        found = (e.strerror if isinstance(e, OSError) else None) or message_of(e)
        raise DataError("the folder of what was downloaded cannot be read", where=shown(brought), found=found) from e


def _check_brought(file: RemoteFile, path: Path) -> None:
    different = difference(path, file.bytes, file.sha256)
    if different is not None:
        raise DataError(
            "a file is another than the one on the dataset's card",
            where=path,
            expected=different.expected,
            found=different.found,
            remedy="download it again; if it is of another release, unpack it by hand and use `sambench data adopt`",
        )


def _done(stage: Path) -> list[str]:
    try:
        done = json.loads((stage / "unpacked.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    return done if isinstance(done, list) else []


def _record(stage: Path, name: str) -> None:
    with replacing(stage / "unpacked.json") as aside:
        aside.write_text(json.dumps([*_done(stage), name]), encoding="utf-8")


def _tidy(stage: Path, keep: bool) -> None:
    for path in sorted(stage.iterdir()):
        if path.is_dir() and not (keep and path.name == "files"):
            shutil.rmtree(path, ignore_errors=True)
        elif path.name.startswith("unpacked.json"):
            path.unlink()
    for folder in (stage, stage.parent):
        with contextlib.suppress(OSError):  # not empty: archives that are kept, or another dataset on its way
            folder.rmdir()
