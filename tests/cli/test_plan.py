"""`sambench plan`: what was measured multiplied, what was not named, and what cannot be planned refused."""

from __future__ import annotations

import pytest

from sambench.device.forecast import MEASURED, ROUNDS_MS, forecast, parse_gpus
from sambench.errors import UsageError
from tests.helpers.inprocess import Cli


def test_the_figures_give_back_the_measurement_that_they_come_from() -> None:
    """35 objects an image at 1.1 images a second, whichever way decoding grows."""
    for precision, images_per_s in (("fp32", 1.1), ("bf16", 1.4)):
        found = forecast("sam_vit_h", precision, "h200", 100, 3500)
        assert found.seconds == pytest.approx((100 / images_per_s, 100 / images_per_s))


def test_what_lies_between_and_several_gpus() -> None:
    one, eight = (forecast("sam_vit_h", "bf16", g, 40_188, 172_653) for g in ("h200", "8xh200"))
    assert [s / 8 for s in one.seconds] == pytest.approx(list(eight.seconds))
    assert one.seconds[0] < one.seconds[1]
    known = MEASURED["sam_vit_h"]["bf16"]
    assert one.seconds[1] > 40_188 * (known.encode_ms + ROUNDS_MS) / 1e3
    assert any("several GPUs were not measured" in n for n in eight.notes)
    assert not any("several GPUs" in n for n in one.notes)


def test_what_was_not_measured_is_said() -> None:
    assert any("of tf32 only the encoder was measured" in n for n in forecast("sam_vit_h", "tf32", "h200", 1, 1).notes)
    assert any("not measured on an H100" in n for n in forecast("sam_vit_h", "fp32", "h100", 1, 1).notes)
    assert any("Not measured since" in n for n in forecast("sam_vit_h", "fp32", "h200", 1, 1).notes)


@pytest.mark.parametrize(("text", "read"), [("8xh100", (8, "h100")), ("H200", (1, "h200")), (" 2 x h100 ", (2, "h100"))])
def test_gpus(text: str, read: tuple[int, str]) -> None:
    assert parse_gpus(text) == read


@pytest.mark.parametrize("text", ["", "8x", "0xh100", "x", "8xa100", "-1xh100", "cuda:0", "99999999xh100"])
def test_gpus_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UsageError):
        parse_gpus(text)


def test_the_command(cli: Cli) -> None:
    done = cli("plan", "point", "--datasets", "all", "--model", "sam_vit_h", "--devices", "8xh100", "--precision", "bf16")
    assert done.code == 0
    assert "8 x H100: 40,188 images with 172,653 objects of 23 datasets" in done.out
    assert "note: memory is estimated, not measured" in done.out
    part = cli("plan", "point", "-d", "ppdls,demo")
    assert "182 images" in part.out
    assert "not counted, for their cards have no numbers: demo" in part.out


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["box"], "nothing was measured of the task 'box'"),
        (["point", "-d", "demo"], "nothing to plan with"),
        (["point", "-m", "sam_nano"], "nothing was measured of model 'sam_nano'"),
        (["point", "--devices", "cuda"], "unknown GPU 'cuda'"),
        (["point", "--precision", "fp8"], "an unknown precision"),
    ],
)
def test_what_cannot_be_planned(cli: Cli, flags: list[str], said: str) -> None:
    done = cli("plan", *flags)
    assert done.code == 2
    assert said in done.err
