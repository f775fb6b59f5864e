"""Resizing for networks: torch's own, in one kernel where deterministic algorithms are asked for, in all networks of clicks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sambench.device.images import bilinear, normalised
from sambench.models.focalclick.build import ARCHITECTURES as FOCALCLICK
from sambench.models.focalclick.network import FocalNetwork
from sambench.models.ritm.build import ARCHITECTURES as RITM
from sambench.models.ritm.network import RitmNetwork
from sambench.models.simpleclick.build import ARCHITECTURES as SIMPLECLICK
from sambench.models.simpleclick.model import SimpleClick
from tests.helpers.launches import asked_by


@pytest.mark.parametrize("align_corners", [True, False])
@pytest.mark.parametrize("size", [(5, 9), (40, 31), (17, 23)])
def test_it_is_torchs_own(size: tuple[int, int], align_corners: bool) -> None:
    x = torch.randn(2, 3, 17, 23, generator=torch.Generator().manual_seed(0))
    wanted = F.interpolate(x, size, mode="bilinear", align_corners=align_corners)
    assert torch.equal(bilinear(x, size, align_corners=align_corners), wanted)


@pytest.fixture
def deterministic(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a GPU in a run, where `F.interpolate` would take its gradient's way of thirty kernels: here it fails."""

    def refused(*_: object) -> None:
        raise AssertionError("thirty kernels")

    monkeypatch.setattr("torch._decomp.decompositions._upsample_linear_vec", refused)
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


def network(kind: str) -> nn.Module:
    if kind == "ritm":
        return RitmNetwork(RITM["hrnet18s"])
    if kind == "simpleclick":
        return SimpleClick(SIMPLECLICK["vit_b"])
    return FocalNetwork(FOCALCLICK[kind])


@pytest.mark.parametrize("kind", ["ritm", "simpleclick", "hrnet18s_s1", "b0s1"])
def test_no_network_of_clicks_resizes_in_thirty_kernels(kind: str, deterministic: None) -> None:
    with torch.device("meta"), torch.inference_mode():
        rgb, previous, disks = (torch.empty(1, n, 224, 224) for n in (3, 1, 2))
        with pytest.raises(AssertionError, match="thirty kernels"):
            F.interpolate(rgb, (5, 5), mode="bilinear")
        model = network(kind).eval()
        if isinstance(model, FocalNetwork):
            coarse = model.coarse(rgb, previous, disks)
            logits = model.refine(rgb, disks, coarse, torch.empty(1, 4))[0]
        else:
            logits = model(rgb, previous, disks)
    assert logits.shape == (1, 1, 224, 224)


def test_normalising_waits_for_nothing() -> None:
    rgb = torch.rand(1, 3, 8, 8)
    asked = asked_by(lambda: normalised(rgb, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2)))
    assert not asked.reads + asked.writes
    assert torch.equal(normalised(rgb, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), (rgb - 0.5) / 0.5)
