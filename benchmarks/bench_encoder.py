"""SAM's ViT-B image encoder, fp32, one thread: ours against PyPI's `segment-anything` with the same weights."""

from __future__ import annotations

import json
from typing import Any

import torch

from benchmarks.peers import interleaved_ms, official_vit_b, one_thread, our_vit_b
from sambench.models.sam.segmenter import preprocess
from tests.helpers.golden_weights import procedural_image

ROUNDS = 5
BAR = 1.3


@torch.inference_mode()
def main() -> list[dict[str, Any]]:
    """One row; maxdiff is the largest difference of the embeddings, whose standard deviation is about 0.7."""
    with one_thread():
        ours, peer = our_vit_b().model.image_encoder, official_vit_b().image_encoder
        pixels = preprocess(procedural_image(), 1024)
        maxdiff = float((ours(pixels) - peer(pixels)).abs().max())
        times = interleaved_ms(lambda: ours(pixels), lambda: peer(pixels), ROUNDS)
    return [{"name": "ViT-B encoder, 1024 x 1024, fp32", **times, "maxdiff": maxdiff, "equal": maxdiff < 1e-4, "bar": BAR}]


if __name__ == "__main__":
    for line in main():
        print(json.dumps(line))
