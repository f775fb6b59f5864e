"""The drawing board of the demo dataset: exact visible masks, textures, light and noise.

Every pixel must come out the same on every machine and library version: see `shapes` for the arithmetic allowed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from sambench.loaders.demo.shapes import F64, UPRIGHT, Colour, Dice, Point, Shape, Turn, noise, wave
from sambench.types import BoolArray, UInt8Array

PART_SHARE = 0.4  # of a thing's parts, this share is annotated by itself


@dataclass(frozen=True)
class Skin:
    """How a surface looks. Amounts are in grey levels unless said otherwise.

    pattern: plain, stripes, checks, dots, veins. pitch: its period in the shape's units. grain: smooth noise of `grain_px`.
    slope: brightness from left to right of the shape. dome: darkening towards the rim, as of a ball. shine: a highlight.
    """

    colour: Colour
    second: Colour | None = None
    pattern: str = "plain"
    pitch: float = 0.4
    grain: float = 12.0
    grain_px: float = 4.0
    slope: float = 0.0
    dome: float = 0.0
    shine: float = 0.0


@dataclass
class Thing:
    """One annotated object while a scene is drawn: what of it is visible, and how much there was of it in the frame. pattern:
    that of its largest piece, of so many pixels when it was laid."""

    category: str
    parent: int | None
    visible: BoolArray
    full_px: int
    pattern: str = "plain"
    piece_px: int = 0


@dataclass
class Board:
    """A scene in the making. Things are laid on one another, so that later ones hide earlier ones."""

    height: int
    width: int
    dice: Dice
    rgb: F64 = field(init=False)
    things: list[Thing] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.rgb = np.zeros((self.height, self.width, 3), np.float64)

    def ground(self, colour: Colour, second: Colour, cell: float, grain: float, stretch: float = 1.0) -> None:
        """Background: two colours mixed by smooth noise, and fine grain over it."""
        mix = noise(self.dice, self.height, self.width, cell, stretch)
        fine = (noise(self.dice, self.height, self.width, 3.0, stretch) - 0.5) * (2.0 * grain)
        for k in range(3):
            self.rgb[:, :, k] = colour[k] + (second[k] - colour[k]) * mix + fine

    def fade(self, top: Colour, bottom: Colour, start: float, stop: float, grain: float = 6.0) -> None:
        """A band of background from start to stop (fractions of the height), fading from one colour to the other."""
        y0, y1 = int(start * self.height), int(stop * self.height)
        t = (np.arange(y1 - y0) / max(y1 - y0, 1))[:, None]
        rough = (noise(self.dice, y1 - y0, self.width, 24.0, 3.0) - 0.5) * (4.0 * grain)
        for k in range(3):
            self.rgb[y0:y1, :, k] = top[k] + (bottom[k] - top[k]) * t + rough

    def put(
        self,
        shape: Shape,
        skin: Skin,
        *,
        at: Point,
        size: float,
        turn: Turn = UPRIGHT,
        category: str = "",
        part_of: int | None = None,
        reach: float = 1.1,
        shadow: float = 0.0,
        alpha: float = 1.0,
        inside: bool = False,
    ) -> int:
        """Lay a shape on the board; returns its number, to hang parts on.

        at: its origin in pixels; size: pixels a unit; reach: how far it extends, in units. category '': scenery or a piece
        of its parent, not annotated itself. A part belongs to all its ancestors and hides everything else below it;
        inside: only where the parent is seen.
        """
        y0, y1 = (min(max(int(at[1] + k * (size * reach + 2)), 0), self.height) for k in (-1, 1))
        x0, x1 = (min(max(int(at[0] + k * (size * reach + 2)), 0), self.width) for k in (-1, 1))
        u, v = self._frame(at, size, turn, (y0, x0, y1, x1))
        mask = shape(u, v)
        if inside and part_of is not None:
            mask = mask & self.things[part_of].visible[y0:y1, x0:x1]
        rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        top, low, left, right = (rows[0], rows[-1] + 1, cols[0], cols[-1] + 1) if len(rows) else (0, 0, 0, 0)
        mask, u, v = mask[top:low, left:right], u[top:low, left:right], v[top:low, left:right]
        window = (y0 + int(top), x0 + int(left), y0 + int(low), x0 + int(right))
        if mask.size:
            if shadow and part_of is None:
                self._shade(mask, window, max(2, int(size * 0.12)), shadow)
            self._paint(mask, window, u, v, skin, alpha)
        if part_of is not None and not self.dice.chance(PART_SHARE):
            category = ""
        number = self._record(mask, window, category, part_of)
        self._note_pattern(number, skin.pattern, int(np.count_nonzero(mask)))
        return number

    def _note_pattern(self, number: int, pattern: str, px: int) -> None:
        """Of a piece, for the thing itself and all that it is a part of."""
        above: int | None = number
        while above is not None:
            thing = self.things[above]
            if px > thing.piece_px:
                thing.pattern, thing.piece_px = pattern, px
            above = thing.parent

    def _frame(self, at: Point, size: float, turn: Turn, w: tuple[int, int, int, int]) -> tuple[F64, F64]:
        dx = (np.arange(w[1], w[3]) - at[0])[None, :] / size
        dy = (np.arange(w[0], w[2]) - at[1])[:, None] / size
        return dx * turn[0] + dy * turn[1], dy * turn[0] - dx * turn[1]

    def _record(self, mask: BoolArray, w: tuple[int, int, int, int], category: str, parent: int | None) -> int:
        kin, above = set(), parent
        while above is not None:
            kin.add(above)
            above = self.things[above].parent
        for i, other in enumerate(self.things):
            view = other.visible[w[0] : w[2], w[1] : w[3]]
            if i in kin:
                new = mask & ~view
                view |= mask
                other.full_px += int(np.count_nonzero(new))
            else:
                view &= ~mask
        visible = np.zeros((self.height, self.width), np.bool_)
        visible[w[0] : w[2], w[1] : w[3]] = mask
        self.things.append(Thing(category, parent, visible, int(np.count_nonzero(mask))))
        return len(self.things) - 1

    def _paint(self, mask: BoolArray, w: tuple[int, int, int, int], u: F64, v: F64, skin: Skin, alpha: float) -> None:
        h, width = mask.shape
        level = skin.slope * u - skin.dome * (u * u + v * v)
        if skin.grain:
            level = level + (noise(self.dice, h, width, skin.grain_px) - 0.5) * (2.0 * skin.grain)
        if skin.shine:
            p, q = u + 0.35, v + 0.35
            level = level + skin.shine * np.maximum(1.0 - 6.0 * (p * p + q * q), 0.0)
        mix = _pattern(skin, u, v)
        second = skin.second or skin.colour
        target = self.rgb[w[0] : w[2], w[1] : w[3]]
        for k in range(3):
            value = skin.colour[k] + (second[k] - skin.colour[k]) * mix + level
            old = target[:, :, k]
            target[:, :, k] = np.where(mask, old + (value - old) * alpha, old)

    def _shade(self, mask: BoolArray, w: tuple[int, int, int, int], r: int, strength: float) -> None:
        """Darken the board under a soft copy of the shape, shifted right and down."""
        y0, x0 = min(w[0] + r, self.height), min(w[1] + r, self.width)
        y1, x1 = min(w[2] + r, self.height), min(w[3] + r, self.width)
        soft = box_mean(mask, r)[: y1 - y0, : x1 - x0]
        self.rgb[y0:y1, x0:x1] *= (1.0 - strength * soft)[:, :, None]

    def finish(self, *, blur: int, grain: float, light: float, vignette: float) -> UInt8Array:
        """uint8 [H, W, 3]: uneven light, vignette, `blur` passes of a small binomial filter, sensor noise, rounding."""
        y, x = (np.arange(self.height) / self.height - 0.5)[:, None], (np.arange(self.width) / self.width - 0.5)[None, :]
        c, s = self.dice.turn(any_side=True)
        lit = 1.0 + light * (x * c + y * s) - vignette * (x * x + y * y)
        out = self.rgb * lit[:, :, None]
        for _ in range(blur):
            out = _binomial(_binomial(out, 0), 1)
        for k in range(3):
            # The sum of four uniforms stands in for a normal deviate; half of the noise is common to the channels.
            d = self.dice.field(4, self.height, self.width)
            out[:, :, k] += grain * ((d[0] + d[1]) + (d[2] + d[3]) - 2.0)
        return np.clip(np.floor(out + 0.5), 0, 255).astype(np.uint8)

    def annotations(self, min_px: int = 40, min_visible: float = 0.3) -> list[Thing]:
        """The annotated things that are seen well enough: at least `min_px` and `min_visible` of what is in the frame."""
        return [
            t
            for t in self.things
            if t.category and (px := int(np.count_nonzero(t.visible))) >= min_px and px >= min_visible * t.full_px
        ]


def _pattern(skin: Skin, u: F64, v: F64) -> F64:
    """How much of the second colour each pixel has, in [0, 1]."""
    p, q = u / skin.pitch, v / skin.pitch
    if skin.pattern == "stripes":
        hit = wave(p) > 0.5
    elif skin.pattern == "checks":
        hit = ((np.floor(p) + np.floor(q)).astype(np.int64) & 1) == 1
    elif skin.pattern == "dots":
        hit = wave(p) * wave(p) + wave(q) * wave(q) < 0.3
    elif skin.pattern == "veins":
        hit = (wave(p - np.abs(q)) > 0.86) | (np.abs(v) < 0.03)
    else:
        hit = np.zeros(u.shape, np.bool_)
    return hit.astype(np.float64)


def box_mean(mask: BoolArray, r: int) -> F64:
    """Mean of the (2r+1)-square around each pixel, zero outside; exact, through integer sums."""
    n = 2 * r + 1
    sums = np.pad(mask.astype(np.int64), ((r + 1, r), (r + 1, r))).cumsum(axis=0).cumsum(axis=1)
    total = sums[n:, n:] - sums[:-n, n:] - sums[n:, :-n] + sums[:-n, :-n]
    return np.asarray(total / float(n * n))


def _binomial(a: F64, axis: int) -> F64:
    """[1 2 1] / 4 along an axis, edges repeated."""
    before = np.concatenate((np.take(a, [0], axis), np.take(a, range(a.shape[axis] - 1), axis)), axis)
    after = np.concatenate((np.take(a, range(1, a.shape[axis]), axis), np.take(a, [-1], axis)), axis)
    return np.asarray((before + after) * 0.25 + a * 0.5)
