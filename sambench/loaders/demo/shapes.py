"""Random draws, noise and shapes of the demo dataset, the same on every machine and library version.

The only random source is `numpy.random.RandomState`'s raw draws, whose stream is frozen, and the only arithmetic is
elementwise float64 `+ - * /`, `floor`, comparisons and integers: one correctly rounded operation at a time. No sin, cos,
exp, pow, no float sums, no drawing or resampling of a library. Angles are rational points of the unit circle, and shapes
are inequalities.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sambench.types import BoolArray

F64: TypeAlias = npt.NDArray[np.float64]
Shape: TypeAlias = Callable[[F64, F64], BoolArray]  # (u, v) in the shape's own frame -> inside
Colour: TypeAlias = tuple[float, float, float]  # 0..255
Turn: TypeAlias = tuple[float, float]  # (cosine, sine)
Point: TypeAlias = tuple[float, float]

UPRIGHT: Turn = (1.0, 0.0)


class Dice:
    """Draws from one frozen stream."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.RandomState(seed)  # its stream is frozen by numpy, unlike Generator's

    def field(self, *shape: int) -> F64:
        """Uniform in [0, 1)."""
        return self._rng.random_sample(shape)

    def real(self, low: float, high: float) -> float:
        return low + (high - low) * float(self._rng.random_sample())

    def whole(self, low: int, high: int) -> int:
        """low <= n <= high."""
        return low + int(float(self._rng.random_sample()) * (high - low + 1))

    def chance(self, p: float) -> bool:
        return float(self._rng.random_sample()) < p

    def pick(self, items: Sequence[Any]) -> Any:
        return items[self.whole(0, len(items) - 1)]

    def turn(self, most: float = 1.0, any_side: bool = False) -> Turn:
        """A rotation by up to 2 atan(most) either way, from the half-angle's tangent; any_side: of the full circle."""
        c, s = unit(self.real(-most, most))
        return (-c, -s) if any_side and self.chance(0.5) else (c, s)

    def near(self, colour: Colour, spread: float) -> Colour:
        """A colour within `spread` of another in every channel, with a common shift of brightness."""
        shift = self.real(-spread, spread)
        r, g, b = (min(250.0, max(5.0, c + shift + self.real(-spread, spread) * 0.5)) for c in colour)
        return (r, g, b)


def unit(t: float) -> Turn:
    """The point of the unit circle whose half-angle has tangent t."""
    n = 1.0 + t * t
    return ((1.0 - t * t) / n, 2.0 * t / n)


def noise(dice: Dice, height: int, width: int, cell: float, stretch: float = 1.0) -> F64:
    """[height, width] in [0, 1]: random lattice of `cell` pixels (times `stretch` along x), smoothly interpolated."""
    y, x = np.arange(height) / cell, np.arange(width) / (cell * stretch)
    iy, ix = np.floor(y).astype(np.int64), np.floor(x).astype(np.int64)
    fy, fx = y - iy, x - ix
    fy, fx = (fy * fy * (3.0 - 2.0 * fy))[:, None], (fx * fx * (3.0 - 2.0 * fx))[None, :]
    grid = dice.field(int(iy[-1]) + 2, int(ix[-1]) + 2)
    a, b = grid[iy[:, None], ix], grid[iy[:, None], ix + 1]
    c, d = grid[iy[:, None] + 1, ix], grid[iy[:, None] + 1, ix + 1]
    top, low = a + (b - a) * fx, c + (d - c) * fx
    return np.asarray(top + (low - top) * fy)


def wave(t: F64) -> F64:
    """Triangle wave of period 1 in [0, 1]."""
    return np.abs(2.0 * (t - np.floor(t)) - 1.0)


# Shapes, in their own frame: u to the right, v down, about 1 unit large.


def ellipse(a: float = 1.0, b: float = 1.0, at: Point = (0.0, 0.0)) -> Shape:
    return lambda u, v: ((u - at[0]) / a) * ((u - at[0]) / a) + ((v - at[1]) / b) * ((v - at[1]) / b) < 1.0


def box(a: float, b: float, at: Point = (0.0, 0.0), corner: float = 0.0) -> Shape:
    """Half-sides a and b, corners rounded by `corner`."""

    def inside(u: F64, v: F64) -> BoolArray:
        p = np.maximum(np.abs(u - at[0]) - (a - corner), 0.0)
        q = np.maximum(np.abs(v - at[1]) - (b - corner), 0.0)
        flat = (np.abs(u - at[0]) < a) & (np.abs(v - at[1]) < b)
        return flat & (p * p + q * q < corner * corner) if corner else flat

    return inside


def polygon(points: Sequence[Point]) -> Shape:
    """Even-odd inside of a closed polygon."""

    def inside(u: F64, v: F64) -> BoolArray:
        odd = np.zeros(np.broadcast_shapes(u.shape, v.shape), np.bool_)
        for (x0, y0), (x1, y1) in zip(points, [*points[1:], points[0]], strict=True):
            if y0 != y1:
                odd ^= ((v < y0) != (v < y1)) & (u < (v - y0) * ((x1 - x0) / (y1 - y0)) + x0)
        return odd

    return inside


def stroke(points: Sequence[Point], width: float, end_width: float | None = None) -> Shape:
    """Round-capped line of `width` along points, tapering to `end_width`."""
    last = width if end_width is None else end_width
    n = len(points) - 1

    def inside(u: F64, v: F64) -> BoolArray:
        hit = np.zeros(np.broadcast_shapes(u.shape, v.shape), np.bool_)
        for i, ((x0, y0), (x1, y1)) in enumerate(pairwise(points)):
            dx, dy = x1 - x0, y1 - y0
            t = np.clip(((u - x0) * dx + (v - y0) * dy) / max(dx * dx + dy * dy, 1e-12), 0.0, 1.0)
            r = 0.5 * (width + (last - width) * ((i + t) / n))
            p, q = u - (x0 + t * dx), v - (y0 + t * dy)
            hit |= p * p + q * q < r * r
        return hit

    return inside


def bend(a: Point, b: Point, c: Point, steps: int = 10) -> list[Point]:
    """Points of the quadratic Bezier curve from a to c with control point b."""
    out = []
    for i in range(steps + 1):
        t = i / steps
        p, q, r = (1.0 - t) * (1.0 - t), 2.0 * t * (1.0 - t), t * t
        out.append((p * a[0] + q * b[0] + r * c[0], p * a[1] + q * b[1] + r * c[1]))
    return out


def spokes(n: int) -> list[Point]:
    """4 * (n // 4 or 1) directions around the circle, roughly evenly spread."""
    m = max(n // 4, 1)
    first = [unit(j / m * (1.0 - 0.3431 * (1.0 - j / m))) for j in range(m)]
    # The half-angle's tangent runs to 1 at a quarter turn; quarters follow by swapping the coordinates.
    return [*first, *((-s, c) for c, s in first), *((-c, -s) for c, s in first), *((s, -c) for c, s in first)]


def star(n: int, inner: float) -> Shape:
    """Polygon of radii 1 and `inner` in turn: a star, a gear, a blossom."""
    return polygon([(x * r, y * r) for (x, y), r in zip(spokes(2 * n), [1.0, inner] * n, strict=False)])


def blob(dice: Dice, rough: float, bumps: int = 6) -> Shape:
    """A rounded outline whose radius varies by up to `rough` below 1, with about `bumps` dents."""
    radii = 1.0 - rough * dice.field(bumps)
    points = []
    rays = spokes(32)
    for i, (x, y) in enumerate(rays):
        t = i * bumps / len(rays)
        k = int(t)
        f = t - k
        f = f * f * (3.0 - 2.0 * f)
        r = float(radii[k % bumps]) * (1.0 - f) + float(radii[(k + 1) % bumps]) * f
        points.append((x * r, y * r))
    return polygon(points)


def union(*shapes: Shape) -> Shape:
    def inside(u: F64, v: F64) -> BoolArray:
        hit = shapes[0](u, v)
        for s in shapes[1:]:
            hit = hit | s(u, v)
        return hit

    return inside


def minus(shape: Shape, *holes: Shape) -> Shape:
    return lambda u, v: shape(u, v) & ~union(*holes)(u, v)


def both(a: Shape, b: Shape) -> Shape:
    return lambda u, v: a(u, v) & b(u, v)


def lens(width: float) -> Shape:
    """A leaf: what two circles share; tips at (-1, 0) and (1, 0), half as thick as `width`."""
    d = (1.0 - width * width) / (2.0 * width)  # centre of each circle below / above the axis
    return both(ellipse(d + width, d + width, (0.0, d)), ellipse(d + width, d + width, (0.0, -d)))
