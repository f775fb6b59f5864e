"""A look at the objects of some images of a dataset: what is left out, and what is said of the files. Pixels are not read."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sambench.errors import SambenchError
from sambench.left_out import Tally
from sambench.notes import noting
from sambench.text import counted
from sambench.types import Dataset, ListsImages, reader_of

MOST = 200  # images that are looked at before anything is computed
MOST_S = 5.0


@dataclass
class Survey:
    """n_images: looked at, of n_wanted. n_objects: masks, boundary maps and phrases there. broken: (image id, error) of images that
    fail."""

    n_wanted: int
    n_images: int = 0
    n_objects: int = 0
    said: Tally = field(default_factory=Tally)
    broken: list[tuple[str, str]] = field(default_factory=list)

    def sentences(self) -> list[str]:
        """What was left out and what is to be said, each with the number of images it is of if that is not all."""
        of = "" if self.n_images == self.n_wanted else f" (of the first {self.n_images:,} images)"
        said = self.said.sentences()
        if self.broken:
            image_id, error = self.broken[0]
            n = len(self.broken)
            said.append(f"{counted(n, 'image')} cannot be used, the first is {image_id}: {error}")
        return [text + of for text in said]


def survey(dataset: Dataset, image_ids: Sequence[str], *, most: int = MOST, most_s: float = MOST_S) -> Survey:
    """Load the objects of the first `most` images, and no more once `most_s` seconds are over."""
    found, begun = Survey(len(image_ids)), time.monotonic()
    for image_id in image_ids[:most]:
        if found.n_images and time.monotonic() - begun > most_s:
            break
        found.n_images += 1
        with noting() as said:
            try:
                sample = dataset.load(image_id)
            except Exception as e:  # noqa: BLE001 - a reader may be anybody's
                found.broken.append((image_id, told(e)))
                continue
        found.n_objects += sample.n_objects
        found.said.add(sample.left_out, said)
    return found


def told(e: Exception) -> str:
    """One line of what a reader raised."""
    return e.one_line() if isinstance(e, SambenchError) else f"its reader failed with {type(e).__name__}: {e}"


def known_images(dataset: Dataset) -> list[str]:
    """The images of the index, then those that a reader has beside them, for they hold no objects."""
    listed = [r.image_id for r in dataset.index()]
    return list(dict.fromkeys([*listed, *unlisted(dataset, listed)]))


def unlisted(dataset: Dataset, listed: Iterable[str]) -> list[str]:
    """Images that a reader can load but leaves out of its index."""
    reader, known = reader_of(dataset), set(listed)
    return [i for i in reader.all_image_ids() if i not in known] if isinstance(reader, ListsImages) else []
