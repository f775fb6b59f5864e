"""The embedded dataset `demo`: 24 procedural scenes, generated on first use, the same bytes of pixels and masks everywhere.

<root>/annotations.json   COCO JSON, masks as RLE
<root>/images/<id>.png    8-bit RGB
<root>/striped.json       the ids of things with stripes
<root>/complete.json      written last: the size of every file
<root>/detections.json    a simulated detector's results, made when they are first asked for
<root>/phrases.json       phrases and what three simulated annotators draw for them, made when they are first asked for
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace as changed
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, get_args

from sambench import provenance
from sambench.cards import dataset_card
from sambench.errors import DataError, unknown_name
from sambench.files.writing import write_bytes
from sambench.loaders.coco import CocoJson
from sambench.loaders.demo.annotators import MAX_DIST, SMALLEST, boundaries
from sambench.loaders.demo.detector import detections, with_crowds
from sambench.loaders.demo.draw import Thing
from sambench.loaders.demo.phrases import concepts_of, phrases_of, striped_of
from sambench.loaders.open import find_root
from sambench.pixels.region import Region
from sambench.provenance import canonical_json
from sambench.types import Annotated, Holds, ImageRecord, Sample

# sha256 over all pixels and masks (`generate`). FROZEN with the scenes: bars and published demo numbers refer to them.
DIGEST = "371a469c2cbf09dcfc211935a75f108d2101b1015e9af73aa8c802acb26069a5"

HOLDS = get_args(Holds)
_MARK = "complete.json"


@dataclass(frozen=True)
class Demo:
    """Reader of the demo scenes; generates them at the first question if `root` does not hold them completely.

    image_id is like '03-street'; object_id counts from 1 over the dataset; the category is the kind of thing. Some parts
    are annotated beside their wholes (`window` and `house`).

    holds: `masks`; `boundaries`: the same scenes with the boundaries that four simulated annotators draw, for the edge task; or
    `concepts`: with phrases and what three simulated annotators draw for them, for the concept task.
    """

    root: Path
    name: str = "demo"
    variant: str = "default"
    holds: Holds = "masks"

    def __post_init__(self) -> None:
        if self.holds not in HOLDS:
            raise unknown_name(f"ground truth of {self.name}", self.holds, HOLDS)

    def index(self) -> Sequence[ImageRecord]:
        """24 images, in order of their ids."""
        records = self._files().index()
        if self.holds == "masks":
            return records
        if self.holds == "concepts":
            phrases = self._phrases()
            return [changed(r, n_masks=len(phrases[r.image_id])) for r in records]
        return [changed(r, n_masks=len(SMALLEST)) for r in records]

    def load(self, image_id: str) -> Sample:
        """Raises DataError on an unknown id."""
        sample = self._files().load(image_id)
        if self.holds == "boundaries":
            maps = boundaries(sample.instances, sample.height, sample.width)
            return changed(sample, instances=(), annotated=None, boundaries=maps, boundary_max_dist=MAX_DIST)
        if self.holds == "concepts":
            return changed(sample, instances=(), annotated=None, concepts=concepts_of(sample, self._phrases()[image_id]))
        return changed(sample, annotated=partial(_annotated, sample))

    def category_names(self) -> dict[int, str]:
        """Name by id."""
        return self._files().category_names()

    def all_image_ids(self) -> list[str]:
        """All 24; each has objects."""
        return self._files().all_image_ids()

    def image_size(self, image_id: str) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self._files().image_size(image_id)

    def detections(self) -> Path:
        """The results of a simulated detector, in COCO's form; the file is written on the first call."""
        path = self.root / "detections.json"
        if not path.is_file():
            samples = [self.load(r.image_id) for r in self.index()]
            write_bytes(path, canonical_json(detections(samples, self.category_names())).encode())
        return path

    def annotation_digest(self) -> str:
        """sha256 of the annotation file, and of the phrases where they are the ground truth."""
        digest = self._files().annotation_digest()
        return digest if self.holds != "concepts" else provenance.digest([digest, self._phrases()])

    def phrases(self) -> Path:
        """The phrases of every scene, in JSON; the file is written on the first call."""
        path = self.root / "phrases.json"
        if not path.is_file():
            files = self._files()
            samples = [files.load(r.image_id) for r in files.index()]
            write_bytes(path, canonical_json(phrases_of(samples, _striped(self.root))).encode())
        return path

    def _phrases(self) -> dict[str, list[dict[str, Any]]]:
        return _read_phrases(self.phrases())

    def _files(self) -> CocoJson:
        ensure(self.root)
        return CocoJson(self.root, self.name, self.variant)


@lru_cache(maxsize=2)
def _read_phrases(path: Path) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = json.loads(path.read_text())
    return found


def _striped(root: Path) -> list[str]:
    """The ids of things with stripes. Folders of earlier versions do not say: their scenes are drawn again."""
    try:
        found: list[str] = json.loads((root / "striped.json").read_text())
    except FileNotFoundError:
        from sambench.loaders.demo.scenes import SCENES, draw

        return striped_of(thing for number in range(len(SCENES)) for thing in draw(number).things)
    return found


def detections_file() -> Path:
    """The simulated detector's results on the demo of this machine (card `demo_detector`)."""
    root = find_root(dataset_card("demo"))
    assert root is not None  # of an embedded dataset there always is one
    return Demo(root).detections()


def _annotated(sample: Sample) -> Annotated:
    assert sample.annotated is not None
    return with_crowds(sample.annotated(), sample.height, sample.width)


def is_complete(root: Path) -> bool:
    """Whether every file is there with the size it was written with."""
    try:
        sizes = json.loads((root / _MARK).read_text())
        return bool(sizes) and all((root / name).stat().st_size == size for name, size in sizes.items())
    except (OSError, ValueError, AttributeError):
        return False


def ensure(root: Path) -> None:
    """Generate the dataset into `root` unless it is complete. Safe with several processes: each writes aside, one wins.

    Raises DataError if the folder cannot be written, or if this machine draws other pixels than the frozen ones.
    """
    if is_complete(root):
        return
    try:
        root.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{root.name}.", dir=root.parent))
    except OSError as e:
        raise _unwritable(root, e) from e
    try:
        fresh = aside / root.name  # with the user's own permissions, which mkdtemp's folder has not
        fresh.mkdir()
        generate(fresh)
        _move(fresh, root)
    except OSError as e:
        raise _unwritable(root, e) from e
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _move(fresh: Path, root: Path) -> None:
    """Rename a finished folder into place; keeps what another process has finished meanwhile, replaces what is broken."""
    for _ in range(20):
        if is_complete(root):
            return
        try:
            os.rename(fresh, root)  # fails if root has entries
        except OSError:
            if not root.exists():
                raise
            if is_complete(root):
                return
            broken = Path(tempfile.mkdtemp(prefix=f".{root.name}.broken.", dir=root.parent))
            try:
                os.rename(root, broken / "was")
            except FileNotFoundError:
                pass  # another process took it away first
            finally:
                shutil.rmtree(broken, ignore_errors=True)
        else:
            return
    raise DataError("the demo dataset cannot be put in place", where=root, remedy="delete this folder and try again")


def _unwritable(root: Path, e: OSError) -> DataError:
    return DataError(
        "the demo dataset cannot be generated",
        where=root,
        expected="a folder that can be written, with 20 MB free",
        found=e.strerror or repr(e),
        remedy="set SAMBENCH_CACHE to another folder",
    )


def generate(folder: Path) -> None:
    """Draw all scenes and write them into an existing empty folder; about 6 s."""
    from PIL import Image

    from sambench.loaders.demo.scenes import SCENES, draw

    (folder / "images").mkdir()
    content: dict[str, list[Any]] = {"images": [], "annotations": [], "categories": []}
    numbers: dict[str, int] = {}
    things: list[Thing] = []
    seen = hashlib.sha256()
    for number in range(len(SCENES)):
        scene = draw(number)
        height, width = scene.image.shape[:2]
        file_name = f"images/{scene.image_id}.png"
        Image.fromarray(scene.image).save(folder / file_name)
        record = {"id": scene.image_id, "file_name": file_name, "height": height, "width": width}
        masks: list[dict[str, Any]] = []
        for thing in scene.things:
            rle = Region.from_array(thing.visible).rle()
            masks.append(
                {
                    "id": len(content["annotations"]) + len(masks) + 1,
                    "image_id": scene.image_id,
                    "category_id": numbers.setdefault(thing.category, len(numbers) + 1),
                    "segmentation": {"size": rle["size"], "counts": rle["counts"].decode()},
                    "iscrowd": 0,
                }
            )
        seen.update(canonical_json([record, masks]).encode() + scene.image.tobytes())
        content["images"].append(record)
        content["annotations"] += masks
        things += scene.things
    content["categories"] = [{"id": n, "name": name} for name, n in numbers.items()]
    _check(seen.hexdigest())
    (folder / "annotations.json").write_text(canonical_json(content))
    (folder / "striped.json").write_text(canonical_json(striped_of(things)))
    sizes = {p.relative_to(folder).as_posix(): p.stat().st_size for p in sorted(folder.rglob("*")) if p.is_file()}
    (folder / _MARK).write_text(canonical_json(sizes))


def _check(found: str) -> None:
    if found != DIGEST:
        raise DataError(
            "this machine draws the demo scenes differently",
            expected=f"digest {DIGEST}",
            found=found,
            remedy="report this with the versions of Python and numpy: numbers on `demo` would not compare",
        )
