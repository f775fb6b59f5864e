"""What tells one family's checkpoints from another's: a few names with their shapes, looked up when a file does not fit.

FocalClick's S1 and S2 have the same tensors and differ in the stored configuration alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from sambench.models.checkpoints import Signature
from sambench.models.sam.build import SIGNATURES as SAM


def _hrnet(width: int, ocr_width: int, blocks: int) -> Signature:
    return {
        "maps_transform.0.weight": (16, 3, 1, 1),
        "feature_extractor.conv3x3_ocr.0.weight": (2 * ocr_width, 15 * width, 3, 3),
        f"feature_extractor.layer1.{blocks - 1}.conv1.weight": (64, 256, 1, 1),
    }


def _refined(signature: Signature, feature_width: int) -> Signature:
    return {**signature, "refiner.refine_fusion.conv.weight": (32, feature_width, 1, 1)}


def _mit(first_width: int, feature_width: int) -> Signature:
    side = {"feature_extractor.backbone.patch_embed_side1.proj.weight": (first_width, 3, 7, 7)}
    return _refined(side, feature_width)


def _plain_vit(width: int, patch: int) -> Signature:
    return {"patch_embed_coords.proj.weight": (width, 3, patch, patch), "head.conv_seg.weight": (1, 256, 1, 1)}


CLICKS: Mapping[str, Signature] = MappingProxyType(
    {
        "ritm_hrnet18": _hrnet(18, 64, 4),
        "ritm_hrnet18s": _hrnet(18, 48, 2),
        "ritm_hrnet32": _hrnet(32, 128, 4),
        "focalclick_hrnet18s (S1 or S2)": _refined(_hrnet(18, 48, 2), 96),
        "focalclick_hrnet32_s2": _refined(_hrnet(32, 128, 4), 256),
        "focalclick_b0 (S1 or S2)": _mit(32, 256),
        "focalclick_b3s2": _mit(64, 512),
        "simpleclick_vit_b": _plain_vit(768, 16),
        "simpleclick_vit_l": _plain_vit(1024, 16),
        "simpleclick_vit_h": _plain_vit(1280, 14),
    }
)
SIGNATURES: Mapping[str, Signature] = MappingProxyType({**SAM, **CLICKS})
