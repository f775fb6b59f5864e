"""Click models: our pipeline for the objects of one image against the authors' loop, which takes one object after the other.

Where a clone of the authors' repository and a checkpoint of theirs are named in the environment,

    SAMBENCH_PEER_SIMPLECLICK=CLONE:WEIGHTS      or      SAMBENCH_PEER_RITM=CLONE:WEIGHTS

their own predictor is the peer, and both read that file. (Their packages have one name: one of the two at a time. They need
torchvision, and SimpleClick mmcv and timm as well.) Otherwise a stand-in written from the method's description takes its place:
the same network and the same windows, but an object at a time, the picture and its mirror image as a batch of two, whole-image maps
between clicks. Weights are random there.

Two clicks on each object, previous masks fed back. On a CPU objects go one by one with us too, and what is promised is that
nothing is lost; on a GPU they go together, and three times the speed is.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from benchmarks.peers import one_thread
from sambench.models.clicks.coding import Clicks
from sambench.models.clicks.segmenter import ClickSegmenter
from sambench.models.ritm.build import ARCHITECTURES as RITM
from sambench.models.ritm.build import build_ritm
from sambench.models.ritm.network import RitmNetwork
from sambench.models.simpleclick.build import ARCHITECTURES as SIMPLECLICK
from sambench.models.simpleclick.build import build_simpleclick
from sambench.models.simpleclick.model import SimpleClick
from sambench.types import Prompt, UInt8Array

HEIGHT, WIDTH = 321, 481
ROUNDS = 2
CLICKS = 2
CPU_BAR = 0.95  # not slower, within what one run can tell
GPU_BAR = 3.0

Maps = list[np.ndarray[Any, np.dtype[np.float32]]]  # probabilities [H, W], object by object, click by click


def main() -> list[dict[str, Any]]:
    """Rows for benchmarks.run."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    with one_thread():
        return [_row(name, device) for name in ("ritm_hrnet18s", "simpleclick_vit_b")]


def _row(name: str, device: str) -> dict[str, Any]:
    family = name.partition("_")[0].upper()
    named = os.environ.get(f"SAMBENCH_PEER_{family}", "")
    clone, _, weights = named.partition(":")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(weights) if weights else _random_weights(name, Path(folder))
        build = build_ritm if family == "RITM" else build_simpleclick
        ours = build(name.partition("_")[2], weights=path, device=device)
        peer = _authors(Path(clone), path, family, device) if weights else _one_by_one(ours)
    image, clicks = _workload(16 if device == "cuda" else 2)
    found = _timed(lambda: _ours(ours, image, clicks), lambda: peer(image, clicks), device, len(clicks))
    against = "the authors' code" if weights else "a one-by-one stand-in"
    label = f"{name}, {len(clicks)} objects x {CLICKS} clicks, {device}, against {against}"
    return {"name": label, **found, "bar": GPU_BAR if device == "cuda" else CPU_BAR, "equal": found["maxdiff"] < 1e-3}


def _timed(ours: Callable[[], Maps], peer: Callable[[], Maps], device: str, objects: int) -> dict[str, Any]:
    """Median milliseconds an object (CPU time on a CPU, wall time on a GPU), in turns, and the largest difference of two maps."""
    clock = time.perf_counter_ns if device == "cuda" else time.process_time_ns
    maxdiff = max(float(np.abs(a - b).max()) for a, b in zip(ours(), peer(), strict=True))
    times: dict[str, list[float]] = {"ours_ms": [], "peer_ms": []}
    for _ in range(ROUNDS):
        for name, call in (("ours_ms", ours), ("peer_ms", peer)):
            start = clock()
            call()
            times[name].append((clock() - start) / 1e6 / objects)
    found = {name: statistics.median(t) for name, t in times.items()}
    return {**found, "ratio": found["peer_ms"] / found["ours_ms"], "maxdiff": maxdiff}


def _workload(objects: int) -> tuple[UInt8Array, list[np.ndarray[Any, np.dtype[np.int64]]]]:
    """A picture, and each object's clicks [CLICKS, 3]: row, column, positive."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (HEIGHT // 16, WIDTH // 16, 3)).astype(np.float32)
    rough = F.interpolate(torch.from_numpy(coarse).permute(2, 0, 1)[None], (HEIGHT, WIDTH), mode="bicubic")[0]
    image = rough.clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    clicks = []
    for _ in range(objects):
        first = rng.integers((80, 80), (HEIGHT - 80, WIDTH - 80))
        at = np.array([first, rng.integers((0, 0), (HEIGHT, WIDTH))])
        clicks.append(np.concatenate([at, [[1], [0]]], axis=1))
    return image, clicks


def _ours(model: ClickSegmenter, image: UInt8Array, clicks: Sequence[np.ndarray[Any, Any]]) -> Maps:
    state, carries, out = model.encode(image), [None] * len(clicks), []
    for k in range(1, CLICKS + 1):
        prompts = [
            Prompt(c[:k, 1::-1].astype(np.float32), c[:k, 2].astype(np.int8), carry=carry)
            for c, carry in zip(clicks, carries, strict=True)
        ]
        answers = model.decode(state, prompts)
        carries = [a.carry[0] for a in answers if a.carry is not None]
        out.append([a.masks.prob(0) for a in answers])
    return [out[k][i] for i in range(len(clicks)) for k in range(CLICKS)]


def _one_by_one(model: ClickSegmenter) -> Callable[[UInt8Array, Sequence[np.ndarray[Any, Any]]], Maps]:
    """The stand-in: our network and windows, an object at a time, whole-image maps."""

    @torch.inference_mode()
    def run(image: UInt8Array, clicks: Sequence[np.ndarray[Any, Any]]) -> Maps:
        out = []
        for c in clicks:
            rgb = torch.from_numpy(image).to(model.device).permute(2, 0, 1)[None].float() / 255
            previous, window, mask_window = torch.zeros_like(rgb[:, :1]), None, None
            for k in range(1, CLICKS + 1):
                placed = Clicks(c[:k, :2].astype(np.float64), c[:k, 2] == 1)
                view = model.zoom.view((HEIGHT, WIDTH), placed, mask_window, window)
                window = view.stored
                seen = view.window or (0, 0, HEIGHT, WIDTH)
                crop = torch.cat([rgb, previous], dim=1)[:, :, seen[0] : seen[2], seen[1] : seen[3]]
                net_input = F.interpolate(crop, view.size, mode="bilinear", align_corners=True)
                if view.window is not None:
                    placed = placed.into(view.window, view.size)
                both = torch.cat([net_input, net_input.flip(-1)])
                maps = torch.from_numpy(_disks([placed, placed.flipped(view.size[1])], view.size)).to(model.device)
                logits = model.network(both[:, :3], both[:, 3:], maps)
                probs = ((logits[:1] + logits[1:].flip(-1)) / 2).sigmoid()
                target = view.target or (0, 0, HEIGHT, WIDTH)
                size = (target[2] - target[0], target[3] - target[1])
                previous = torch.zeros_like(previous)
                previous[:, :, target[0] : target[2], target[1] : target[3]] = F.interpolate(
                    probs, size, mode="bilinear", align_corners=True
                )
                out.append(previous[0, 0].cpu().numpy())
                mask_window = _tight(out[-1] > model.zoom.cut)
        return out

    return run


def _disks(clicks: Sequence[Clicks], size: tuple[int, int]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Distances of every pixel to every click, as the description has it."""
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float32)
    out = np.zeros((len(clicks), 2, *size), np.float32)
    for maps, one in zip(out, clicks, strict=True):
        for (cy, cx), positive in zip(one.yx.astype(np.float32), one.positive, strict=True):
            maps[0 if positive else 1][(y - cy) ** 2 + (x - cx) ** 2 <= 25] = 1
    return out


def _tight(mask: np.ndarray[Any, np.dtype[np.bool_]]) -> Any:
    from sambench.pixels.region import Region

    region = Region.from_array(mask)
    return region.window if region.area else None


def _random_weights(name: str, folder: Path) -> Path:
    family, _, arch = name.partition("_")
    torch.manual_seed(0)
    network = RitmNetwork(RITM[arch]) if family == "ritm" else SimpleClick(SIMPLECLICK[arch])
    path = folder / "random.pth"
    torch.save(network.state_dict(), path)
    return path


def _authors(clone: Path, weights: Path, family: str, device: str) -> Callable[[UInt8Array, Sequence[np.ndarray[Any, Any]]], Maps]:
    """Their predictor with the settings of their evaluation script, an object at a time."""
    sys.path.insert(0, str(clone))
    from isegm.inference.clicker import Click, Clicker  # type: ignore[import-not-found]
    from isegm.inference.predictors import get_predictor  # type: ignore[import-not-found]
    from isegm.inference.utils import load_is_model  # type: ignore[import-not-found]

    where = torch.device(device)
    stored = torch.load(weights, map_location="cpu", weights_only=False)  # their code reads it so, and so must the peer
    if family == "RITM":
        network, zoom = load_is_model(stored, where), {"target_size": 400}
    else:
        network, zoom = load_is_model(stored, where, False), {"skip_clicks": -1, "target_size": (448, 448)}

    @torch.inference_mode()
    def run(image: UInt8Array, clicks: Sequence[np.ndarray[Any, Any]]) -> Maps:
        out = []
        for c in clicks:
            predictor, clicker = get_predictor(network, "NoBRS", where, prob_thresh=0.49, zoom_in_params=zoom), Clicker()
            predictor.set_input_image(image)
            for row, column, positive in c.tolist():
                clicker.add_click(Click(is_positive=bool(positive), coords=(row, column)))
                out.append(predictor.get_prediction(clicker))
        return out

    return run
