"""A sheet of images with their masks drawn over them: the quickest way to see that a dataset is read as it should be."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from sambench.errors import DataError
from sambench.pixels.region import Region
from sambench.text import counted
from sambench.types import Dataset, Sample, UInt8Array

if TYPE_CHECKING:
    from sambench.concepts import ConceptTruth

TILE_PX = 380
CAPTION_PX = 26
GAP_PX = 10
FILL = 0.42  # opacity of a mask's inside
_GROUND = (24, 25, 28)
_TEXT = (225, 226, 228)
_SHIFT = 4  # OpenCV draws at 1/16 pixel


def contact_sheet(dataset: Dataset, image_ids: Sequence[str]) -> Image.Image:
    """The images with masks in distinct colours, ignored pixels grey, id and object count below each. Phrases have one colour each,
    that of their first annotator's masks, and stand in the picture; of many those that are there first.

    Images that cannot be read show as an empty tile that says so.
    """
    columns = min(4, len(image_ids))
    rows = -(-len(image_ids) // columns)
    width = columns * (TILE_PX + GAP_PX) + GAP_PX
    height = rows * (TILE_PX + CAPTION_PX + GAP_PX) + GAP_PX
    sheet = Image.new("RGB", (width, height), _GROUND)
    for i, image_id in enumerate(image_ids):
        x = GAP_PX + (i % columns) * (TILE_PX + GAP_PX)
        y = GAP_PX + (i // columns) * (TILE_PX + CAPTION_PX + GAP_PX)
        try:
            sample = dataset.load(image_id)
            tile, count = Image.fromarray(draw_sample(sample, TILE_PX)), _count(len(sample.instances))
            if sample.concepts:
                _legend(tile, sample.concepts)
                count = counted(len(sample.concepts), "phrase")
        except DataError as e:
            tile, count = Image.new("RGB", (TILE_PX, TILE_PX), (60, 34, 34)), e.message
        sheet.paste(tile, (x + (TILE_PX - tile.width) // 2, y + (TILE_PX - tile.height) // 2))
        _caption(sheet, (x, y + TILE_PX), image_id, count)
    return sheet


def draw_sample(sample: Sample, side_px: int) -> UInt8Array:
    """uint8 [h, w, 3], RGB: the image scaled so that its longer side is `side_px`, with fills and outlines of all masks."""
    scale = side_px / max(sample.height, sample.width)
    size = (max(1, round(sample.width * scale)), max(1, round(sample.height * scale)))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    image = cv2.resize(sample.image, size, interpolation=method).astype(np.uint8)
    if sample.ignore is not None:
        _lay(image, sample.ignore, scale, (128, 128, 128))
    # Large ones first: a part that lies in a whole stays visible.
    for k, instance in enumerate(sorted(sample.instances, key=lambda o: -o.area_px)):
        _lay(image, instance.region, scale, _colour(k))
    for k, concept in enumerate(sample.concepts):
        for drawn in concept.annotations[0].instances if concept.annotations else ():
            if drawn.region is not None:
                _lay(image, drawn.region, scale, _colour(k))
    return image


def _legend(tile: Image.Image, concepts: Sequence[ConceptTruth]) -> None:
    """What the image is asked for: phrases in their colours with the number of instances, absent ones grey."""
    draw, font, step = ImageDraw.Draw(tile, "RGBA"), ImageFont.load_default(13), 16
    counted = [(k, c.phrase, [len(a.instances) for a in c.annotations], c.exhaustive) for k, c in enumerate(concepts)]
    counted.sort(key=lambda c: not any(c[2]))
    room = max(1, tile.height // step - 1)
    shown = counted if len(counted) <= room else counted[: room - 1]
    lines = []
    for k, phrase, n, whole in shown:
        lines.append((k, f"{phrase}: {' / '.join(map(str, n))}{'' if whole else ' (not exhaustive)'}", any(n)))
    if len(shown) < len(counted):
        lines.append((0, f"and {len(counted) - len(shown)} more", False))
    for i, (k, text, there) in enumerate(lines):
        y = tile.height - step * (len(lines) - i) - 3
        draw.rectangle((2, y, 6 + draw.textlength(text, font=font), y + step), fill=(0, 0, 0, 160))
        draw.text((4, y), text, fill=tuple(min(255, c + 40) for c in _colour(k)) if there else (150, 152, 158), font=font)


def _lay(image: UInt8Array, region: Region, scale: float, colour: tuple[int, int, int]) -> None:
    mask = np.pad(region.array, 1).astype(np.uint8)
    contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    scaled = [_scaled(np.asarray(c), region, scale) for c in contours]
    filled = image.copy()
    cv2.fillPoly(filled, scaled, colour, lineType=cv2.LINE_AA, shift=_SHIFT)
    cv2.addWeighted(filled, FILL, image, 1 - FILL, 0, dst=image)
    bright = tuple(min(255, c + 40) for c in colour)
    cv2.polylines(image, scaled, True, bright, 1, cv2.LINE_AA, _SHIFT)


def _scaled(contour: npt.NDArray[np.int32], region: Region, scale: float) -> npt.NDArray[np.int32]:
    """Contour points [n, 1, 2] of the padded window as fixed-point pixels of the tile (pixel centres at +0.5)."""
    offset = np.array([region.x0 - 1, region.y0 - 1])
    points = (contour + offset + 0.5) * scale - 0.5
    return np.asarray(np.round(points * (1 << _SHIFT)), np.int32)


def _colour(k: int) -> tuple[int, int, int]:
    """Distinct colours: hues a golden section apart, in three brightnesses."""
    r, g, b = colorsys.hsv_to_rgb((k * 0.618034) % 1.0, (0.85, 0.65, 0.95)[k % 3], (1.0, 0.95, 0.8)[k % 3])
    return round(255 * r), round(255 * g), round(255 * b)


def _count(n: int) -> str:
    return counted(n, "object")


def _caption(sheet: Image.Image, at: tuple[int, int], image_id: str, count: str) -> None:
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    room = TILE_PX - draw.textlength(count, font=font) - 16
    text, cut = image_id, len(image_id)
    while cut and draw.textlength(text, font=font) > room:
        cut -= 1
        text = image_id[:cut] + "…"
    draw.text((at[0] + 2, at[1] + 5), text, fill=_TEXT, font=font)
    draw.text((at[0] + TILE_PX - 2, at[1] + 5), count, fill=(150, 152, 158), font=font, anchor="ra")
