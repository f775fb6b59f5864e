"""Which objects a rating study asks about: drawn by a keyed hash from the point task's subsets (docs/protocol.md)."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sambench import cards, provenance
from sambench.cards.writing import own_card_text
from sambench.errors import DataError
from sambench.files.writing import write_aside, write_text
from sambench.loaders.rated import ITEMS, SOURCE, rescaled, rescaled_size
from sambench.sources.datasets import Target
from sambench.types import Instance, Sample

CARD = "card.toml"
OWN_CARD = "dataset.toml"  # of a dataset that has none
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Drawing:
    """How objects are drawn. n: of each dataset; min_area_px: of the annotated mask at its own resolution (choice); max_side_px: of
    the image before prediction; seed: of the draw.
    """

    n: int = 1000
    min_area_px: int = 24 * 24
    max_side_px: int = 2000
    seed: int = 0


@dataclass(frozen=True)
class Drawn:
    """The objects of one dataset, written as a folder that `loaders.rated` reads. dataset: as the key names it."""

    dataset: str
    folder: Path
    n_objects: int
    n_images: int
    note: str

    @property
    def card(self) -> str:
        """The path of its card, for `--datasets`."""
        return str((self.folder / CARD).resolve())


def draw(target: Target, drawing: Drawing, folder: Path, on_progress: Progress) -> Drawn:
    """Choose the objects of one dataset, and write them to `folder`; what stands there already for the same question is kept.

    Objects are taken in keyed-hash order from all of the subset's that are large enough and can be clicked, until there are n.
    Raises DataError where there is none.
    """
    name = ":".join(filter(None, [target.card.id, target.variant]))
    asked = {
        "drawing": vars(drawing),
        "dataset": target.identity(),
        "source": target.spec.name,
        "root": str(Path(target.spec.root).resolve()) if target.spec.root else None,
    }
    known = _read(folder / "drawn.json")
    if known.get("asked") != json.loads(json.dumps(asked)):
        chosen, n_fit, n_all = _choose(target, drawing, name, on_progress)
        few = "" if len(chosen) == drawing.n else f"only {n_fit} of {n_all} objects can be rated; all are taken"
        note = "; ".join(f"{name}: {n}" for n in (target.subset.note, few) if n)
        known = {"asked": asked, "n_objects": len(chosen), "n_images": len({i for i, _ in chosen}), "note": note}
        _write(folder, target, drawing, chosen)
        write_aside(folder / "drawn.json", lambda p: p.write_text(json.dumps(known), encoding="utf-8"))
    return Drawn(name, folder, int(known["n_objects"]), int(known["n_images"]), str(known["note"]))


def _choose(target: Target, drawing: Drawing, name: str, on_progress: Progress) -> tuple[list[tuple[str, str]], int, int]:
    """((image id, object id) of the chosen, how many fit, how many there are), in the subset's order."""
    fitting: list[tuple[str, str]] = []
    large: set[str] = set()
    n_all = 0
    images = target.subset.image_ids
    for done, image_id in enumerate(images):
        on_progress(f"{name}: looking for objects", done, len(images))
        sample = target.dataset.load(image_id)
        n_all += len(sample.instances)
        fitting += [(image_id, o.object_id) for o in sample.instances if o.area_px >= drawing.min_area_px and _clickable(o, sample)]
        if rescaled_size(sample.height, sample.width, drawing.max_side_px) != (sample.height, sample.width):
            large.add(image_id)
    on_progress(f"{name}: looking for objects", len(images), len(images))
    key = f"rating {drawing.seed}"
    order = sorted(fitting, key=lambda at: (provenance.keyed_hash(key, name, *at), at))
    chosen = set(_survivors(order, large, target, drawing))
    if not chosen:
        raise DataError(
            f"dataset {name!r} has no object that can be rated",
            expected=f"masks of at least {drawing.min_area_px} px",
            found=f"{n_all} masks, all smaller" if n_all else "no masks",
        )
    return [at for at in fitting if at in chosen], len(fitting), n_all


def _survivors(order: list[tuple[str, str]], large: set[str], target: Target, drawing: Drawing) -> Iterator[tuple[str, str]]:
    """The first n whose mask is there, and can be clicked, after rescaling."""
    n = 0
    for image_id, object_id in order:
        if n == drawing.n:
            return
        if image_id in large:
            small = rescaled(target.dataset.load(image_id), drawing.max_side_px)
            if not any(o.object_id == object_id and _clickable(o, small) for o in small.instances):
                continue
        n += 1
        yield image_id, object_id


def _clickable(o: Instance, sample: Sample) -> bool:
    return sample.ignore is None or o.region.intersection(sample.ignore) < o.area_px


def _card_of(folder: Path, target: Target) -> str:
    """The name of the dataset's card; one that has none gets it in the study's folder."""
    if cards.is_path(target.spec.name):
        return str(Path(target.spec.name).resolve())
    if not target.card.given:
        return target.spec.name
    path = folder / OWN_CARD
    write_text(path, own_card_text(target.card, target.card.id))
    return str(path.resolve())


def _write(folder: Path, target: Target, drawing: Drawing, chosen: list[tuple[str, str]]) -> None:
    by_image: dict[str, list[str]] = {}
    for image_id, object_id in chosen:
        by_image.setdefault(image_id, []).append(object_id)
    source = {
        "dataset": _card_of(folder, target),
        "variant": target.spec.variant,
        "root": str(Path(target.spec.root).resolve()) if target.spec.root else None,
        "annotation_digest": target.dataset.annotation_digest(),
        "max_side": drawing.max_side_px,
    }
    card_id = "-".join(filter(None, [target.card.id, target.variant, "rated"])).lower()
    card: dict[str, Any] = {
        "id": card_id,
        "name": f"{target.card.name}, objects of a rating study",
        "reader": "sambench.loaders.rated:RatedObjects",
        "image_type": target.card.image_type,
        "mask_kind": target.card.mask_kind,
        "layout": [f"<root>/{ITEMS}, <root>/{SOURCE}"],
        "licence": target.card.licence,
        "citation": str(target.card.citation),
    }
    lines = [f"{k} = {json.dumps(v, ensure_ascii=False)}" for k, v in card.items()]
    lines += ["", "[access]", 'state = "manual"', 'steps = ["made by `sambench rate make`"]']
    files = {
        ITEMS: json.dumps(list(by_image.items()), ensure_ascii=False, indent=0),
        SOURCE: json.dumps(source, ensure_ascii=False, indent=2),
        CARD: "\n".join(lines) + "\n",
    }
    for name, text in files.items():
        write_aside(folder / name, lambda p, text=text: p.write_text(text, encoding="utf-8"))  # type: ignore[misc]


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
