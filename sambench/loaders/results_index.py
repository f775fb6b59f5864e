"""Where the entries of a results file stand: one pass over its bytes, each entry checked and let go.

A file of a million masks has gigabytes once it is parsed; its index has 24 bytes an entry. That of a big file is kept in the cache.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import zipfile
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from sambench import __version__, paths
from sambench.errors import DataError
from sambench.files import content
from sambench.files.unchanged import check_still
from sambench.files.writing import replacing
from sambench.loaders import values
from sambench.provenance import canonical_json

BIG = 48 << 20  # bytes from which the index is kept in the cache
CHUNK = 8 << 20
LONGEST = 64 << 20  # bytes of one entry
_FORMAT = 5  # 2 had ids as they were written; 3 knew no phrases, 4 none beside a category
_SPACE = re.compile(r"[ \t\n\r]*")
_MOST_ID = 1 << 52
FARTHEST = 1e9  # pixels
_MAY_LACK = ("bbox", "segmentation", "category_id", "phrase")  # null and NaN, as pandas writes what is absent, are as if left out
_NO_SCORE = "give every detection its score: without scores they have no order, and no precision follows"
_FORM = 'a list [{"image_id": ..., "category_id": ..., "bbox": [x, y, width, height], "score": ...}, ...]'


@dataclass(frozen=True)
class Index:
    """Entries in the order of their images: those of image_ids[s] are starts[s] .. starts[s + 1] - 1, in the file's order.

    offset, end int64 [n]: bytes in the file. position int64 [n]: place in the file. starts int64 [images + 1].
    n_boxes, n_masks, n_categories, n_phrases: entries that have one. category_ids: those that occur, ascending.
    """

    image_ids: tuple[str, ...]
    starts: npt.NDArray[np.int64]
    offset: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    position: npt.NDArray[np.int64]
    n_boxes: int
    n_masks: int
    n_categories: int
    category_ids: tuple[int, ...]
    n_phrases: int = 0

    @property
    def n(self) -> int:
        return len(self.offset)


def read_index(path: Path) -> Index:
    """The index of a file, made anew when the file has changed. Raises DataError as `coco_results.read_results` says."""
    try:
        return _read(path.absolute(), path.stat().st_size, content.file_sha256(path))
    except (OSError, ValueError) as e:  # ValueError: a name with a null character
        raise DataError(
            "a results file cannot be read",
            where=f"{path!s:.200}",
            expected="a JSON file of detections",
            found="a folder" if os.path.isdir(path) else getattr(e, "strerror", None) or str(e),
            remedy="mend the path",
        ) from e


@lru_cache(maxsize=4)
def _read(path: Path, size: int, sha256: str) -> Index:
    if size < BIG:
        return _scanned(path, sha256)
    told = canonical_json([_FORMAT, __version__, str(path), sha256])
    store = paths.cache() / "index" / f"{hashlib.sha256(str(path).encode()).hexdigest()[:32]}.npz"
    found = _load(store, told)
    if found is None:
        found = _scanned(path, sha256)
        _save(store, told, found)
    return found


def _scanned(path: Path, sha256: str) -> Index:
    found = _scan(path)
    check_still(path, sha256)
    return found


def _scan(path: Path) -> Index:
    slots: dict[str, int] = {}
    slot, offset, end = array("i"), array("q"), array("q")
    counts, categories = [0, 0, 0, 0], set[int]()
    with path.open("rb") as f:
        for first, last, entry in _entries(f, path):
            plain = plain_entry(entry, len(slot), path)
            counts[0] += plain.box is not None
            counts[1] += bool(plain.mask)
            counts[3] += plain.phrase is not None
            if plain.category_id is not None:
                counts[2] += 1
                categories.add(plain.category_id)
            slot.append(slots.setdefault(plain.image_id, len(slots)))
            offset.append(first)
            end.append(last)
    of = np.frombuffer(slot, np.int32) if slot else np.zeros(0, np.int32)
    order = np.argsort(of, kind="stable")
    starts = np.concatenate(([0], np.cumsum(np.bincount(of, minlength=len(slots))))).astype(np.int64)
    begins, ends = (np.array(a, np.int64)[order] for a in (offset, end))
    boxes, masks, with_category, phrases = counts
    named = tuple(sorted(categories))
    return Index(tuple(slots), starts, begins, ends, order.astype(np.int64), boxes, masks, with_category, named, phrases)


def _entries(f: BinaryIO, path: Path) -> Iterator[tuple[int, int, Any]]:
    """(first byte, byte after the last, value) of every element of the list, a chunk of the file in memory at a time.

    Bytes are read as Latin-1, one character each, so that places in the text are places in the file.
    """
    decode = json.JSONDecoder().raw_decode
    base = 3 if f.read(3) == b"\xef\xbb\xbf" else 0
    f.seek(base)
    text, pos, n, expects, closed = "", 0, 0, "list", False
    while True:
        pos = _SPACE.match(text, pos).end()  # type: ignore[union-attr]
        if pos < len(text) and not closed:
            mark = text[pos]
            if expects == "list":
                if mark != "[":
                    _not_a_list(text[pos:] + f.read(CHUNK).decode("latin-1"), path)
                expects, pos = "first", pos + 1
                continue
            if mark == "]" and expects != "value":
                closed, pos = True, pos + 1
                continue
            if expects == "comma":
                if mark != ",":
                    _broken(path, n, base + pos, "a comma or the end of the list", repr(text[pos : pos + 20]))
                expects, pos = "value", pos + 1
                continue
            try:
                value, stop = decode(text, pos)
                if not isinstance(value, dict):
                    _wrong_entry(path, n, "an object", values.shown(value))
                if not str(value.get("image_id")).isascii():  # raw or escaped: only UTF-8 tells
                    value = json.loads(text[pos:stop].encode("latin-1"))
                yield base + pos, base + stop, value
                n, expects, pos = n + 1, "comma", stop
                continue
            except RecursionError as e:
                _broken(path, n, base + pos, "an object", str(e))
            except ValueError as e:  # cut off by the end of the chunk, or broken
                more = f.read(CHUNK).decode("latin-1") if len(text) - pos < LONGEST else ""
                if not more:
                    _broken(path, n, base + pos, "an object that JSON can read", str(e))
        elif pos < len(text):
            _broken(path, n, base + pos, "nothing after the list", repr(text[pos : pos + 20]))
        else:
            more = f.read(CHUNK).decode("latin-1")
            if not more:
                if closed:
                    return
                if expects == "list":
                    _not_a_list("", path)
                _broken(path, n, base + pos, "the end of the list, `]`", "the end of the file")
        text, base, pos = text[pos:] + more, base + pos, 0


class Entry(NamedTuple):
    """A detection as a file has it, its values made plain. box: x, y, width, height, or None. mask: RLE or polygons as they stand
    there, [] for one without pixels, or None. category_id, phrase: None where there is none, or null."""

    image_id: str
    score: float
    box: list[float] | None
    mask: Any
    category_id: int | None
    phrase: str | None = None


def plain_entry(given: dict[str, Any], n: int, path: Path) -> Entry:
    """Element n of the list. Raises DataError naming what of it cannot be used."""
    usual = _usual_entry(given)
    return usual if usual is not None else _unusual_entry(given, n, path)


def _usual_entry(given: dict[str, Any]) -> Entry | None:
    """An entry as nearly all are, numbers as JSON writes them: its values need no reading. None of others, also of those with a
    phrase: what is read of an entry is read below, or is among the keys here."""
    if "phrase" in given:
        return None
    get: Callable[[str], Any] = given.get
    image_id, score, category, mask, box = (get(k) for k in ("image_id", "score", "category_id", "segmentation", "bbox"))
    plain = type(image_id) is int and type(score) is float and score - score == 0 and type(category) is int
    if not plain or not 0 <= category < _MOST_ID or not 0 <= image_id < _MOST_ID:
        return None
    if type(mask) is not dict or not mask or ("bbox" in given and not _usual_box(box)):
        return None
    return Entry(str(image_id), score, box, mask, category)


def _usual_box(box: Any) -> bool:
    """Four floats of pixels, none of them infinite, negative or far away."""
    return type(box) is list and len(box) == 4 and all(type(v) is float and 0 <= v < FARTHEST for v in box)


def _unusual_entry(given: dict[str, Any], n: int, path: Path) -> Entry:
    if any(values.absent(given.get(k)) for k in _MAY_LACK):
        given = {k: v for k, v in given.items() if not (k in _MAY_LACK and values.absent(v))}

    def read(key: str, value: Callable[[Any], Any], expected: str) -> Any:
        try:
            return value(given.get(key))
        except DataError:
            _wrong_entry(path, n, f"{key}{expected}", _said(given, key), _NO_SCORE if key == "score" and key not in given else None)

    image_id = read("image_id", lambda v: str(values.plain_id(v, "", "")), ", a whole number or text")
    score = read("score", lambda v: values.number(v, "", ""), ", a finite number")
    box = mask = category = None
    if given.get("bbox") not in (None, []):
        box = read("bbox", lambda v: values.numbers(v, "", "", n=4), ", four finite numbers x, y, width, height")
        if max(map(abs, box)) >= FARTHEST:
            _wrong_entry(path, n, "bbox, four finite numbers of pixels", _said(given, "bbox"))
        if box[2] < 0 or box[3] < 0:
            _wrong_entry(path, n, "bbox with a width and height from 0 on", _said(given, "bbox"))
    if given.get("segmentation") is not None:
        mask = given["segmentation"]
        if not isinstance(mask, list | dict):
            _wrong_entry(path, n, "segmentation, an RLE object or a list of polygons", _said(given, "segmentation"))
        # An empty list beside a box is how some detectors write "no mask"; alone it is a mask without pixels.
        mask = mask or (None if box else [])
    elif box is None:
        _wrong_entry(path, n, "bbox or segmentation", "neither")
    if given.get("category_id") is not None:
        span = {"low": 0, "high": (1 << 62) - 1}
        category = read("category_id", lambda v: values.whole(v, "", "", **span), ", a whole number from 0 on")
    phrase = None if given.get("phrase") is None else read("phrase", lambda v: values.text(v, "", ""), ", a text")
    return Entry(image_id, score, box, mask, category, phrase)


def _said(entry: dict[str, Any], key: str) -> str:
    return f"{key} {values.shown(entry[key])}" if key in entry else f"no {key} among {values.shown([*entry])}"


def _not_a_list(text: str, path: Path) -> NoReturn:
    found, remedy = repr(text[:40]) if text else "an empty file", None
    if text.startswith("{"):
        found = "an object"
        truth = '"annotations"' in text
        remedy = "this looks like ground truth: give the detector's results" if truth else "give the list itself"
    raise DataError("a results file is not a list of detections", where=path, expected=_FORM, found=found, remedy=remedy)


def _wrong_entry(path: Path, n: int, expected: str, found: str, remedy: str | None = None) -> NoReturn:
    raise DataError(
        "a detection in a results file cannot be used",
        where=f"entry {n} (from 0) of {path}",
        expected=expected,
        found=f"{found:.200}",
        remedy=remedy or "write the file again, or leave that entry out",
    )


def _broken(path: Path, n: int, at: int, expected: str, found: str) -> NoReturn:
    raise DataError(
        "a results file is truncated or not JSON",
        where=f"{path}, entry {n} (from 0), byte {at}",
        expected=expected,
        found=f"{found:.120}",
        of_release="fetch this file again",
        remedy="write it again",
    )


def _load(store: Path, told: str) -> Index | None:
    try:
        with np.load(store, allow_pickle=False) as held:
            if str(held["told"]) != told:
                return None
            ids = tuple(json.loads(held["image_ids"].tobytes()))
            starts, offset, end, position = (held[k] for k in ("starts", "offset", "end", "position"))
            boxes, masks, categories, phrases = held["counts"].tolist()
            named = tuple(held["category_ids"].tolist())
            return Index(ids, starts, offset, end, position, boxes, masks, categories, named, phrases)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _save(store: Path, told: str, index: Index) -> None:
    # The cache only saves time: where it cannot be written, every process reads the file itself.
    ids = np.frombuffer(json.dumps(index.image_ids).encode(), np.uint8)
    with contextlib.suppress(OSError), replacing(store) as aside, aside.open("wb") as f:
        np.savez(
            f,
            told=np.array(told),
            image_ids=ids,
            starts=index.starts,
            offset=index.offset,
            end=index.end,
            position=index.position,
            counts=np.array([index.n_boxes, index.n_masks, index.n_categories, index.n_phrases], np.int64),
            category_ids=np.array(index.category_ids, np.int64),
        )
