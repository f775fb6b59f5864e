"""What is promised of a GPU, where there is one: the golden bounds, scoring as on the host, and the same bytes from many workers.

`SAMBENCH_TEST_DEVICE=cpu` runs the same on torch's CPU: it shows that the tests themselves are in order.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.gpu_measuring import graphed
from sambench.automatic.generate import AutomaticSettings, generate
from sambench.conformance import compare_devices, scenes
from sambench.device.precision import computing
from sambench.models.sam.build import build_sam
from sambench.models.sam.nano import sam_nano
from sambench.tasks.edge import EdgeSettings, EdgeTask
from sambench.tasks.point import PointTask
from sambench.tasks.prompted import Context, Where
from sambench.types import Prompt, Sample
from tests.helpers import GOLDEN, sambench
from tests.helpers import golden_weights as rule

DEVICE = "cuda" if torch.cuda.is_available() else os.environ.get("SAMBENCH_TEST_DEVICE", "")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not DEVICE, reason="there is no GPU")]
KIND = DEVICE.partition(":")[0]


def context(scoring: Where) -> Context:
    return Context(scoring=scoring, device=DEVICE)


def without_times(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if not k.endswith("_ms")} for row in rows]


def test_fp32_is_float32() -> None:
    """The reference's embedding of ViT-B, in units of its standard deviation."""
    model = build_sam("vit_b", weights=rule.golden_state_dict("vit_b"), device=DEVICE)
    with np.load(GOLDEN / "sam" / "sam_vit_b.npz") as arrays:
        wanted = arrays["proc/embedding_sample"]
    with computing("fp32", KIND):
        found = model.encode(rule.procedural_image()).embedding.cpu().numpy()[0, ::4, ::4, ::4]
    assert np.abs(found - wanted).max() < 1e-4 * wanted.std()


def test_sam_nano_there_is_sam_nano_on_the_cpu() -> None:
    assert [f.status for f in compare_devices(sam_nano(device=DEVICE), sam_nano(), precision="fp32")] == ["pass"] * 4


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there are not two GPUs")
def test_a_model_on_another_gpu_than_it_was_given_is_scored_there() -> None:
    model, sample = sam_nano(device="cuda:1"), scenes.of_parts()
    with computing("fp32", KIND):
        contexts = [Context(scoring="device", device=device) for device in ("cuda:1", "cuda")]
        told, untold = (without_times(PointTask().rows(sample, model, c)) for c in contexts)
    assert told == untold


def test_points_scored_there_have_the_clicks_of_the_host() -> None:
    model, sample = sam_nano(device=DEVICE), scenes.of_parts()
    with computing("fp32", KIND):
        host, there = (without_times(PointTask().rows(sample, model, context(where))) for where in ("host", "device"))
    assert [r["clicks_xy"] for r in there] == [r["clicks_xy"] for r in host]
    for a, b in zip(there, host, strict=True):
        assert a["mask_rles"] != b["mask_rles"] or a["ious"] == b["ious"]
    assert abs(np.mean([r["iou_top"] for r in there]) - np.mean([r["iou_top"] for r in host])) < 1e-6


def test_automatic_masks_measured_there_are_those_of_the_host() -> None:
    model, image = sam_nano(device=DEVICE), scenes.of_parts().image
    settings = AutomaticSettings(grid=16, pred_iou=0.3, stability=0.3)
    with computing("fp32", KIND):
        host, there = generate(model, image, settings), generate(model, image, settings, device=DEVICE)
    assert [(m.box_xyxy, m.point_xy) for m in there] == [(m.box_xyxy, m.point_xy) for m in host]
    assert sum(a.rle != b.rle for a, b in zip(there, host, strict=True)) <= len(host) // 20


def test_edges_made_there_are_those_of_the_host() -> None:
    parts = scenes.of_parts()
    truth = np.zeros((parts.height, parts.width), np.bool_)
    sample = Sample("set", "one", parts.height, parts.width, (), lambda: parts.image, boundaries=(truth,), boundary_max_dist=0.0075)
    model, task = sam_nano(device=DEVICE), EdgeTask(EdgeSettings(nms="none"))
    with computing("fp32", KIND):
        host, there = (task.predict(sample, model, context(where)) for where in ("host", "device"))
    assert there.n_masks == host.n_masks
    assert np.mean(np.abs(there.edge_map - host.edge_map) > 1e-5) < 1e-4  # a pixel that a mask has here alone changes its ring


@pytest.mark.skipif(DEVICE == "cpu", reason="a CPU has no graphs")
def test_a_cuda_graph_of_the_decoder_has_its_bytes() -> None:
    model = build_sam("vit_b", weights=rule.golden_state_dict("vit_b"), device=DEVICE)
    network = model.model
    with torch.inference_mode(), computing("fp32", KIND):
        state = model.encode(rule.procedural_image())
        points = torch.rand(8, 1, 2, device=DEVICE) * 700
        sparse = network.prompt_encoder.sparse(points, torch.ones(8, 1, device=DEVICE), None)
        dense = network.prompt_encoder.no_mask_embed.weight[None]

        def decoded() -> torch.Tensor:
            low: torch.Tensor = network.mask_decoder(state.decoder, sparse, dense, multimask=True)[0]
            return low

        wanted = decoded()
        assert torch.equal(graphed(decoded)(), wanted)


def test_again_is_the_same_to_the_byte() -> None:
    model, sample = sam_nano(device=DEVICE), scenes.of_parts()
    prompts = [Prompt(np.array([[20.0 + i, 30.0]], np.float32), np.ones(1, np.int8)) for i in range(16)]
    with computing("fp32", KIND):
        first, again = (model.decode(model.encode(sample.image), prompts) for _ in range(2))
    assert all(np.array_equal(a.masks.low_res, b.masks.low_res) for a, b in zip(first, again, strict=True))  # type: ignore[attr-defined]


def test_one_two_and_four_workers_give_the_same_bytes(tmp_path: Path) -> None:
    """A worker process each, with whatever CUDA context and cuBLAS workspace it has."""
    found = []
    for workers in ("1", "2", "4"):
        out = tmp_path / workers
        more = ("--devices", DEVICE, "--workers", workers, "--scoring", "device", "--limit", "6", "--out", str(out))
        done = sambench("run", "point", "-d", "demo", "-m", "sam_nano", *more, timeout=1200)
        assert done.returncode == 0, done.stderr
        (cell,) = out.glob("point-*/demo-*")
        frame = pd.concat([pd.read_parquet(p) for p in sorted(cell.glob("shards/*.parquet"))])
        frame = frame.sort_values(["image_id", "object_id", "k"]).drop(columns=[c for c in frame if c.endswith("_ms")])
        found.append(((cell / "metrics.csv").read_bytes(), frame.reset_index(drop=True).to_json()))
    assert found[0] == found[1] == found[2]
