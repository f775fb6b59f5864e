"""HQ-SAM (arXiv 2306.01567) by architecture name, and the factories that model cards name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sambench.errors import unknown_name
from sambench.models.card_factory import CardFactory
from sambench.models.hq_sam.mask_decoder import MaskDecoderHQ
from sambench.models.hq_sam.model import HqSam
from sambench.models.mobile_sam.tiny_vit import TinyViT
from sambench.models.sam.build import (
    ARCHITECTURES,
    IMAGE_SIZE,
    PROMPT_DIM,
    filled,
    notes_of,
    prompt_encoder,
    state_of,
    vit_encoder,
)
from sambench.models.sam.segmenter import SamSegmenter

TINY = "vit_tiny"
TINY_EARLY = (1, 160)  # the second stage of TinyViT, after its merging, and its width


class HqSegmenter(SamSegmenter):
    """SamSegmenter of an HqSam: one mask a prompt, whose score is the predicted IoU of SAM's own mask in it."""

    model: HqSam

    @property
    def identity(self) -> Mapping[str, Any]:
        """What can change a number beside the weights."""
        return {**super().identity, "hq_token_only": self.model.mask_decoder.hq_token_only}


def build_hq_sam_model(arch: str, *, hq_token_only: bool = False, image_size: int = IMAGE_SIZE) -> HqSam:
    """The bare module of vit_b, vit_l, vit_h or vit_tiny, with fresh (random) weights, in evaluation mode.

    image_size: side of a ViT's input in pixels; TinyViT's is always 1024. The early feature is the output of the first
    global-attention block of a ViT, and of the second stage of TinyViT. Raises UsageError for an unknown architecture.
    """
    if arch not in (TINY, *ARCHITECTURES):
        raise unknown_name("HQ-SAM architecture", arch, (*ARCHITECTURES, TINY))
    if arch == TINY:
        encoder: nn.Module = TinyViT()
        image_size = IMAGE_SIZE
        layer, width = TINY_EARLY
    else:
        encoder = vit_encoder(arch, image_size)
        layer, width = min(ARCHITECTURES[arch].global_attn_indexes), ARCHITECTURES[arch].embed_dim
    decoder = MaskDecoderHQ(transformer_dim=PROMPT_DIM, early_dim=width, hq_token_only=hq_token_only)
    prompts = prompt_encoder(image_size)
    return HqSam(image_encoder=encoder, early_layer=layer, prompt_encoder=prompts, mask_decoder=decoder).eval()


def build_hq_sam(
    arch: str,
    *,
    weights: Path | Mapping[str, Tensor] | None,
    device: str = "cpu",
    precision: str = "fp32",
    key: str | None = None,
    strip_prefix: str | None = None,
    base: str | Path | None = None,
    squash: bool = False,
    hq_token_only: bool = False,
) -> HqSegmenter:
    """A segmenter from a checkpoint file, from a state dict with official key names, or (weights None) with random weights.

    hq_token_only: see MaskDecoderHQ; the others as in `sam.build.build_sam`. Raises CheckpointError where the weights do not fit,
    UsageError for an unknown architecture or precision.
    """
    held = state_of(weights, partial(build_hq_sam_model, arch), key=key, strip_prefix=strip_prefix, base=base)
    model = filled(partial(build_hq_sam_model, arch, hq_token_only=hq_token_only, image_size=held.image_size), held)
    return HqSegmenter(model, name=f"sam_hq_{arch}", device=device, precision=precision, squash=squash)


def _card(arch: str) -> CardFactory:
    return CardFactory(partial(build_hq_sam, arch), partial(notes_of, partial(build_hq_sam_model, arch)))


vit_b, vit_l, vit_h, vit_tiny = map(_card, ("vit_b", "vit_l", "vit_h", TINY))
