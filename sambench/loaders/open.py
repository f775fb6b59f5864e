"""From a dataset's card to its reader: where the files are, whether their layout is as expected, what to do if not.

A reader is a class (or function) named by a card as `module:name` and called as
`Reader(root, name=..., variant=..., **options)`; what it gives is a `sambench.types.Dataset`. It may have a static
method `fits(root, **options) -> bool`, a cheap look at the folder's layout; with it a wrong folder is recognised before a
run, and the right one is found one level up or down.

The option `depth` is no reader's but of every card: how pictures of more than 8 bits are opened (`sambench.loaders.eight_bit`).
"""

from __future__ import annotations

import inspect
import json
import os
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from pydantic import TypeAdapter, ValidationError

from sambench import paths
from sambench.cards import DatasetCard, load_entry
from sambench.errors import CardError, DataError, DataMissingError, near_names
from sambench.loaders.eight_bit import DEPTHS, Depth
from sambench.loaders.guard import GuardedDataset, Origin, guarding, running
from sambench.types import Dataset
from sambench.values import short

_SHOWN = 8  # entries of a folder that an error message names
_PROBED = 64  # folders one level down that are looked into for the layout


class Place(NamedTuple):
    """Somewhere a dataset may be; `how` says why it is looked for there."""

    path: Path
    how: str


def roots_file() -> Path:
    """Where adopted roots are recorded: a JSON object, dataset id -> absolute path."""
    return paths.home() / "roots.json"


def read_roots() -> dict[str, str]:
    """Adopted roots by dataset id; empty if nothing was adopted. Raises DataError if the file is damaged."""
    path = roots_file()
    try:
        roots = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as e:
        found, remedy = e.strerror or repr(e), "set SAMBENCH_HOME to a folder that can be read"
        raise DataError("the record of adopted data roots cannot be read", where=path, found=found, remedy=remedy) from e
    except ValueError as e:
        raise _broken_roots(path, repr(e)) from e
    if not isinstance(roots, dict) or not all(isinstance(v, str) for v in roots.values()):
        raise _broken_roots(path, "another kind of JSON")
    return roots


def _broken_roots(path: Path, found: str) -> DataError:
    return DataError(
        "the record of adopted data roots cannot be read",
        where=path,
        expected='a JSON object {"<dataset>": "<path>"}',
        found=found,
        remedy="mend or delete the file, and adopt the folders again",
    )


def places(card: DatasetCard) -> list[Place]:
    """Where a dataset is looked for, in order. An embedded one has its cache folder only, which need not exist yet."""
    if card.access.state == "embedded":
        return [Place(paths.cache() / f"{card.id}-{card.revision}", "generated into the cache")]
    found = []
    adopted = read_roots().get(card.id)
    if adopted is not None:
        found.append(Place(Path(adopted), f"adopted (recorded in {roots_file()})"))
    given = os.environ.get("SAMBENCH_DATA")
    how = "under SAMBENCH_DATA" if given else "the default data folder; set SAMBENCH_DATA for another"
    found.append(Place(paths.data_root() / card.id, how))
    return found


def find_place(card: DatasetCard) -> Place | None:
    """The first place that exists (for an embedded dataset: that is or will be), or None."""
    if card.access.state == "embedded":
        return places(card)[0]
    return next((p for p in places(card) if p.path.is_dir()), None)


def find_root(card: DatasetCard) -> Path | None:
    """The folder of a dataset's files, or None if they are not on this machine. Its layout is not looked at."""
    place = find_place(card)
    return place.path if place else None


def open_dataset(
    card: DatasetCard, *, variant: str | None = None, root: Path | None = None, known: bool = False
) -> Dataset:
    """The dataset of a card, ready to be read.

    root: a folder to use instead of the adopted one and `$SAMBENCH_DATA/<id>`. known: its layout was looked at before.
    Raises DataMissingError (nowhere to be found: lists the places and how to get it), DataError (another layout),
    UsageError (unknown variant) and CardError (a reader that cannot be imported, or options that it does not take).
    """
    reader = load_entry(card.reader, where=f"the card of dataset {card.id!r}")
    options, depth = _split(card, reader, card.options_of(variant))
    check_options(card, reader, options)
    found = Path(root).expanduser() if root is not None else find_root(card)
    if found is None or not (found.is_dir() or card.access.state == "embedded"):
        raise missing(card, root)
    if card.access.state != "embedded" and not known:
        check_layout(card, found, reader, options)
    origin = Origin.of(card)
    with guarding(origin), running(origin, CardError):
        dataset = reader(found, name=card.id, variant=variant or "default", **options)
    if not isinstance(dataset, Dataset):
        raise CardError(
            f"the reader of dataset {card.id!r} does not give a dataset",
            where=card.reader,
            expected="name, variant, index(), load(image_id), annotation_digest()",
            found=type(dataset).__name__,
        )
    return GuardedDataset(dataset, dataset.name, dataset.variant, origin, depth)


def _split(card: DatasetCard, reader: Any, options: dict[str, Any]) -> tuple[dict[str, Any], Depth]:
    """The options of the reader, and how its pictures are opened. Raises CardError on an unknown way."""
    try:
        if "depth" in inspect.signature(reader).parameters:  # a reader of others may mean something else by it
            return options, DEPTHS[0]
    except (TypeError, ValueError):
        pass
    depth = options.get("depth", DEPTHS[0])
    if depth not in DEPTHS:
        raise CardError(
            "a depth of images does not fit",
            where=f"option depth of the card of dataset {card.id!r}",
            expected=" or ".join(map(repr, DEPTHS)),
            found=repr(depth),
        )
    return {k: v for k, v in options.items() if k != "depth"}, depth


def check_options(card: DatasetCard, reader: Any, options: dict[str, Any]) -> None:
    """Raise CardError where a reader does not take these options of a card, or not values of their types."""
    try:
        signature = inspect.signature(reader)
    except ValueError:  # a built-in: nothing to compare with
        return
    try:
        signature.bind(Path(), name=card.id, variant="default", **options)
    except TypeError as e:
        raise CardError(
            f"the reader of dataset {card.id!r} does not take the card's options",
            where=card.reader,
            expected=str(signature),
            found=f"{options!r}: {e}",
        ) from e
    hints = _hints(reader)
    for key, value in options.items():
        try:
            # As JSON, strictly: lists stand for tuples, but texts for no numbers.
            TypeAdapter(hints.get(key, Any)).validate_json(json.dumps(value), strict=True)
        except ValidationError as e:
            wrong = e.errors()
            first = wrong[0]
            expected = " or ".join(dict.fromkeys(w["msg"].removeprefix("Value error, ") for w in wrong[:3]))
            at = "".join(f"[{part!r}]" for part in first["loc"] if isinstance(part, int))
            raise CardError(
                f"option {key!r} of dataset {card.id!r} is not what its reader takes",
                where=f"option {key}{at}, of reader {card.reader}",
                expected=expected,
                found=short(first["input"]),
                remedy="mend that option, under [options] of the card or after the name",
            ) from e


def _hints(reader: Any) -> dict[str, Any]:
    """The types of a reader's options, as far as it says them."""
    try:
        return get_type_hints(reader.__init__ if inspect.isclass(reader) else reader, include_extras=True)
    except Exception:  # noqa: BLE001 - annotations of others' code, which may name anything
        return {}


def missing(card: DatasetCard, root: Path | None = None) -> DataMissingError:
    """The error for a dataset that is nowhere: the places looked at, the card's access steps, how to adopt a copy."""
    looked = [Place(root, "given explicitly")] if root is not None else places(card)
    lines = [f"{i}. {step}" for i, step in enumerate(card.access.steps, 1)]
    if card.access.state == "dead":
        lines.insert(0, "the official source is gone; a copy made earlier will do")
    lines.append(f"or, if a copy is on this machine already: sambench data adopt {card.named} FOLDER")
    return DataMissingError(
        f"the files of dataset {card.id!r} are not here",
        where="; ".join(f"{p.path} ({p.how})" for p in looked),
        expected="a folder with: " + " | ".join(card.layout) if card.layout else None,
        found="a file, not a folder" if any(p.path.is_file() for p in looked) else "no such folder",
        remedy="\n    ".join(["", *lines]).rstrip(),
    )


def check_layout(card: DatasetCard, root: Path, reader: Any = None, options: dict[str, Any] | None = None) -> None:
    """Raise DataError if `root` is empty or not laid out as the card's reader expects.

    The error names the first entries that are there, and the right folder if it is one level above or below.
    """
    if reader is None:
        reader = load_entry(card.reader, where=f"the card of dataset {card.id!r}")
    options, _ = _split(card, reader, card.options_of(None) if options is None else options)
    names = _entries(root)
    fits: Callable[..., bool] | None = getattr(reader, "fits", None)
    with running(Origin.of(card), CardError):
        if names and (fits is None or fits(root, **options)):
            return
        _check_open(root)
        near = next((p for p in _around(root) if fits is not None and fits(p, **options)), None)
    if near is not None:
        level = "above" if near == root.resolve().parent else "below"
        remedy = f"the layout is one level {level}: sambench data adopt {card.named} {shlex.quote(str(near))}"
    else:
        remedy = f"give the folder that has this layout: sambench data adopt {card.named} FOLDER"
    raise DataError(
        f"the folder of dataset {card.id!r} is {'laid out in another way' if names else 'empty'}",
        where=root,
        expected=" | ".join(card.layout) or "the layout that its reader knows",
        found=", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "") if names else "nothing",
        remedy=remedy,
    )


def _check_open(root: Path) -> None:
    """Raises DataError where a folder below may not be read: what lies in it is not another layout."""
    closed: list[OSError] = []
    for n, _ in enumerate(os.walk(root, onerror=closed.append)):
        if closed or n >= _PROBED:
            break
    if closed:
        where, found = closed[0].filename, closed[0].strerror or repr(closed[0])
        raise DataError("a data folder cannot be read", where=where, found=found, remedy="give yourself the permission to read it")


def _around(root: Path) -> Iterator[Path]:
    yield root.resolve().parent
    below = [p for p in sorted(root.iterdir()) if p.is_dir() and not p.name.startswith(".")]
    yield from below[:_PROBED]


def _entries(root: Path) -> list[str]:
    try:
        return sorted(p.name + ("/" if p.is_dir() else "") for p in root.iterdir() if not p.name.startswith("."))
    except OSError as e:
        raise DataError("a data folder cannot be read", where=root, found=e.strerror or repr(e)) from e


def unknown_image(dataset: str, image_id: str, known: list[str]) -> DataError:
    """The error of a reader's `load` for an id that its dataset does not have."""
    near = near_names(image_id, known)
    return DataError(
        f"dataset {dataset!r} has no image {image_id!r}",
        expected=f"one of {len(known)} ids",
        found=repr(image_id),
        remedy=f"did you mean {' or '.join(map(repr, near))}?" if near else None,
    )
