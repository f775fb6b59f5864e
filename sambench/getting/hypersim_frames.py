"""Hypersim's subset, frame by frame out of the 457 archives on their server: a few gigabytes of 1.9 terabytes."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from sambench.cards import DatasetCard
from sambench.errors import DataError
from sambench.files.writing import replacing
from sambench.getting import remote_zip
from sambench.getting.datasets import Progress
from sambench.loaders.hypersim import count_instances, files_of, released_frames
from sambench.provenance import keyed_order

_DOING = "reading single frames"


def fetch(card: DatasetCard, tree: Path, progress: Progress) -> None:
    """Frames into `tree`, in the order of the subset, until they hold the paper's number of masks.

    The order is the one in which the subset `paper` takes them (`loaders.subsets`), so these are its frames. A frame without
    instances is not kept, nor one whose archive lacks a file (some do); both are remembered in `<tree>/frames.json`, and the next
    call goes on. `card.access.source` is an archive's address with {scene} in it. Raises DownloadError and DataError.
    """
    released = released_frames(tree)
    if released is None or card.paper is None:
        raise DataError("the list of released frames is not here", where=tree, remedy=f"run `sambench data get {card.named}` again")
    known = _known(tree)
    masks = n_bytes = 0
    for image_id in keyed_order(released, card.id):
        if masks >= card.paper.masks:
            return
        if image_id not in known:
            # Opened for each frame: their order leaps between scenes, and a directory of ten thousand names takes megabytes.
            with remote_zip.opened(card.access.source.replace("{scene}", image_id.partition("/")[0])) as archive:
                known[image_id] = _frame(archive, image_id, tree)
            _remember(tree, known)
        n, size = known[image_id]
        masks += n
        n_bytes += size
        progress(_DOING, n_bytes, round(n_bytes * card.paper.masks / masks) if masks else None)


def _frame(archive: zipfile.ZipFile, image_id: str, tree: Path) -> tuple[int, int]:
    """(masks, bytes) of a frame that is in `tree` now; zeros where it is of no use."""
    members = {m.filename: m for m in archive.infolist()}
    wanted = [files_of(image_id)[kind] for kind in ("instances", "color", "geometry")]
    if not all(name in members for name in wanted):
        return 0, 0
    instances = remote_zip.fetch_member(archive, members[wanted[0]], tree)
    n = count_instances(instances)
    if not n:
        instances.unlink()
        return 0, 0
    for name in wanted[1:]:
        remote_zip.fetch_member(archive, members[name], tree)
    return n, sum(members[name].file_size for name in wanted)


def _known(tree: Path) -> dict[str, tuple[int, int]]:
    try:
        found = json.loads((tree / "frames.json").read_text(encoding="utf-8"))
        return {str(k): (int(n), int(size)) for k, (n, size) in found.items()}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError, OverflowError):
        return {}


def _remember(tree: Path, known: dict[str, tuple[int, int]]) -> None:
    with replacing(tree / "frames.json") as aside:
        aside.write_text(json.dumps(known, indent=0), encoding="utf-8")
