"""What the readers of COCO's form and its kin ask and say of a picture: its size against the file's, crowds, how it was found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sambench.errors import DataError, unknown_name
from sambench.loaders.file_names import Place
from sambench.loaders.turned import Frame, Orientation, frame_of
from sambench.notes import note
from sambench.text import counted


def stated_size(record: dict[str, Any]) -> tuple[int, int] | None:
    """(height, width) of a record as the file has it, None where it does not know both."""
    return (record["height"], record["width"]) if record["height"] and record["width"] else None


def stated_frame(path: Path, record: dict[str, Any], orientation: Orientation, what: str, where: str) -> Frame:
    """The frame of a picture's annotations. Raises DataError where the record says another size: asked before any mask is drawn.

    what: as "image of mydata"; where: the record, for errors.
    """
    article = "an" if what[0] in "aeiou" else "a"
    said = (record["height"] or None, record["width"] or None)
    return frame_of(path, orientation, said, what=f"{article} {what}", where=where)


def note_place(place: Place) -> None:
    """The note of a picture whose name is not the path of its file: how that was found."""
    if place.note:
        note(place.note)


def check_crowds(crowds: Any, dataset: str) -> None:
    """Raises UsageError where the option `crowds` is none."""
    if crowds not in ("ignore", "objects"):
        raise unknown_name(f"value of the option crowds of dataset {dataset}", str(crowds), ["ignore", "objects"])


def only_crowds(dataset: str, path: Path, n: int) -> DataError:
    """The error for a file whose annotations are all crowds."""
    return DataError(
        f"dataset {dataset} holds no objects: all its annotations are crowds (iscrowd = 1), which are ignore regions",
        where=path,
        expected="annotations with iscrowd = 0",
        found=counted(n, "crowd"),
        remedy='if they are objects (some tools set iscrowd on every RLE), set crowds = "objects" under [options] of the card',
    )


def below(path: Path, root: Path) -> str:
    """A picture's path as the option `cluster` sees it: relative to the dataset's folder, absolute if it lies elsewhere."""
    base = os.path.join(os.path.abspath(root), "")
    return os.path.abspath(path).removeprefix(base).replace(os.sep, "/")
