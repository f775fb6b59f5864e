"""FocalClick by architecture name, and the factories that model cards name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sambench.errors import unknown_name
from sambench.models.card_factory import needed
from sambench.models.clicks.weights import check_params, fill, on_meta, read, said_of_input
from sambench.models.families import SIGNATURES
from sambench.models.focalclick.mix_transformer import MiTConfig
from sambench.models.focalclick.network import FocalConfig, FocalNetwork, HRNetSizes
from sambench.models.focalclick.segmenter import FocalSegmenter

_HRNET18S = HRNetSizes(width=18, ocr_width=48, small=True)
_HRNET32 = HRNetSizes(width=32, ocr_width=128, small=False)
_B0 = MiTConfig(widths=(32, 64, 160, 256), depths=(2, 2, 2, 2), feature_width=256)
_B3 = MiTConfig(widths=(64, 128, 320, 512), depths=(3, 4, 18, 3), feature_width=512)

ARCHITECTURES: Mapping[str, FocalConfig] = MappingProxyType(
    {
        "hrnet18s_s1": FocalConfig(backbone=_HRNET18S, halved=True),
        "hrnet18s_s2": FocalConfig(backbone=_HRNET18S, halved=False),
        "hrnet32_s2": FocalConfig(backbone=_HRNET32, halved=False),
        "b0s1": FocalConfig(backbone=_B0, halved=True),
        "b0s2": FocalConfig(backbone=_B0, halved=False),
        "b3s2": FocalConfig(backbone=_B3, halved=False),
    }
)
_FIXED: Mapping[str, Any] = {"with_prev_mask": True, "clicks_groups": None}


def config_of(params: Mapping[str, Any], default: FocalConfig) -> FocalConfig:
    """The configuration that a checkpoint stores, `default` where it says nothing."""
    return replace(default, **said_of_input(params, default))


def wanted_params(arch: str) -> dict[str, Any]:
    """What the stored configuration of a checkpoint must say to be of that architecture."""
    config = ARCHITECTURES[arch]
    out = {**_FIXED, "pipeline_version": "s1" if config.halved else "s2"}
    if isinstance(config.backbone, HRNetSizes):
        sizes = config.backbone
        return {**out, "width": sizes.width, "ocr_width": sizes.ocr_width, "small": sizes.small}
    return {**out, "model_version": arch[:2]}


def build_focalclick(
    arch: str,
    *,
    weights: Path | None,
    device: str = "cpu",
    precision: str = "fp32",
    input_side: int = 256,
    expansion: float = 1.4,
    key: str | None = None,
    strip_prefix: str | None = None,
) -> FocalSegmenter:
    """A segmenter from the authors' checkpoint file, whose own configuration is followed.

    input_side: of the networks' square input, in pixels; expansion: of the focus crop (256 and 1.4 as published). Raises
    CheckpointError without weights or where they do not fit, UsageError for an unknown architecture or precision.
    """
    if arch not in ARCHITECTURES:
        raise unknown_name("FocalClick architecture", arch, ARCHITECTURES)
    name = f"focalclick_{arch}"
    stored = read(needed(weights), key=key, strip_prefix=strip_prefix)
    network = on_meta(lambda: FocalNetwork(config_of(stored.params, ARCHITECTURES[arch])))
    fill(network, stored, where=weights, architectures=SIGNATURES)
    check_params(stored, wanted_params(arch), model=name, where=weights)
    return FocalSegmenter(network, name=name, input_side=input_side, expansion=expansion, device=device, precision=precision)


# The factories of the cards.
hrnet18s_s1 = partial(build_focalclick, "hrnet18s_s1")
hrnet18s_s2 = partial(build_focalclick, "hrnet18s_s2")
hrnet32_s2 = partial(build_focalclick, "hrnet32_s2")
b0s1 = partial(build_focalclick, "b0s1")
b0s2 = partial(build_focalclick, "b0s2")
b3s2 = partial(build_focalclick, "b3s2")
