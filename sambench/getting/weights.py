"""Weights from the network: resumed, verified, and never half there.

A download grows in `<file>.part` and takes its own name only when its size and sha256 are right. What is cut off (by the
network, Ctrl-C, a full disk) leaves the part, and the next call goes on from it; a part whose bytes turn out wrong is removed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from sambench import paths
from sambench.cards import ModelCard, Weights
from sambench.errors import CardError, CheckpointError, DownloadError, shown
from sambench.files.expected import Difference, difference
from sambench.files.objects import Objects, address
from sambench.getting import part_file
from sambench.getting.part_file import Part
from sambench.getting.transfer import Job, disk_error, transfer

Progress = Callable[[int, int | None], None]


def download(
    url: str,
    dest: Path,
    *,
    sha256: str | None,
    n_bytes: int | None,
    progress: Progress | None = None,
    variable: str = "SAMBENCH_CACHE",
) -> Path:
    """Bring `url` to the file `dest`; gives `dest`. A file that is there already and right is left alone.

    sha256: hex; n_bytes: exact size; None skips that check. progress(bytes so far, bytes in all or None) is called often. variable:
    of the environment, that names the folder which such files go to.
    Interrupted transfers resume (HTTP Range, guarded by If-Range and the total); a server that does not do ranges is read from
    the start. Of processes that want the same file one downloads, the others wait for it. On a full disk the part is kept, for
    it resumes as soon as there is room; the error names it.
    Raises DownloadError: refused (404, 403), offline, timed out, cut too often, wrong bytes, no disk space, folder not writable.
    """
    job = Job(url, Path(dest), sha256, n_bytes, progress or _silent, variable)
    try:
        if _is_right(job):
            return job.dest
        with part_file.locked(job.dest) as part:
            if _is_right(job):  # another process brought it while this one waited
                part.restart()
            else:
                _fill(job, part)
                part.become(job.dest)
    except OSError as e:
        raise disk_error(job, e) from e
    return job.dest


def weights_path(card: ModelCard, *, explicit: Path | None, download_ok: bool, progress: Progress | None = None) -> Path | None:
    """The weights file of a model: `explicit`, else the cached copy, else a download into the cache. None: it needs no weights.

    An explicit file may hold anything (people bring their own checkpoints); a cached one must have the card's size and sha256.
    Raises CheckpointError (no such explicit file, a damaged cached one, or none and not `download_ok`) and DownloadError.
    """
    if explicit is not None:
        try:
            path = Path(explicit).expanduser()
            if path.is_file():
                return path
            found = "a folder" if path.is_dir() else "no such file"
        except (OSError, ValueError, RuntimeError) as e:  # longer than a file system takes, no permission, an unknown ~user
            found = (e.strerror if isinstance(e, OSError) else None) or str(e)
        remedy, where = "mend the path in -M weights=FILE", shown(explicit)
        raise CheckpointError("the weights file is not there", where=where, expected="a checkpoint", found=found, remedy=remedy)
    if card.weights is None:
        return None
    path = cached_weights(card)
    if path.is_file():
        check_cached(card.id, card.weights, path)
        return path
    if download_ok and card.weights.url:
        return download(card.weights.url, path, sha256=card.weights.sha256, n_bytes=card.weights.bytes, progress=progress)
    get = f"get them from {card.weights.source}; " if card.weights.source else ""
    get = f"download {card.weights.url} and " if card.weights.url else get
    raise CheckpointError(
        f"the weights of model {card.id!r} are not on this machine",
        where=path,
        remedy=f"{get}put the file at {path}, or name it with -M weights=FILE",
    )


def cached_weights(card: ModelCard) -> Path:
    """Where a card's weights are kept, whether they are there or not. Raises CardError for a place outside of that folder."""
    weights = card.weights
    package = Path(__file__).parent.parent
    key, folder = ("packaged", package) if weights and weights.packaged else ("file", paths.cache() / "weights")
    name = getattr(weights, key, "")
    path = folder / name
    # The card's schema refuses such names too. Links are not followed here: people link their checkpoints into the cache.
    if folder not in Path(os.path.normpath(path)).parents:
        raise CardError(f"a card's weights.{key} leads outside of {folder}", where=f"card {card.id}", found=repr(name))
    return path


def how_to_get(card: ModelCard) -> str:
    """How the weights of a model come onto this machine, in words: by themselves, or by a person."""
    return "downloaded on first use" if card.weights and card.weights.url else "a person must get them: -M weights=FILE"


def check_cached(model: str, weights: Weights, path: Path) -> None:
    """Raise CheckpointError unless the file has the size and the sha256 of the card."""
    different = difference(path, weights.bytes, weights.sha256)
    if different is not None:
        raise CheckpointError(
            f"the cached weights of model {model!r} are not the published ones",
            where=path,
            expected=different.expected,
            found=different.found,
            remedy="delete the file and run the command again; to use weights of your own: -M weights=FILE",
        )


def _is_right(job: Job) -> bool:
    return job.dest.is_file() and _difference(job, job.dest) is None


def _difference(job: Job, path: Path) -> Difference | None:
    return difference(path, job.n_bytes, job.sha256, remember=False)


def _fill(job: Job, part: Part) -> None:
    """Bring the whole file into the part, verified. A part that was pieced together and is wrong is tried once more, whole."""
    _bring(job, part)
    wrong = _difference(job, part.path)
    if wrong is not None and part.pieced:
        part.restart()
        transfer(job, part)
        wrong = _difference(job, part.path)
    if wrong is None:
        return
    with part.path.open("rb") as f:
        page = f.read(512).lstrip().lower().startswith((b"<!doctype", b"<html"))
    part.restart()  # never resumed from: wrong bytes would be wrong for ever
    raise DownloadError(
        "a downloaded file is not the expected one, and was removed",
        where=job.url,
        expected=wrong.expected,
        found=wrong.found + (" (a web page: a login or a proxy may stand in between)" if page else ""),
        remedy=f"run the command again; if it stays so, the file at the source has changed: {job.by_hand()}",
    )


def _bring(job: Job, part: Part) -> None:
    """All bytes of the address into the part: of the network's, or of an object store's."""
    place = address(job.url)
    if place is None:
        transfer(job, part)
        return
    try:
        part.restart()
        Objects(place.root).get(place.key, part.path)
    except OSError as e:
        message = "weights cannot be read from an object store"
        raise DownloadError(message, where=job.url, found=e.strerror, remedy=job.by_hand()) from e


def _silent(_done: int, _total: int | None) -> None:
    """No progress wanted."""
