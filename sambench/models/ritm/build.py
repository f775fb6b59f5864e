"""RITM by architecture name, and the factories that model cards name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sambench.errors import unknown_name
from sambench.models.card_factory import needed
from sambench.models.clicks.segmenter import ClickSegmenter
from sambench.models.clicks.weights import check_params, fill, on_meta, read, said_of_input
from sambench.models.clicks.zoom import ZoomIn
from sambench.models.families import SIGNATURES
from sambench.models.ritm.network import RitmConfig, RitmNetwork

ARCHITECTURES: Mapping[str, RitmConfig] = MappingProxyType(
    {
        "hrnet18": RitmConfig(width=18, ocr_width=64, small=False),
        "hrnet18s": RitmConfig(width=18, ocr_width=48, small=True),
        "hrnet32": RitmConfig(width=32, ocr_width=128, small=False),
    }
)
# What the authors' class can do and we can't: no released IT-M model does.
_FIXED: Mapping[str, Any] = {
    "use_rgb_conv": False,
    "use_disks": True,
    "with_prev_mask": True,
    "clicks_groups": None,
    "conv_extend": False,
}


def config_of(params: Mapping[str, Any], default: RitmConfig) -> RitmConfig:
    """The configuration that a checkpoint stores, `default` where it says nothing."""
    radius = int(params.get("norm_radius", default.disk_radius))
    return replace(default, disk_radius=radius, **said_of_input(params, default))


def build_ritm(
    arch: str,
    *,
    weights: Path | None,
    device: str = "cpu",
    precision: str = "fp32",
    target_size: int = 400,
    flip: bool = True,
    max_side: int | None = None,
    key: str | None = None,
    strip_prefix: str | None = None,
) -> ClickSegmenter:
    """A segmenter from the authors' checkpoint file, whose own configuration is followed.

    target_size: longer side in pixels that zoom-in resizes to (the authors take 600 on DAVIS). max_side: limit in pixels on the
    network's input, which at the first click is the whole image (None: no limit, as published). Raises CheckpointError without
    weights or where they do not fit, UsageError for an unknown architecture or precision.
    """
    if arch not in ARCHITECTURES:
        raise unknown_name("RITM architecture", arch, ARCHITECTURES)
    config, name = ARCHITECTURES[arch], f"ritm_{arch}"
    stored = read(needed(weights), key=key, strip_prefix=strip_prefix)
    network = on_meta(lambda: RitmNetwork(config_of(stored.params, config)))
    fill(network, stored, where=weights, architectures=SIGNATURES)
    sizes = {"width": config.width, "ocr_width": config.ocr_width, "small": config.small}
    check_params(stored, {**sizes, **_FIXED}, model=name, where=weights)
    zoom = ZoomIn(target=target_size)
    return ClickSegmenter(network, name=name, zoom=zoom, flip=flip, max_side=max_side, device=device, precision=precision)


# The factories of the cards.
hrnet18 = partial(build_ritm, "hrnet18")
hrnet18s = partial(build_ritm, "hrnet18s")
hrnet32 = partial(build_ritm, "hrnet32")
