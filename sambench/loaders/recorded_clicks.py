"""Clicks that people made, from a text or Parquet file: a row a click, by image, object and number.

Columns: image, object (ids as the dataset has them), k (1, 2, ... for each object), x, y (whole pixels of the image as it is
evaluated, from 0 at the top left), label (1: on the object, 0: on background); dataset, where the file holds those of several.
Other columns are left alone, and so is the order of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from sambench.errors import DataError
from sambench.files import content
from sambench.files.records import Problems, Record, read_records
from sambench.loaders import values
from sambench.provenance import digest
from sambench.text import counted
from sambench.types import Dataset, Sample

COLUMNS = ("image", "object", "k", "x", "y", "label")
_LISTED = 5


class RecordedClick(NamedTuple):
    """line: in the file. x, y: the pixel. positive: on the object."""

    line: int
    x: int
    y: int
    positive: bool


@dataclass(frozen=True)
class ClicksFile:
    """A file's clicks. by_image: (dataset, or "" where the file names none; image id) -> object id -> its clicks in order.

    sha256: of the clicks, whatever the order of the rows and the other columns. unit: what a row is called.
    """

    path: Path
    by_image: Mapping[tuple[str, str], Mapping[str, tuple[RecordedClick, ...]]]
    sha256: str
    unit: str = "line"
    notes: tuple[str, ...] = field(default=(), compare=False)

    def of(self, dataset: str, image_id: str) -> Mapping[str, tuple[RecordedClick, ...]]:
        """The clicks on an image's objects, by object id as `known_id` gives it."""
        image = known_id(image_id)
        return self.by_image.get((dataset, image)) or self.by_image.get(("", image), {})

    def check(self, dataset: Dataset, image_ids: Sequence[str], *, needed: int) -> list[str]:
        """What must be said of the file beside these images of a dataset.

        needed: clicks that every object must have. Raises DataError, all flaws by line: images and objects that the dataset does
        not have, clicks outside of their image; objects without a click, or with fewer than needed.
        """
        problems = Problems(self.path, self.unit)
        self._check_images(dataset, problems)
        lacking: list[str] = []
        left_out = 0
        for image_id in image_ids:
            clicks = self.of(dataset.name, image_id)
            sample = dataset.load(image_id)
            left_out += self._check_image(sample, clicks, problems)
            for instance in sample.instances:
                n = len(clicks.get(known_id(instance.object_id), ()))
                if n < needed:
                    lacking.append(f"image {image_id}, object {instance.object_id}: {n or 'no'} click{'' if n == 1 else 's'}")
        problems.raise_if_any("{n} recorded clicks do not fit dataset " + dataset.name)
        if lacking:
            more = f", and {len(lacking) - _LISTED} more" if len(lacking) > _LISTED else ""
            raise DataError(
                f"recorded clicks are missing for dataset {dataset.name}",
                where=self.path,
                expected=f"{counted(needed, 'click')} on every object",
                found="; ".join(lacking[:_LISTED]) + more,
                remedy="record them; or ask for fewer with --clicks; or, where there is one at least, let simulated clicks follow "
                "the last recorded one (--beyond simulate); or give a list of the images that have clicks (--subset FILE)",
            )
        said = f"{left_out} recorded clicks are on annotations that are left out" if left_out else ""
        return [*(f"{self.path.name}: {n}" for n in self.notes), *([said] if said else [])]

    def _check_images(self, dataset: Dataset, problems: Problems) -> None:
        known = {known_id(r.image_id) for r in dataset.index()}
        for (name, image), objects in self.by_image.items():
            if image in known or name not in ("", dataset.name):
                continue
            first = min(c.line for clicks in objects.values() for c in clicks)
            hint = "mend the id" if name else "mend the id, or add a column `dataset` where the file holds clicks of several"
            problems.add(first, f"there is no image {image!r}", hint)

    def _check_image(self, sample: Sample, clicks: Mapping[str, tuple[RecordedClick, ...]], problems: Problems) -> int:
        """Adds what does not fit the image; gives the clicks on objects that may be among those left out."""
        known, left_out = {known_id(i.object_id) for i in sample.instances}, 0
        for name, those in clicks.items():
            if name not in known and sample.left_out:  # what was left out has no id any more
                left_out += len(those)
            elif name not in known:
                some = ", ".join(sorted(known)[:_LISTED]) + (", ..." if len(known) > _LISTED else "")
                problems.add(those[0].line, f"image {sample.image_id!r} has no object {name!r}", f"it has {some or 'none'}")
            for c in those:
                if not (c.x < sample.width and c.y < sample.height):
                    size = f"it has {sample.width} x {sample.height} pixels"
                    problems.add(c.line, f"the click ({c.x}, {c.y}) is outside of image {sample.image_id!r}", size)
        return left_out


def known_id(text: str) -> str:
    """An id as it is compared: 7, "7" and "7.0" are one, as spreadsheets and pandas write it."""
    return str(values.plain_id(text, "an id", "")) if text else text


def read_clicks(path: Path) -> ClicksFile:
    """The clicks of a file. Raises DataError: it cannot be read, lacks a column, or, by line, a value does not fit, a click has the
    number of another, a number is left out."""
    try:
        path = path.expanduser().absolute()
        known = content.file_sha256(path)
    except (OSError, ValueError, RuntimeError):  # read_records says what is wrong with it
        known = ""
    return _read(path, known)


@lru_cache(maxsize=4)
def _read(path: Path, _sha256: str) -> ClicksFile:
    records, notes, unit = read_records(path, "clicks")
    lacking = [name for name in COLUMNS if name not in records[0][1]]
    if lacking:
        raise DataError(
            "a file of clicks lacks columns",
            where=path,
            expected=", ".join(COLUMNS) + " (and dataset, where it holds clicks of several)",
            found=f"no {', '.join(lacking)}; there are {', '.join(records[0][1])}",
            remedy="name the columns so in its first line",
        )
    problems = Problems(path, unit)
    found: dict[tuple[str, str], dict[str, dict[int, RecordedClick]]] = {}
    for line, record in records:
        _add(line, record, found, problems)
    _check_numbers(found.values(), problems)
    problems.raise_if_any("{n} lines of a file of clicks do not fit")
    by_image = {
        image: {name: tuple(those[k] for k in sorted(those)) for name, those in objects.items()} for image, objects in found.items()
    }
    plain = sorted([*image, name, *map(list, (c[1:] for c in those))] for image, o in by_image.items() for name, those in o.items())
    return ClicksFile(path, by_image, digest(plain), unit, tuple(notes))


def _add(
    line: int, record: Record, found: dict[tuple[str, str], dict[str, dict[int, RecordedClick]]], problems: Problems
) -> None:
    empty = [name for name in COLUMNS if not record[name]]
    if empty:
        return problems.add(line, f"no {' and no '.join(empty)}", "fill it in")
    read: dict[str, Any] = {}
    reading: dict[str, Callable[[], Any]] = {
        "k": lambda: values.whole(record["k"], "k", line, low=1),
        "x": lambda: values.whole(record["x"], "x", line, low=0),
        "y": lambda: values.whole(record["y"], "y", line, low=0),
        "label": lambda: values.flag(record["label"], "label", line),
    }
    for name, value in reading.items():
        try:
            read[name] = value()
        except DataError:
            expected = {"k": "1, 2, 3, ...", "label": "1 (on the object) or 0 (on background)"}.get(name, "a whole pixel from 0 on")
            problems.add(line, f"{name} is {record[name]!r}", f"expected {expected}")
    if len(read) < len(reading):
        return None
    image = (record.get("dataset", ""), known_id(record["image"]))
    those = found.setdefault(image, {}).setdefault(known_id(record["object"]), {})
    if read["k"] in those:
        where = f"object {record['object']!r} of image {record['image']!r}"
        return problems.add(line, f"click {read['k']} on {where} stands in {problems.unit} {those[read['k']].line} too", "keep one")
    those[read["k"]] = RecordedClick(line, read["x"], read["y"], read["label"])
    return None


def _check_numbers(images: Iterable[Mapping[str, Mapping[int, RecordedClick]]], problems: Problems) -> None:
    """Numbers from 1 on, none left out; not looked at where a line could not be read, which may be the missing one."""
    if problems.found:
        return
    for objects in images:
        for name, those in objects.items():
            missing = next(k for k in range(1, len(those) + 2) if k not in those)
            if missing <= len(those):
                later = min(k for k in those if k > missing)
                problems.add(those[later].line, f"click {later} on object {name!r} without click {missing}", "number them from 1")
