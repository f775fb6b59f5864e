"""MobileSAM (arXiv 2306.14289): SAM with TinyViT as its image encoder, and the factory that its card names."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from torch import Tensor

from sambench.models.card_factory import CardFactory
from sambench.models.mobile_sam.tiny_vit import TinyViT
from sambench.models.sam.build import filled, notes_of, sam_around, state_of
from sambench.models.sam.model import Sam
from sambench.models.sam.segmenter import SamSegmenter


def build_mobile_sam_model() -> Sam:
    """The bare module with fresh (random) weights, in evaluation mode; state_dict keys are the released checkpoint's."""
    return sam_around(TinyViT()).eval()


def build_mobile_sam(
    *,
    weights: Path | Mapping[str, Tensor] | None,
    device: str = "cpu",
    precision: str = "fp32",
    key: str | None = None,
    strip_prefix: str | None = None,
    base: str | Path | None = None,
    squash: bool = False,
) -> SamSegmenter:
    """A segmenter from a checkpoint file, from a state dict with official key names, or (weights None) with random weights.

    Options as in `sam.build.build_sam`. Raises CheckpointError where the weights do not fit.
    """
    model = filled(
        build_mobile_sam_model, state_of(weights, build_mobile_sam_model, key=key, strip_prefix=strip_prefix, base=base)
    )
    return SamSegmenter(model, name="mobile_sam", device=device, precision=precision, squash=squash)


mobile_sam = CardFactory(build_mobile_sam, partial(notes_of, build_mobile_sam_model))
