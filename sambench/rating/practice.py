"""Examples for the guidelines, and practice jobs with an answer: objects of scenes of `demo`, their masks spoilt on purpose.

Nothing of a study is in them, so that no rater has seen one of its masks before, and they need neither a model nor a network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock

import cv2
import numpy as np

from sambench.loaders.demo.scenes import draw
from sambench.pixels.region import Region
from sambench.prompts import center_click
from sambench.rating.render import FORMS, encoded
from sambench.rating.views import ALL_VIEWS, Scene, ShownPrompt
from sambench.types import BoolArray

SIDE_PX = 1024
_FORM = FORMS["jpg"]["image"]


@dataclass(frozen=True)
class Task:
    """A mask whose rating is known. scene: of `demo`, from 0; item: the object's place in it; spoil: makes the mask of the
    object's; the answer is a score from `low` to `high`, and `why` says what a rater should have seen.
    """

    scene: int
    item: int
    spoil: Callable[[BoolArray], BoolArray]
    low: int
    high: int
    why: str
    other: int | None = None  # the object whose mask is shown instead: the prompt stays

    @property
    def answer(self) -> str:
        return str(self.low) if self.low == self.high else f"{self.low} to {self.high}"


def _same(mask: BoolArray) -> BoolArray:
    return mask


def _rough(mask: BoolArray) -> BoolArray:
    """A boundary that wanders by a few pixels."""
    noise = cv2.GaussianBlur(np.random.default_rng(7).normal(0, 1, mask.shape).astype(np.float32), (0, 0), 3)
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 2)
    near = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    return np.asarray((soft + 0.22 * noise / noise.std() > 0.5) & near, bool)


def _cut(share: float) -> Callable[[BoolArray], BoolArray]:
    """Without its lower `share` of pixels, along a slanted line."""

    def spoil(mask: BoolArray) -> BoolArray:
        y, x = np.indices(mask.shape)
        height = np.asarray(y + 0.4 * x)
        return np.asarray(mask & (height < np.quantile(height[mask], 1 - share)), bool)

    return spoil


def _spilt(mask: BoolArray) -> BoolArray:
    """Half of the object, and a large piece of what is beside it."""
    y, x = np.indices(mask.shape)
    cy, cx = np.argwhere(mask).mean(0)
    size = np.sqrt(mask.sum())
    blob = ((y - cy) / (0.8 * size)) ** 2 + ((x - cx - 0.9 * size) / (1.1 * size)) ** 2 < 1
    return np.asarray(_cut(0.35)(mask) | blob, bool)


def _nothing(mask: BoolArray) -> BoolArray:
    """Shreds around the prompt that are no thing."""
    noise = cv2.GaussianBlur(np.random.default_rng(3).normal(0, 1, mask.shape).astype(np.float32), (0, 0), 7)
    near = cv2.dilate(mask.astype(np.uint8), np.ones((61, 61), np.uint8)) > 0
    return np.asarray((noise > noise.std()) & near, bool)


EXAMPLES = (
    Task(22, 12, _nothing, 1, 1, "Shreds of ground and robot: no thing that one could mean."),
    Task(22, 12, _spilt, 2, 4, "There is a robot in it, but a third is missing and a lot of ground is taken."),
    Task(22, 12, _cut(0.17), 5, 6, "Clearly the robot, but its feet are missing."),
    Task(22, 12, _rough, 7, 9, "All of the robot; its boundary wanders by a few pixels."),
    Task(22, 12, _same, 10, 10, "No error, even in the zoom."),
)
PRACTICE = (
    Task(0, 3, _same, 9, 10, "The whole mug with its handle, and a clean boundary all round."),
    Task(5, 18, _spilt, 2, 4, "Part of the fish is missing, and much more water than fish is taken: huge errors."),
    Task(11, 21, _rough, 7, 9, "The whole balloon. Only the boundary is unsteady: look at the zoom."),
    Task(12, 14, _same, 1, 4, "A clean mask, but of another button: it does not fit the prompt.", other=12),
    Task(1, 22, _cut(0.35), 4, 6, "Mostly the flower, but a part of its petals is missing: a significant error."),
    Task(4, 23, _nothing, 1, 1, "Shreds of sand and stones: no thing that one could mean."),
)


_scene = lru_cache(maxsize=8)(draw)
_turn = Lock()  # a page asks for all views at once: one request draws them


def prepare() -> None:
    """Draw all views ahead, so that the first rater does not wait for them."""
    for task in (*EXAMPLES, *PRACTICE):
        views_of(task)


def views_of(task: Task) -> dict[str, bytes]:
    """ALL_VIEWS by name, as JPEG; drawn once. May be called from any thread."""
    with _turn:
        return _views(task)


@lru_cache(maxsize=64)
def _views(task: Task) -> dict[str, bytes]:
    drawn = _scene(task.scene)
    masks = [thing.visible for thing in drawn.things]
    click = center_click(Region.from_array(masks[task.item]))
    mask = Region.from_array(task.spoil(masks[task.item if task.other is None else task.other]))
    found = Scene.of(drawn.image, SIDE_PX).views(mask, ShownPrompt(point_xy=(float(click.x), float(click.y))))
    return {name: encoded(found[name], _FORM) for name in ALL_VIEWS}
