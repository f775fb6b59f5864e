"""SAM's prompt encoder and mask decoder on 64 prompts of one image, fp32, one thread: ours against PyPI's `segment-anything`.

First clicks (one point, three masks) and later ones (five points and a mask fed back, one mask). Times are a prompt's.
"""

from __future__ import annotations

import json
from typing import Any

import torch

from benchmarks.peers import interleaved_ms, official_vit_b, one_thread, our_vit_b
from sambench.models.sam.segmenter import SamState
from sambench.pixels.candidates import Geometry
from sambench.types import Prompt
from tests.helpers.golden_weights import synthetic_features

PROMPTS = 64
ROUNDS = 5
BAR = 1.5


def measure(segmenter: Any, peer: Any, points: int, with_mask: bool) -> dict[str, Any]:
    """Both decode the same prompts; maxdiff is of the low-resolution logits, in units of their standard deviation."""
    generator = torch.Generator().manual_seed(0)
    xy = torch.rand(PROMPTS, points, 2, generator=generator) * 1023
    labels = (torch.rand(PROMPTS, points, generator=generator) < 0.6).to(torch.int8)
    masks = None
    if with_mask:
        masks = torch.randn(PROMPTS, 1, 32, 32, generator=generator)
        masks = torch.nn.functional.interpolate(masks, (256, 256), mode="bilinear") * 8
    embedding = torch.from_numpy(synthetic_features("synthetic_image_embedding", 256))
    geometry = Geometry(low=(256, 256), square=(1024, 1024), crop=(1024, 1024), size=(1024, 1024))
    state = SamState(embedding, segmenter.model.decoder_input(embedding), geometry, (1.0, 1.0))
    prompts = [
        Prompt(xy[i].numpy(), labels[i].numpy(), multimask=not with_mask, carry=None if masks is None else masks[i, 0])
        for i in range(PROMPTS)
    ]

    def ours() -> torch.Tensor:
        return torch.stack([torch.stack(list(p.carry)) for p in segmenter.decode(state, prompts)])

    def official() -> torch.Tensor:
        sparse, dense = peer.prompt_encoder((xy, labels), None, masks)
        low, _ = peer.mask_decoder(
            image_embeddings=embedding,
            image_pe=peer.prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=not with_mask,
        )
        return low

    expected = official()
    maxdiff = float((ours() - expected).abs().max() / expected.std())
    times = interleaved_ms(ours, official, ROUNDS)
    per_prompt = {k: v / PROMPTS if k != "ratio" else v for k, v in times.items()}
    return {**per_prompt, "maxdiff": maxdiff, "equal": maxdiff < 2e-4, "bar": BAR}


@torch.inference_mode()
def main() -> list[dict[str, Any]]:
    """One row a kind of prompt."""
    with one_thread():
        segmenter, peer = our_vit_b(), official_vit_b()
        return [
            {"name": f"decoder, {PROMPTS} prompts, one point, three masks", **measure(segmenter, peer, 1, False)},
            {"name": f"decoder, {PROMPTS} prompts, five points and a mask", **measure(segmenter, peer, 5, True)},
        ]


if __name__ == "__main__":
    for line in main():
        print(json.dumps(line))
