"""The views of a study's jobs, rendered by several processes; a job's folder is whole or it is not there."""

from __future__ import annotations

import io
import multiprocessing
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from sambench import cards
from sambench.files.writing import storage_error
from sambench.loaders.open import open_dataset
from sambench.pixels.region import RLE, Region
from sambench.rating.items import Progress
from sambench.rating.views import ALL_VIEWS, Scene, ShownPrompt
from sambench.types import Dataset, UInt8Array

Encoding = tuple[str, dict[str, Any]]  # the ending of a file's name, and what Pillow is given
_JPG: Encoding = ("jpg", {"quality": 92, "subsampling": 0})  # colours in full resolution: the mask's line stays sharp
_PNG: Encoding = ("png", {"compress_level": 1})  # level 6 takes five times as long for 10 % less
_WEBP: Encoding = ("webp", {"lossless": True, "quality": 0, "method": 0})
# sharp: without loss where boundaries are judged, JPEG where the whole is. A view's form never depends on its mask.
FORMS: dict[str, dict[str, Encoding]] = {
    "jpg": dict.fromkeys(ALL_VIEWS, _JPG),
    "png": dict.fromkeys(ALL_VIEWS, _PNG),
    "webp": dict.fromkeys(ALL_VIEWS, _WEBP),
    "sharp": {v: _WEBP if v in ("outline", "zoom", "plain") else _JPG for v in ALL_VIEWS},
}
_FEW = 40  # images that are not worth starting processes for


@dataclass(frozen=True)
class Picture:
    """One job to render. card: the path of its dataset's card, whose folder is the dataset's root."""

    job_id: str
    card: str
    image_id: str
    shown: ShownPrompt
    mask: RLE


def render(
    pictures: Sequence[Picture], views: Path, *, side_px: int, form: str, workers: int | None, on_progress: Progress
) -> None:
    """Render what is not there yet, image by image. Raises DataError on an image that cannot be read, RunError on a full disk."""
    by_image: dict[tuple[str, str], list[Picture]] = {}
    for p in pictures:
        if not (views / p.job_id).is_dir():
            by_image.setdefault((p.card, p.image_id), []).append(p)
    try:
        views.mkdir(parents=True, exist_ok=True)
        for left in views.glob(".*"):  # of a run that was killed
            shutil.rmtree(left)
    except OSError as e:
        raise storage_error(e, views) from e
    todo, n_jobs = list(by_image.values()), sum(map(len, by_image.values()))
    done = 0
    n_processes = workers or (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    if n_processes < 2 or len(todo) < _FEW:
        for group in todo:
            on_progress("views", done, n_jobs)
            done += _render_image(group, views, side_px, form)
    else:
        with ProcessPoolExecutor(n_processes, mp_context=multiprocessing.get_context("spawn")) as pool:
            futures = [pool.submit(_render_image, group, views, side_px, form) for group in todo]
            try:
                for future in as_completed(futures):
                    done += future.result()
                    on_progress("views", done, n_jobs)
            except BaseException:
                pool.shutdown(cancel_futures=True)
                raise
    on_progress("views", n_jobs, n_jobs)


@lru_cache(maxsize=16)
def _dataset(card: str) -> Dataset:
    return open_dataset(cards.dataset_card(card), root=Path(card).parent)


def _render_image(group: Sequence[Picture], views: Path, side_px: int, form: str) -> int:
    """The jobs of one image; returns how many."""
    scene = Scene.of(_dataset(group[0].card).load(group[0].image_id).image, side_px)
    unmasked: dict[ShownPrompt, bytes] = {}  # the first view is the same for every mask of an input
    for picture in group:
        aside = views / f".{picture.job_id}.{os.getpid()}"
        try:
            aside.mkdir()
            found = scene.views(Region.from_rle(picture.mask), picture.shown)
            for (view, name), pixels in zip(view_names(form).items(), found.values(), strict=True):
                data = unmasked.get(picture.shown) if view == "image" else None
                data = data or encoded(pixels, FORMS[form][view])
                if view == "image":
                    unmasked[picture.shown] = data
                (aside / name).write_bytes(data)
            os.replace(aside, views / picture.job_id)  # a folder: all views of a job or none
        except OSError as e:
            raise storage_error(e, views) from e
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    return len(group)


def view_names(form: str) -> dict[str, str]:
    """The name of every view's file in a job's folder, in order."""
    return {view: f"{n}_{view}.{FORMS[form][view][0]}" for n, view in enumerate(ALL_VIEWS, 1)}


def encoded(pixels: UInt8Array, encoding: Encoding) -> bytes:
    """The bytes of a picture uint8 [h, w, 3] in a form of FORMS."""
    ending, options = encoding
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG" if ending == "jpg" else ending.upper(), **options)
    return out.getvalue()
