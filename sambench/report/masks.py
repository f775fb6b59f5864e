"""Automatic masks of a picture as files: COCO RLE in JSON, in the layout of SA-1B's files, and a coloured overlay."""

from __future__ import annotations

import colorsys
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sambench import __version__
from sambench.automatic.generate import AutomaticMask
from sambench.files.writing import write_aside
from sambench.pixels.region import Region
from sambench.types import UInt8Array

_GOLDEN = 0.618033988749895  # hues by its multiples: neighbours in the list are far apart


def masks_json(masks: Sequence[AutomaticMask], image: Mapping[str, Any], made_by: Mapping[str, Any]) -> dict[str, Any]:
    """{image, made_by, annotations}, with all fields of SA-1B's files (`sambench.loaders.sa1b`).

    Of each mask its COCO RLE, area, bbox [x, y, width, height] in pixels, predicted_iou, stability_score (null where it was not
    measured), point_coords [[x, y]] and crop_box [x, y, width, height]. image: image_id, file_name, width, height, and what else
    is known of the picture.
    """
    return {
        "image": dict(image),
        "made_by": {"sambench": __version__, **made_by},
        "annotations": [_annotation(i, m) for i, m in enumerate(masks, 1)],
    }


def stored_masks(json_path: Path, png_path: Path, image: Mapping[str, Any], made_by: Mapping[str, Any]) -> int | None:
    """How many masks a file holds that is of the same picture, model and settings; None where there is no such file."""
    try:
        held = json.loads(json_path.read_bytes()) if png_path.is_file() else {}
        wanted = json.loads(json.dumps(masks_json((), image, made_by)))
        same = all(held[key] == wanted[key] for key in ("image", "made_by"))
        return len(held["annotations"]) if same else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _annotation(i: int, mask: AutomaticMask) -> dict[str, Any]:
    x0, y0, x1, y1 = mask.box_xyxy
    left, top, right, bottom = mask.crop_xyxy
    return {
        "id": i,
        "segmentation": {"size": list(mask.rle["size"]), "counts": mask.rle["counts"].decode("ascii")},
        "area": mask.area_px,
        "bbox": [x0, y0, x1 - x0 + 1, y1 - y0 + 1],
        "predicted_iou": mask.predicted_iou,
        "stability_score": None if math.isnan(mask.stability) else mask.stability,
        "point_coords": [list(mask.point_xy)],
        "crop_box": [left, top, right - left, bottom - top],
    }


def colour_of(i: int) -> tuple[int, int, int]:
    """RGB of mask i, the same in every picture."""
    red, green, blue = colorsys.hsv_to_rgb((i * _GOLDEN) % 1.0, 0.65 + 0.35 * ((i * 7) % 3) / 2, 1.0)
    return round(255 * red), round(255 * green), round(255 * blue)


def overlay(image: UInt8Array, rles: Sequence[Mapping[str, Any]], opacity: float = 0.45) -> UInt8Array:
    """The picture, uint8 [H, W, 3] RGB, with every mask in a colour of its own, large ones below small ones, and outlined."""
    regions = [Region.from_rle(dict(r)) for r in rles]
    out = image.astype(np.float32) * (0.75 if regions else 1.0)  # dimmed, so that what no mask covers is seen to be so
    for i in sorted(range(len(regions)), key=lambda k: -regions[k].area):
        y0, x0, y1, x1 = regions[i].window
        mask = regions[i].array
        colour = np.array(colour_of(i), np.float32)
        view = out[y0:y1, x0:x1]
        view[mask] = (1 - opacity) * image[y0:y1, x0:x1][mask] + opacity * colour
        outlines, _ = cv2.findContours(mask.view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        for line in outlines:
            x, y = line[:, 0, 0], line[:, 0, 1]
            view[y, x] = colour
    return np.asarray(np.rint(np.clip(out, 0, 255)), np.uint8)


def write_masks(found: Mapping[str, Any], picture: UInt8Array, json_path: Path, png_path: Path) -> None:
    """Both files, each written aside and renamed; the JSON last, so that where it is the overlay is too. Raises RunError."""
    from PIL import Image

    text = json.dumps(found, ensure_ascii=False, allow_nan=False) + "\n"
    write_aside(png_path, lambda path: Image.fromarray(picture).save(path, format="PNG"))
    write_aside(json_path, lambda path: path.write_text(text, encoding="utf-8"))
