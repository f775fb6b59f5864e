"""SimpleClick by architecture name, from the authors' checkpoints, and the factories that model cards name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from sambench.errors import CheckpointError, UsageError, unknown_name
from sambench.models.card_factory import needed
from sambench.models.clicks.segmenter import ClickSegmenter
from sambench.models.clicks.weights import Stored, check_params, fill, on_meta, read
from sambench.models.clicks.zoom import ZoomIn
from sambench.models.families import SIGNATURES
from sambench.models.simpleclick.model import SimpleClick, SimpleClickConfig
from sambench.models.simpleclick.vit import WINDOW_PX

ARCHITECTURES: Mapping[str, SimpleClickConfig] = MappingProxyType(
    {
        "vit_b": SimpleClickConfig(embed_dim=768, depth=12, num_heads=12, patch_size=16, pyramid_dims=(128, 256, 512, 1024)),
        "vit_l": SimpleClickConfig(embed_dim=1024, depth=24, num_heads=16, patch_size=16, pyramid_dims=(192, 384, 768, 1536)),
        "vit_h": SimpleClickConfig(embed_dim=1280, depth=32, num_heads=16, patch_size=14, pyramid_dims=(240, 480, 960, 1920)),
    }
)
# What the authors' class can do and we can't: no released model does.
_FIXED: Mapping[str, Any] = {"use_disks": True, "with_prev_mask": True, "with_aux_output": False, "use_rgb_conv": False}


def build_simpleclick(
    arch: str,
    *,
    weights: Path | None,
    device: str = "cpu",
    precision: str = "fp32",
    target_size: int = 448,
    flip: bool = True,
    key: str | None = None,
    strip_prefix: str | None = None,
) -> ClickSegmenter:
    """A segmenter from the authors' checkpoint file, whose own configuration is followed.

    target_size: pixels, a multiple of 224; every view, the whole image at the first click too, is squashed to a square of it (the
    authors take 672 on DAVIS, else 448). Raises CheckpointError without weights or where they do not fit, UsageError for an
    unknown architecture or precision, or a size that does not fit.
    """
    if arch not in ARCHITECTURES:
        raise unknown_name("SimpleClick architecture", arch, ARCHITECTURES)
    if target_size < WINDOW_PX or target_size % WINDOW_PX:
        expected = f"a multiple of {WINDOW_PX} pixels, the side of an attention window"
        raise UsageError("a size that SimpleClick cannot take", where="-M target_size", expected=expected, found=target_size)
    name = f"simpleclick_{arch}"
    stored = read(needed(weights), key=key, strip_prefix=strip_prefix)
    network = on_meta(lambda: SimpleClick(ARCHITECTURES[arch]))
    fill(network, stored, where=weights, architectures=SIGNATURES)
    check_params(stored, _FIXED, model=name, where=weights)
    _check_head(stored, name=name, where=weights)
    network.disk_radius = int(stored.params.get("norm_radius", network.disk_radius))
    zoom = ZoomIn(target=(target_size, target_size), skip_clicks=-1)
    return ClickSegmenter(network, name=name, zoom=zoom, flip=flip, device=device, precision=precision)


def _check_head(stored: Stored, *, name: str, where: object) -> None:
    """Raise CheckpointError for a head that upsamples before it classifies, of which no weights were released."""
    head = stored.params.get("head_params", {})
    upsample = head.get("upsample", "x1") if isinstance(head, Mapping) else "x1"
    if upsample != "x1":
        raise CheckpointError(
            f"the checkpoint is of a variant of {name} that is not implemented",
            where=where,
            expected="head_params.upsample = 'x1'",
            found=repr(upsample),
        )


# The factories of the cards.
vit_b = partial(build_simpleclick, "vit_b")
vit_l = partial(build_simpleclick, "vit_l")
vit_h = partial(build_simpleclick, "vit_h")
