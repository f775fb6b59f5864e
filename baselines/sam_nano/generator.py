"""Procedural training pictures of `sam_nano`. `scene(i)` is a function of i alone.

A scene is an image uint8 [512, 512, 3], a map int16 [512, 512] of the topmost thing at every pixel (0: none), and every thing's
parent (0: none). The mask of a thing is what the map shows of it and of all its descendants: parts nest, later things occlude.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt
from shapes import F32, U8, Rng, fractal, outline, smooth_noise, stamp, texture

SIDE = 512
JOINTED = 500_000  # scenes from this number on are of jointed things and of long thin ones
GENERATOR = 1  # raise it with every change that changes a pixel


@dataclass
class Scene:
    """See the module. image while it is drawn: float32, 0..255."""

    rng: Rng
    image: F32
    things: npt.NDArray[np.int16] = field(default_factory=lambda: np.zeros((SIDE, SIDE), np.int16))
    parents: list[int] = field(default_factory=lambda: [0])
    textures: list[F32] = field(default_factory=list)


def scene(index: int) -> tuple[U8, npt.NDArray[np.int16], npt.NDArray[np.int16]]:
    """(image, things, parents) number `index`."""
    rng = np.random.default_rng([GENERATOR, index])
    s = Scene(rng, np.zeros((SIDE, SIDE, 3), np.float32))
    s.textures = [texture(rng, SIDE) for _ in range(4)]
    if index < JOINTED:
        kinds = {_objects: 0.42, _mosaic: 0.1, _fluorescent: 0.2, _stained: 0.1, _packed: 0.1, _stuff: 0.08}
    else:
        kinds = {_figures: 0.65, _tangles: 0.35}
    draw = list(kinds)[int(rng.choice(len(kinds), p=list(kinds.values())))]
    draw(s)
    return _photograph(s, gentle=draw is _fluorescent), s.things, np.array(s.parents, np.int16)


def _colour(rng: Rng, near: F32 | None = None, spread: float = 40.0) -> F32:
    if near is not None:
        return np.clip(near + rng.normal(0, spread, 3), 0, 255).astype(np.float32)
    return (rng.uniform(0, 255, 3) if rng.random() < 0.7 else np.repeat(rng.uniform(0, 255), 3) + rng.normal(0, 12, 3)).astype(
        np.float32
    )


def _piece(s: Scene, h: int, w: int) -> F32:
    """A random [h, w] window of one of the scene's textures."""
    t = s.textures[int(s.rng.integers(len(s.textures)))]
    y, x = int(s.rng.integers(SIDE - h + 1)), int(s.rng.integers(SIDE - w + 1))
    return t[y : y + h, x : x + w]


def _surface(s: Scene, h: int, w: int, base: F32, amount: float) -> F32:
    """float32 [h, w, 3]: a colour, a second one by a texture, a slope of light."""
    rng = s.rng
    mix = np.clip(0.5 + 0.5 * _piece(s, h, w), 0, 1)[..., None]
    other = _colour(rng, base, amount)
    out = base + (other - base) * mix
    if rng.random() < 0.5:
        a, strength = rng.uniform(0, 6.3), rng.uniform(0, 70)
        ramp = (np.linspace(-0.5, 0.5, w) * np.cos(a))[None, :] + (np.linspace(-0.5, 0.5, h) * np.sin(a))[:, None]
        out = out + (strength * ramp)[..., None].astype(np.float32)
    return out.astype(np.float32)


def _background(s: Scene) -> F32:
    """A ground to draw on; returns its main colour."""
    rng = s.rng
    base = _colour(rng)
    s.image[:] = _surface(s, SIDE, SIDE, base, float(rng.choice([5, 15, 40, 80])))
    if rng.random() < 0.4:
        level = fractal(rng, SIDE, SIDE, float(rng.uniform(60, 300)))
        s.image += (level * rng.uniform(5, 40))[..., None] * rng.uniform(0.5, 1, 3).astype(np.float32)
    return base


def _put(
    s: Scene,
    mask: U8,
    at: tuple[float, float],
    look: F32 | None,
    *,
    parent: int = 0,
    edge: float = 0.0,
    alpha: float = 1.0,
    dome: float = 0.0,
    shadow: float = 0.0,
    rim: F32 | None = None,
    free: bool = False,
) -> int:
    """Lay a stamp on the scene, its middle at (x, y); returns the thing's number, 0 if nothing of it is inside.

    look: colour field of the stamp's size, or None to leave the picture as it is. edge: blur of the outline in pixels.
    free: a part may reach beyond its whole, which then grows by it.
    """
    h, w = mask.shape
    y0, x0 = int(at[1]) - h // 2, int(at[0]) - w // 2
    a0, b0, a1, b1 = max(y0, 0), max(x0, 0), min(y0 + h, SIDE), min(x0 + w, SIDE)
    if a0 >= a1 or b0 >= b1:
        return 0
    part = (slice(a0 - y0, a1 - y0), slice(b0 - x0, b1 - x0))
    view, things = s.image[a0:a1, b0:b1], s.things[a0:a1, b0:b1]
    inside = mask[part] > 127
    if parent and not free:
        inside &= np.isin(things, _kin(s, parent))
    if np.count_nonzero(inside) < 12:
        return 0
    if shadow:
        off = max(2, int(0.12 * h))
        m = np.float32([[1, 0, off], [0, 1, off]])
        soft = cv2.GaussianBlur(cv2.warpAffine(mask, m, (w, h)), (0, 0), max(1.0, off * 0.6))[part]
        view *= 1 - shadow * (soft.astype(np.float32) / 255)[..., None]
    number = len(s.parents)
    s.parents.append(parent)
    things[inside] = number
    if look is None:
        return number
    field_ = look[part] if look.ndim == 3 else np.broadcast_to(look, view.shape)
    cover = inside.astype(np.float32)
    if dome:
        depth = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 3)
        top = max(float(depth.max()), 1.0)
        field_ = field_ + (dome * (np.sqrt(np.minimum(depth / top, 1)) - 0.6))[..., None]
    if rim is not None:
        inner = cv2.erode(inside.astype(np.uint8), np.ones((3, 3), np.uint8))
        field_ = np.where((inner > 0)[..., None], field_, rim)
    if edge > 0.3:
        cover = cv2.GaussianBlur(cover, (0, 0), edge)
    view += (alpha * cover)[..., None] * (field_ - view)
    return number


def _kin(s: Scene, parent: int) -> list[int]:
    """A thing and its descendants."""
    kin = [parent]
    for i in range(parent + 1, len(s.parents)):
        if s.parents[i] in kin:
            kin.append(i)
    return kin


def _objects(s: Scene) -> None:
    """Anything on anything: a few big things or many small ones, with parts, shadows and occlusion."""
    rng = s.rng
    ground = _background(s)
    many = rng.random() < 0.4
    n = int(rng.integers(20, 90)) if many else int(rng.integers(3, 22))
    low, high = (6, 34) if many else (12, 170)
    palette = [_colour(rng) for _ in range(int(rng.integers(1, 6)))]
    camouflage = rng.random() < 0.3
    same = rng.random() < 0.3
    kind = stamp(rng, 20.0) if same else None
    for _ in range(n):
        size = float(np.exp(rng.uniform(np.log(low), np.log(high))))
        at = (float(rng.uniform(-0.02, 1.02) * SIDE), float(rng.uniform(-0.02, 1.02) * SIDE))
        if kind is not None:
            k, a = size / 20, float(rng.uniform(0, 360))
            side = int(kind.shape[0] * k * 1.2) + 2
            m = cv2.getRotationMatrix2D((kind.shape[1] / 2, kind.shape[0] / 2), a, k)
            m[:, 2] += side / 2 - kind.shape[0] / 2
            mask = cv2.warpAffine(kind, m, (side, side))
        else:
            mask = stamp(rng, size)
        near = ground if camouflage and rng.random() < 0.6 else palette[int(rng.integers(len(palette)))]
        _thing(s, mask, size, at, _colour(rng, near, 25.0 if camouflage else 45.0))


def _thing(s: Scene, mask: U8, size: float, at: tuple[float, float], colour: F32) -> None:
    """One thing with its look, and perhaps with parts, and those with parts."""
    rng = s.rng
    side = min(mask.shape[0], SIDE)
    mask = mask[:side, :side]
    plain = rng.random() < 0.35
    look = colour if plain else _surface(s, side, side, colour, float(rng.choice([10, 30, 80])))
    number = _put(
        s,
        mask,
        at,
        look,
        edge=float(rng.uniform(0, 1.5)) if rng.random() < 0.5 else 0.0,
        alpha=1.0 if rng.random() < 0.9 else 0.6,
        dome=float(rng.uniform(-60, 90)) if rng.random() < 0.4 else 0.0,
        shadow=float(rng.uniform(0.2, 0.6)) if rng.random() < 0.3 else 0.0,
        rim=_colour(rng) if rng.random() < 0.15 else None,
    )
    if not number or size < 14 or rng.random() < 0.45:
        return
    if rng.random() < 0.3:  # a regular grid of parts
        k = int(rng.integers(2, 5))
        step, part = size * 1.4 / k, stamp(rng, size * 0.5 / k, "fill")
        tint = _colour(rng)
        for j in range(k * k):
            where = (at[0] + (j % k - (k - 1) / 2) * step, at[1] + (j // k - (k - 1) / 2) * step)
            _put(s, part, where, _colour(rng, tint, 8), parent=number)
        return
    for _ in range(int(rng.integers(1, 5))):
        r = size * rng.uniform(0.2, 0.6)
        where = (at[0] + rng.normal(0, 0.45) * size, at[1] + rng.normal(0, 0.45) * size)
        m = stamp(rng, float(r))
        child = _put(s, m, where, _colour(rng, colour, 60), parent=number, edge=float(rng.choice([0, 0.8])))
        if child and r > 14 and rng.random() < 0.4:
            for _ in range(int(rng.integers(1, 3))):
                spot = (where[0] + rng.normal(0, 0.3) * r, where[1] + rng.normal(0, 0.3) * r)
                _put(s, stamp(rng, float(r * rng.uniform(0.25, 0.5)), "fill"), spot, _colour(rng), parent=child)


def _mosaic(s: Scene) -> None:
    """The plane parted in regions: cells of points, or bands of a fractal; each its own surface; a few things on top."""
    rng = s.rng
    if rng.random() < 0.6:
        n = int(np.exp(rng.uniform(np.log(4), np.log(90))))
        p = rng.uniform(0, SIDE, (n, 2)).astype(np.float32)
        seeds = np.full((SIDE, SIDE), 255, np.uint8)
        seeds[p[:, 1].astype(int), p[:, 0].astype(int)] = 0
        warp = [smooth_noise(rng, SIDE, SIDE, 40) * rng.uniform(0, 14) for _ in range(2)]
        _, label = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_CCOMP)
        y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
        label = cv2.remap(
            label.astype(np.float32), x + warp[0], y + warp[1], cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE
        ).astype(np.int32)
    else:
        f = fractal(rng, SIDE, SIDE, float(rng.uniform(80, 250)), 0.45)
        band = np.digitize(f, np.quantile(f, np.sort(rng.uniform(0.1, 0.9, int(rng.integers(1, 4))))))
        label, total = np.zeros((SIDE, SIDE), np.int32), 0
        for b in np.unique(band):
            k, part = cv2.connectedComponents((band == b).astype(np.uint8))
            label[part > 0] = part[part > 0] + total
            total += k - 1
    line = _colour(rng) if rng.random() < 0.4 else None
    for i in np.unique(label)[:200]:
        m = label == i
        if np.count_nonzero(m) < 60:
            continue
        rows, cols = np.flatnonzero(m.any(1)), np.flatnonzero(m.any(0))
        a0, a1, b0, b1 = rows[0], rows[-1] + 1, cols[0], cols[-1] + 1
        cut = m[a0:a1, b0:b1]
        s.parents.append(0)
        s.things[a0:a1, b0:b1][cut] = len(s.parents) - 1
        look = _surface(s, int(a1 - a0), int(b1 - b0), _colour(rng), float(rng.choice([8, 25, 60])))
        view = s.image[a0:a1, b0:b1]
        view[cut] = look[cut]
    if line is not None:
        edge = cv2.morphologyEx(label.astype(np.uint16), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
        s.image[edge] = line
    for _ in range(int(rng.integers(0, 6))):
        size = float(rng.uniform(10, 60))
        _thing(s, stamp(rng, size), size, (float(rng.uniform(0, SIDE)), float(rng.uniform(0, SIDE))), _colour(rng))


def _places(rng: Rng, n: int, radius: float, touch: float) -> list[tuple[float, float, float]]:
    """(x, y, radius) of up to n discs that overlap by no more than `touch` of the radii; in clusters, now and then."""
    out: list[tuple[float, float, float]] = []
    clusters = rng.uniform(0, SIDE, (int(rng.integers(1, 8)), 2)) if rng.random() < 0.5 else None
    spread = rng.uniform(30, 140)
    grown = rng.uniform(0.1, 0.35)
    for _ in range(n * 4):
        if len(out) >= n:
            break
        r = radius * float(np.exp(rng.normal(0, grown)))
        p = (
            rng.uniform(-5, SIDE + 5, 2)
            if clusters is None or rng.random() < 0.2
            else clusters[rng.integers(len(clusters))] + rng.normal(0, spread, 2)
        )
        if out:
            q = np.array(out)
            if (np.hypot(q[:, 0] - p[0], q[:, 1] - p[1]) < (q[:, 2] + r) * touch).any():
                continue
        out.append((float(p[0]), float(p[1]), r))
    return out


def _fluorescent(s: Scene) -> None:
    """Glowing blobs on dark noisy ground, bright and dim together, touching; now and then the other way round."""
    rng = s.rng
    radius = float(np.exp(rng.uniform(np.log(4.5), np.log(48))))
    n = int(np.clip(rng.uniform(0.02, 0.6) * SIDE * SIDE / (np.pi * radius * radius), 3, 150))
    ground = rng.uniform(0, 45)
    level = np.full((SIDE, SIDE), ground, np.float32)
    level += fractal(rng, SIDE, SIDE, float(rng.uniform(60, 250))) * rng.uniform(0, 8)
    peak, spread = rng.uniform(40, 220), rng.uniform(0.1, 0.7)
    grain, soft = rng.uniform(0, 0.35), float(rng.uniform(0.4, 3.0)) * min(1.0, radius / 12)
    shape = str(rng.choice(["blob", "ellipse", "lump"], p=[0.5, 0.4, 0.1]))
    dome = rng.uniform(0, 0.6)
    for x, y, r in _places(rng, n, radius, float(rng.uniform(0.7, 1.1))):
        half = int(r * 1.6) + 3
        mask = np.zeros((2 * half + 1, 2 * half + 1), np.uint8)
        cv2.fillPoly(mask, [np.round((outline(rng, r, shape) + half) * 16).astype(np.int32)], 255, cv2.LINE_8, 4)
        glow = peak * float(np.exp(rng.normal(0, spread)))
        number = _put(s, mask, (x, y), None)
        if not number:
            continue
        y0, x0 = int(y) - half, int(x) - half
        a0, b0, a1, b1 = max(y0, 0), max(x0, 0), min(y0 + 2 * half + 1, SIDE), min(x0 + 2 * half + 1, SIDE)
        inside = mask[a0 - y0 : a1 - y0, b0 - x0 : b1 - x0]
        rise = cv2.GaussianBlur(inside.astype(np.float32) / 255, (0, 0), soft)
        if dome:
            depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
            rise = rise * (1 - dome + dome * np.sqrt(np.minimum(depth / max(r * 0.7, 1), 1)))
        rise = rise * (1 + grain * _piece(s, *inside.shape))
        view = level[a0:a1, b0:b1]
        if rng.random() < 0.85:
            np.maximum(view, ground + glow * rise, out=view)
        else:
            view += glow * rise
    if rng.random() < 0.3:  # haze around the bright ones
        level += cv2.GaussianBlur(level, (0, 0), 15) * rng.uniform(0, 0.3)
    level = np.maximum(level, 0)
    if rng.random() < 0.6:
        level += rng.standard_normal(level.shape, dtype=np.float32) * (rng.uniform(0, 5) + np.sqrt(level) * rng.uniform(0, 0.8))
    if rng.random() < 0.3:
        level = np.clip(level, 0, 255) * (rng.uniform(35, 140) / 255)
    style = rng.random()
    tint = np.ones(3, np.float32) if style < 0.7 else rng.uniform(0.1, 1, 3).astype(np.float32)
    s.image[:] = level[..., None] * tint
    if rng.random() < 0.2:
        s.image[:] = 255 - np.clip(s.image, 0, 255) * rng.uniform(0.4, 1)


def _stained(s: Scene) -> None:
    """Dark bodies in a lighter mottled tissue, in pinks and purples or any other two stains; pale gaps."""
    rng = s.rng
    pink = np.float32([225, 170, 205]) if rng.random() < 0.6 else _colour(rng) * 0.4 + 150
    purple = np.float32([110, 60, 150]) if rng.random() < 0.6 else pink * rng.uniform(0.3, 0.7)
    tissue = fractal(rng, SIDE, SIDE, float(rng.uniform(20, 120)), 0.7)[..., None]
    s.image[:] = _colour(rng, pink, 12) + tissue * rng.uniform(5, 25) * np.float32([0.6, 1.0, 0.7])
    fibre = _piece(s, SIDE, SIDE)[..., None] * rng.uniform(0, 18)
    s.image += fibre * np.float32([0.7, 1.0, 0.6])
    gaps = fractal(rng, SIDE, SIDE, float(rng.uniform(60, 160)), 0.5)
    pale = np.clip((gaps - rng.uniform(0.6, 1.8)) * 4, 0, 1)[..., None]
    s.image += pale * (np.float32([240, 236, 242]) - s.image)
    radius = float(np.exp(rng.uniform(np.log(6), np.log(32))))
    n = int(np.clip(rng.uniform(0.05, 0.4) * SIDE * SIDE / (np.pi * radius * radius), 4, 130))
    spread = rng.uniform(5, 25)
    for x, y, r in _places(rng, n, radius, float(rng.uniform(0.8, 1.1))):
        half = min(int(r * 1.6) + 3, 200)
        mask = np.zeros((2 * half + 1, 2 * half + 1), np.uint8)
        cv2.fillPoly(
            mask,
            [np.round((outline(rng, r, str(rng.choice(["blob", "ellipse", "lump"]))) + half) * 16).astype(np.int32)],
            255,
            cv2.LINE_8,
            4,
        )
        look = _colour(rng, purple, spread) + _piece(s, *mask.shape)[..., None] * rng.uniform(0, 30)
        look = look + rng.uniform(0, 14) * rng.standard_normal(mask.shape, dtype=np.float32)[..., None]
        rim = _colour(rng, purple * 0.8, 10) if rng.random() < 0.3 else None
        _put(
            s, mask, (x, y), look.astype(np.float32), edge=float(rng.uniform(0.3, 1.8)), alpha=float(rng.uniform(0.45, 1)), rim=rim
        )


def _packed(s: Scene) -> None:
    """Many alike, close together: grains, tiles, fruit; lit from one side, seams or shadows between."""
    rng = s.rng
    ground = _background(s)
    radius = float(np.exp(rng.uniform(np.log(8), np.log(60))))
    n = int(np.clip(0.8 * SIDE * SIDE / (np.pi * radius * radius), 4, 150))
    base = _colour(rng, ground, float(rng.choice([15, 40, 90])))
    spread, dome = float(rng.choice([4, 15, 45])), float(rng.uniform(0, 90))
    kind = str(rng.choice(["blob", "ellipse", "polygon", "box", "lump"]))
    shadow = float(rng.uniform(0.1, 0.5)) if rng.random() < 0.5 else 0.0
    textured = rng.random() < 0.6
    for x, y, r in _places(rng, n, radius, float(rng.uniform(0.6, 1.0))):
        half = min(int(r * 1.7) + 3, 200)
        mask = np.zeros((2 * half + 1, 2 * half + 1), np.uint8)
        cv2.fillPoly(mask, [np.round((outline(rng, r, kind) + half) * 16).astype(np.int32)], 255, cv2.LINE_8, 4)
        colour = _colour(rng, base, spread)
        look = _surface(s, *mask.shape, colour, 25.0) if textured else colour
        _put(s, mask, (x, y), look, dome=dome, shadow=shadow, edge=float(rng.uniform(0, 1.2)))


def _stuff(s: Scene) -> None:
    """Layers one before the other, as hills or waves are, with things standing on them."""
    rng = s.rng
    _background(s)
    x = np.arange(SIDE)
    turned = rng.random() < 0.3
    for level in np.sort(rng.uniform(0.15, 0.95, int(rng.integers(2, 6)))):
        ridge = (
            level * SIDE
            + smooth_noise(rng, 1, SIDE, float(rng.uniform(20, 160)))[0] * rng.uniform(0, 60)
            + (x - 256) * rng.normal(0, 0.15)
        )
        mask = (np.arange(SIDE)[:, None] >= ridge[None, :]).astype(np.uint8) * np.uint8(255)
        if turned:
            mask = np.ascontiguousarray(mask.T)
        _put(
            s,
            mask,
            (256.0, 256.0),
            _surface(s, SIDE, SIDE, _colour(rng), float(rng.choice([10, 30, 60]))),
            edge=float(rng.uniform(0, 1)),
        )
        for _ in range(int(rng.integers(0, 5))):
            size = float(np.exp(rng.uniform(np.log(10), np.log(80))))
            px = int(rng.integers(0, SIDE))
            at = (float(px), float(np.clip(ridge[px], 0, SIDE)))
            _thing(s, stamp(rng, size), size, (at[1], at[0]) if turned else at, _colour(rng))


def _long_stamp(rng: Rng, length: float, width: float) -> U8:
    """A limb: a rounded bar, a wedge or an ellipse of that length and width, at any angle."""
    half = int(length * 0.6) + 4
    out = np.zeros((2 * half + 1, 2 * half + 1), np.uint8)
    a = rng.uniform(0, np.pi)
    d = np.array([np.cos(a), np.sin(a)]) * length / 2
    if rng.random() < 0.5:
        p, q = (tuple(int(v) for v in np.round(half + k * d)) for k in (-1, 1))
        cv2.line(out, p, q, 255, max(2, int(width)))
    else:
        axes = (max(2, int(length / 2)), max(1, int(width / 2)))
        cv2.ellipse(out, (half, half), axes, float(np.degrees(a)), 0, 360, 255, -1)
    return out


def _figures(s: Scene) -> None:
    """Things of several pieces side by side, each with its own look: a body, and what hangs on it; the whole is all of them."""
    rng = s.rng
    ground = _background(s)
    n = int(rng.integers(2, 12))
    big = float(np.exp(rng.uniform(np.log(14), np.log(75))))
    for _ in range(n):
        size = min(big * float(np.exp(rng.normal(0, 0.3))), 133.0)  # its stamp just fits the scene
        at = (float(rng.uniform(0.03, 0.97) * SIDE), float(rng.uniform(0.03, 0.97) * SIDE))
        palette = [_colour(rng, ground if rng.random() < 0.15 else None, 30.0) for _ in range(int(rng.integers(1, 4)))]
        body = stamp(rng, size, "fill")
        shadow = float(rng.uniform(0.2, 0.5)) if rng.random() < 0.3 else 0.0
        number = _put(s, body, at, _surface(s, *body.shape, palette[0], float(rng.choice([5, 20, 60]))), shadow=shadow)
        if not number:
            continue
        for _ in range(int(rng.integers(2, 8))):
            a = rng.uniform(0, 2 * np.pi)
            where = (at[0] + np.cos(a) * size * rng.uniform(0.5, 1.1), at[1] + np.sin(a) * size * rng.uniform(0.5, 1.1))
            if rng.random() < 0.5:
                piece = _long_stamp(rng, float(size * rng.uniform(0.5, 1.6)), float(size * rng.uniform(0.1, 0.4)))
            else:
                piece = stamp(rng, float(size * rng.uniform(0.2, 0.6)), "fill")
            colour = _colour(rng, palette[int(rng.integers(len(palette)))], 12.0)
            look = colour if rng.random() < 0.5 else _surface(s, *piece.shape, colour, 25.0)
            _put(s, piece, where, look, parent=number, free=True, dome=float(rng.choice([0, 0, 50])))
        for _ in range(int(rng.integers(0, 4))):
            where = (at[0] + rng.normal(0, 0.35) * size, at[1] + rng.normal(0, 0.35) * size)
            _put(s, stamp(rng, float(size * rng.uniform(0.1, 0.3)), "fill"), where, _colour(rng), parent=number)


def _tangles(s: Scene) -> None:
    """Long bent lines over one another, thin to thick, alike or in colours."""
    rng = s.rng
    _background(s)
    palette = [_colour(rng) for _ in range(int(rng.integers(1, 6)))]
    widest = rng.uniform(5, 22)
    for _ in range(int(rng.integers(3, 16))):
        k = int(rng.integers(3, 6))
        p = rng.uniform(-0.1, 1.1, (k, 2)) * SIDE
        t = np.linspace(0, k - 1, 60)
        line = np.stack([_smooth_line(p[:, i], t) for i in (0, 1)], axis=1)
        mask = np.zeros((SIDE + 1, SIDE + 1), np.uint8)
        cv2.polylines(
            mask, [np.round(line * 16).astype(np.int32)], False, 255, max(2, int(rng.uniform(0.3, 1) * widest)), cv2.LINE_8, 4
        )
        colour = _colour(rng, palette[int(rng.integers(len(palette)))], 20.0)
        look = colour if rng.random() < 0.6 else _surface(s, SIDE, SIDE, colour, 30.0)
        _put(
            s,
            mask[:SIDE, :SIDE],
            (256.0, 256.0),
            look,
            dome=float(rng.choice([0, 60])),
            shadow=0.0,
            edge=float(rng.uniform(0, 0.8)),
        )
    for _ in range(int(rng.integers(0, 6))):
        size = float(rng.uniform(10, 50))
        _thing(s, stamp(rng, size), size, (float(rng.uniform(0, SIDE)), float(rng.uniform(0, SIDE))), _colour(rng))


def _smooth_line(knots: npt.NDArray[np.float64], t: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """A polynomial through the knots at 0, 1, 2, ..., read at t."""
    return np.polyval(np.polyfit(np.arange(len(knots)), knots, len(knots) - 1), t)


def _photograph(s: Scene, *, gentle: bool) -> U8:
    """Light, lens, sensor and file: uneven light, blur, resampling, noise, gamma, grey, compression."""
    rng, x = s.rng, s.image
    if rng.random() < 0.4 and not gentle:
        x = x * (1 + rng.uniform(0, 0.35) * smooth_noise(rng, SIDE, SIDE, 200))[..., None]
    if rng.random() < 0.45:
        x = cv2.GaussianBlur(x, (0, 0), float(rng.uniform(0.4, 1.8)))
    if rng.random() < 0.25:
        n = int(SIDE * rng.uniform(0.4, 0.8))
        x = cv2.resize(cv2.resize(x, (n, n), interpolation=cv2.INTER_AREA), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.5:
        noise = rng.standard_normal((SIDE, SIDE, 3 if rng.random() < 0.5 else 1), dtype=np.float32)
        if rng.random() < 0.3:
            noise = cv2.GaussianBlur(noise, (0, 0), 0.8).reshape(noise.shape) * 2
        x = x + noise * rng.uniform(1, 6 if gentle else 18)
    x = np.clip(x, 0, 255)
    if rng.random() < 0.3 and not gentle:
        x = 255 * (x / 255) ** np.float32(np.exp(rng.normal(0, 0.4)))
    if rng.random() < 0.25 and not gentle:
        x = x.mean() + (x - x.mean()) * rng.uniform(0.25, 0.8)
    if rng.random() < 0.15:
        x = np.repeat(x.mean(axis=2, keepdims=True), 3, axis=2)
    out = np.ascontiguousarray(np.clip(x + 0.5, 0, 255).astype(np.uint8))
    if rng.random() < 0.3:
        ok, packed = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(35, 95))])
        out = cv2.imdecode(packed, cv2.IMREAD_COLOR) if ok else out
    return out
