"""HQ-SAM (arXiv 2306.01567) by architecture name, and the factories that model cards name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sambench.errors import unknown_name
from sambench.models.hq_sam.mask_decoder import MaskDecoderHQ
from sambench.models.hq_sam.model import HqSam
from sambench.models.mobile_sam.tiny_vit import TinyViT
from sambench.models.sam.build import ARCHITECTURES, PROMPT_DIM, filled, needed, prompt_encoder, state_of, vit_encoder
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


def build_hq_sam_model(arch: str, *, hq_token_only: bool = False) -> HqSam:
    """The bare module of vit_b, vit_l, vit_h or vit_tiny, with fresh (random) weights, in evaluation mode.

    The early feature is the output of the first global-attention block of a ViT, and of the second stage of TinyViT. Raises
    UsageError for an unknown architecture.
    """
    if arch not in (TINY, *ARCHITECTURES):
        raise unknown_name("HQ-SAM architecture", arch, (*ARCHITECTURES, TINY))
    if arch == TINY:
        encoder: nn.Module = TinyViT()
        layer, width = TINY_EARLY
    else:
        encoder = vit_encoder(arch)
        layer, width = min(ARCHITECTURES[arch].global_attn_indexes), ARCHITECTURES[arch].embed_dim
    decoder = MaskDecoderHQ(transformer_dim=PROMPT_DIM, early_dim=width, hq_token_only=hq_token_only)
    return HqSam(image_encoder=encoder, early_layer=layer, prompt_encoder=prompt_encoder(), mask_decoder=decoder).eval()


def build_hq_sam(
    arch: str,
    *,
    weights: Path | Mapping[str, Tensor] | None,
    device: str = "cpu",
    precision: str = "fp32",
    key: str | None = None,
    strip_prefix: str | None = None,
    squash: bool = False,
    hq_token_only: bool = False,
) -> HqSegmenter:
    """A segmenter from a checkpoint file, from a state dict with official key names, or (weights None) with random weights.

    hq_token_only: see MaskDecoderHQ; the others as in `sam.build.build_sam`. Raises CheckpointError where the weights do not fit,
    UsageError for an unknown architecture or precision.
    """
    state, where = state_of(weights, key=key, strip_prefix=strip_prefix)
    model = filled(partial(build_hq_sam_model, arch, hq_token_only=hq_token_only), state, where)
    return HqSegmenter(model, name=f"sam_hq_{arch}", device=device, precision=precision, squash=squash)


def card_hq_sam(
    arch: str,
    *,
    weights: Path | None,
    device: str,
    precision: str,
    key: str | None = None,
    strip_prefix: str | None = None,
    squash: bool = False,
    hq_token_only: bool = False,
) -> HqSegmenter:
    """The factory of HQ-SAM's cards; see build_hq_sam. Raises CheckpointError without weights."""
    return build_hq_sam(
        arch,
        weights=needed(weights),
        device=device,
        precision=precision,
        key=key,
        strip_prefix=strip_prefix,
        squash=squash,
        hq_token_only=hq_token_only,
    )


vit_b = partial(card_hq_sam, "vit_b")
vit_l = partial(card_hq_sam, "vit_l")
vit_h = partial(card_hq_sam, "vit_h")
vit_tiny = partial(card_hq_sam, TINY)
