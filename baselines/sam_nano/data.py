"""Training examples of `sam_nano`: crops of scenes, their targets at the decoder's resolution, and first prompts.

The examples of a step are a function of (seed, stream, step) alone. Scenes are kept on disk once drawn (`cache`); a missing one
is drawn anew, so a cache changes the time and never the numbers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from generator import GENERATOR, JOINTED, SIDE, scene
from shapes import F32, U8, Rng

STRIDE = 4  # input pixels a cell of the low-resolution masks
FRAME = 512  # side of the model's own input frame
MEAN = np.float32([123.675, 116.28, 103.53])
STD = np.float32([58.395, 57.12, 57.375])
MIN_AREA_PX = 24
HELD_OUT = 1_000_000  # scenes from this number on are for validation


@dataclass(frozen=True)
class Example:
    """One crop of side S and P of its objects.

    pixels float32 [3, S, S], normalised. origin_xy: where the crop lies in the model's frame, multiples of 32. Per object: targets
    float32 [P, S/4, S/4], coverage in 0..1; centre_xy and random_xy float32 [P, 2]; box_xyxy (tight) and loose_xyxy (noisy) [P, 4].
    things8 and things4 int16 [S/8, S/8] and [S/4, S/4]: which thing is at the middle of each cell; wholes8: which whole.
    """

    pixels: F32
    origin_xy: F32
    targets: F32
    centre_xy: F32
    random_xy: F32
    box_xyxy: F32
    loose_xyxy: F32
    things8: npt.NDArray[np.int16]
    wholes8: npt.NDArray[np.int16]
    things4: npt.NDArray[np.int16]


def load_scene(index: int, cache: Path | None) -> tuple[U8, npt.NDArray[np.int16], npt.NDArray[np.int16]]:
    """scene(index), from the cache if it is there; put there if not."""
    if cache is None:
        return scene(index)
    path = cache / f"{GENERATOR}-{index:07d}.npz"
    if path.exists():
        with np.load(path) as z:
            return z["image"], z["things"], z["parents"]
    image, things, parents = scene(index)
    part = path.with_suffix(f".{np.random.default_rng().integers(1 << 40)}.npz")
    np.savez(part, image=image, things=things, parents=parents)
    part.replace(path)
    return image, things, parents


def example(rng: Rng, index: int, cache: Path | None, *, side: int, prompts: int) -> Example | None:
    """A crop of scene `index` with `prompts` objects (some more than once if there are few); None if there is none in it."""
    image, things, parents = load_scene(index, cache)
    image, things, valid = _crop(rng, image, things, side)
    image, things, valid = _turn(rng, image, things, valid)
    masks = _objects(things, parents)
    if not masks:
        return None
    pixels = (_tint(rng, image) - MEAN) / STD
    pixels[~valid] = 0  # as the padding of a picture that does not fill the frame
    picked = _choose(rng, masks, prompts)
    low = side // STRIDE
    targets = np.stack([cv2.resize(m.astype(np.float32), (low, low), interpolation=cv2.INTER_AREA) for m in picked])
    centres, randoms, boxes = zip(*(_first_prompts(rng, m) for m in picked), strict=True)
    box = np.array(boxes, np.float32)
    span = np.tile(box[:, 2:] - box[:, :2] + 1, 2)
    amount = np.where(rng.random((prompts, 1)) < 0.3, 0.0, rng.uniform(0, 0.1, (prompts, 1)))
    loose = box + np.clip(rng.standard_normal((prompts, 4)) * amount * span, -20, 20)
    loose = np.concatenate((np.minimum(loose[:, :2], loose[:, 2:]), np.maximum(loose[:, :2], loose[:, 2:])), axis=1)
    room = (FRAME - side) // 32
    origin = rng.integers(0, room + 1, 2) * 32 if room else np.zeros(2)
    return Example(
        np.ascontiguousarray(pixels.transpose(2, 0, 1), dtype=np.float32), origin.astype(np.float32), targets,
        np.array(centres, np.float32), np.array(randoms, np.float32), box, np.clip(loose, 0, side - 1).astype(np.float32),
        np.ascontiguousarray(things[4::8, 4::8]), _wholes(parents)[things[4::8, 4::8]], np.ascontiguousarray(things[2::4, 2::4]),
    )  # fmt: skip


def _crop(rng: Rng, image: U8, things: npt.NDArray[np.int16], side: int) -> tuple[U8, npt.NDArray[np.int16], npt.NDArray[np.bool_]]:
    """A square of the scene brought to `side`; at times a part of it stays empty."""
    scale = float(rng.choice([0.5, 0.75, 1.0, 1.5, 2.0], p=[0.1, 0.15, 0.4, 0.15, 0.2]) * rng.uniform(0.85, 1.15))
    n = int(min(SIDE, round(side * scale)))
    y, x = (int(v) for v in rng.integers(0, SIDE - n + 1, 2))
    image, things = image[y : y + n, x : x + n], things[y : y + n, x : x + n]
    fill = side if n >= side or rng.random() < 0.8 else n  # a small crop is mostly enlarged
    if n != fill:
        image = cv2.resize(image, (fill, fill), interpolation=cv2.INTER_AREA if n > fill else cv2.INTER_LINEAR)
        things = cv2.resize(things, (fill, fill), interpolation=cv2.INTER_NEAREST)
    h = w = fill
    if rng.random() < 0.12:
        h, w = (h, int(w * rng.uniform(0.6, 1))) if rng.random() < 0.5 else (int(h * rng.uniform(0.6, 1)), w)
    out, seen, valid = np.zeros((side, side, 3), np.uint8), np.zeros((side, side), np.int16), np.zeros((side, side), np.bool_)
    out[:h, :w], seen[:h, :w], valid[:h, :w] = image[:h, :w], things[:h, :w], True
    return out, seen, valid


def _turn(rng: Rng, *maps: npt.NDArray[np.generic]) -> tuple:
    k, flip = int(rng.integers(4)), rng.random() < 0.5
    if maps[2].mean() < 1:  # padding is at the right and at the bottom, always
        return maps
    return tuple(np.rot90(m[:, ::-1] if flip else m, k) for m in maps)


def _tint(rng: Rng, image: U8) -> F32:
    out = image.astype(np.float32)
    if rng.random() < 0.3:
        out = out[..., rng.permutation(3)]
    if rng.random() < 0.5:
        out = out * np.float32(rng.uniform(0.6, 1.4)) + np.float32(rng.uniform(-25, 25))
    if rng.random() < 0.08:
        out = 255 - out
    return np.clip(np.round(out), 0, 255)


def _objects(things: npt.NDArray[np.int16], parents: npt.NDArray[np.int16]) -> list[npt.NDArray[np.bool_]]:
    """Visible masks of all things that are seen well enough, parents with all their parts."""
    n = len(parents)
    areas = np.bincount(things.ravel(), minlength=n)
    children: dict[int, list[int]] = {}
    for i in range(n - 1, 0, -1):
        p = int(parents[i])
        if p:
            children.setdefault(p, []).append(i)
            areas[p] += areas[i]
    out = []
    for i in range(1, n):
        if MIN_AREA_PX <= areas[i] < 0.95 * things.size:
            kin, rest = [i], list(children.get(i, ()))
            while rest:
                k = rest.pop()
                kin.append(k)
                rest.extend(children.get(k, ()))
            out.append(things == i if len(kin) == 1 else np.isin(things, kin))
    return out


def _wholes(parents: npt.NDArray[np.int16]) -> npt.NDArray[np.int16]:
    """int16 [n]: the outermost ancestor of every thing. Parents come before their parts."""
    out = np.arange(len(parents), dtype=np.int16)
    for i, p in enumerate(parents):
        if p:
            out[i] = out[p]
    return out


def _choose(rng: Rng, masks: list[npt.NDArray[np.bool_]], n: int) -> list[npt.NDArray[np.bool_]]:
    """n masks, the sizes of the picture in balance."""
    size = np.digitize(np.log2([np.count_nonzero(m) for m in masks]), [6, 8, 10, 12, 14])
    weight = (1 / np.bincount(size)[size]) ** 0.6
    few = len(masks) < n
    return [masks[i] for i in rng.choice(len(masks), n, replace=few, p=weight / weight.sum())]


def _first_prompts(
    rng: Rng, mask: npt.NDArray[np.bool_]
) -> tuple[tuple[float, float], tuple[float, float], tuple[int, int, int, int]]:
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    y0, y1, x0, x1 = (int(v) for v in (rows[0], rows[-1], cols[0], cols[-1]))
    inside = np.pad(mask[y0 : y1 + 1, x0 : x1 + 1].astype(np.uint8), 1)
    depth = cv2.distanceTransform(inside, cv2.DIST_L2, 3)[1:-1, 1:-1]
    cy, cx = divmod(int(np.argmax(depth)), depth.shape[1])
    ys, xs = np.nonzero(inside[1:-1, 1:-1])
    k = int(rng.integers(len(ys)))
    return (x0 + cx, y0 + cy), (x0 + int(xs[k]), y0 + int(ys[k])), (x0, y0, x1, y1)


def batch(
    seed: int, stream: int, step: int, *, scenes: int, cache: Path | None, side: int, images: int, prompts: int, jointed: int = 0
) -> list[Example]:
    """The examples of one step. stream 0 is training, 1 validation (on held-out scenes). jointed: how many scenes of that kind."""
    rng = np.random.default_rng([seed, stream, step])
    out: list[Example] = []
    while len(out) < images:
        if jointed and rng.random() < 0.35:
            index = JOINTED + int(rng.integers(jointed))
        else:
            index = int(rng.integers(scenes)) + (HELD_OUT if stream else 0)
        found = example(rng, index, cache, side=side, prompts=prompts)
        if found is not None:
            out.append(found)
    return out
