"""`--model DETECTOR+SEGMENTER` on the command line, with random weights: what a name means, a run, its identity."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sambench.errors import UsageError
from sambench.sources import composed, models
from tests.helpers import hf_folders
from tests.helpers.inprocess import Cli

pytest.importorskip("transformers")
OPTIONS = ("-M", "detector.threshold=0", "-M", "working_point=0.0005")
RUN = ("run", "concepts", "--datasets", "fixture:saco_silver_droid", "--workers", "1", "--quiet", "--limit", "1")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The detector ./tiny-dino of the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny-dino").mkdir()
    hf_folders.grounding_dino(tmp_path / "tiny-dino")
    return tmp_path / "tiny-dino"


def resolved(name: str, **options: Any) -> models.ResolvedModel:
    return models.resolve(name, options, device="cpu", precision="fp32")


def test_a_run_is_found_again(folder: Path, tmp_path: Path, cli: Cli) -> None:
    first = cli(*RUN, "--model", "hf:./tiny-dino+sam_nano", *OPTIONS)
    assert first.code == 0, first.err
    assert "tiny-dino+sam_nano" in first.out
    shards = {p: p.read_bytes() for p in (tmp_path / "runs").rglob("shards/*.parquet")}
    assert shards
    again = cli(*RUN, "--model", f"hf:{folder}+sam_nano", *OPTIONS)
    assert again.code == 0, again.err
    assert {p: p.read_bytes() for p in (tmp_path / "runs").rglob("shards/*.parquet")} == shards


def test_each_part_is_in_the_identity(folder: Path) -> None:
    plain = resolved("hf:./tiny-dino+sam_nano")
    assert plain.gives == "concepts"
    assert plain.identity["composed"]["detector"] == resolved("hf:./tiny-dino").identity
    assert plain.identity["composed"]["segmenter"] == resolved("sam_nano").identity
    assert resolved("hf:./tiny-dino+sam_nano", working_point=0.5).identity == plain.identity
    others = [
        resolved("hf:./tiny-dino+grabcut"),
        resolved("hf:./tiny-dino+sam_nano", **{"detector.threshold": 0.3}),
        resolved("hf:./tiny-dino+sam_nano", working_point=0.3),
    ]
    assert len({str(m.identity) for m in (plain, *others)}) == 4


def test_what_a_plus_means(folder: Path, tmp_path: Path) -> None:
    assert composed.parts_of("gdino+sam_vit_b") == ("gdino", "sam_vit_b")
    assert composed.parts_of("hf:a/b@v1+hf:c/d") == ("hf:a/b@v1", "hf:c/d")
    assert composed.parts_of("hf:./tiny-dino+hf:./x+y") == ("hf:./tiny-dino", "hf:./x+y")
    for name in ("sam_nano", "gdino+", "+sam_nano", "hf:", "edges:a+b", "python:a+b.py:make", "./a+b.toml", "hf:+sam_nano"):
        assert composed.parts_of(name) is None, name
    folder.rename(tmp_path / "tiny+dino")
    assert composed.parts_of("hf:./tiny+dino") is None, "a folder's own name"
    assert composed.parts_of("hf:./tiny+dino+sam_nano") == ("hf:./tiny+dino", "sam_nano")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("sam_nano+sam_nano", {}, "cannot be the detector"),
        ("hf:./tiny-dino+canny", {}, "cannot be the segmenter"),
        ("hf:./tiny-dino+hf:./tiny-dino", {}, "cannot be the segmenter"),
        ("hf:./tiny-dino+sam_nan", {}, "unknown model"),
        ("hf:./tiny-dino+sam_nano", {"threshold": 0.1}, "belongs to no part"),
        ("hf:./tiny-dino+sam_nano", {"working_point": 0}, "working_point"),
        ("hf:./tiny-dino+sam_nano", {"detector.treshold": 0.1}, "unknown option"),
    ],
)
def test_what_does_not_fit(folder: Path, name: str, options: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as e:
        resolved(name, **options)
    assert said in f"{e.value} {e.value.where}"


def test_a_detector_alone_is_no_model_of_a_task(folder: Path, cli: Cli) -> None:
    ran = cli(*RUN, "--model", "hf:./tiny-dino")
    assert ran.code == 2
    assert "hf:./tiny-dino+sam_vit_b" in ran.err
    checked = cli("check", "model", "hf:./tiny-dino")
    assert checked.code == 2
    assert "one part of a model" in checked.err


def test_cards_of_the_hub(folder: Path) -> None:
    here = resolved("gdino", repo="./tiny-dino")
    assert (here.id, here.gives, here.title) == ("gdino-tiny_dino", "boxes", "Grounding DINO, tiny")
    assert here.identity == resolved("hf:./tiny-dino").identity
    with pytest.raises(UsageError, match="no place"):
        resolved("gdino", repo=3)
    assert [models.gives_of(n) for n in ("gdino", "owlv2", "sam3", "owlv2+sam_vit_b")] == ["boxes", "boxes", "concepts", "concepts"]


def test_lists_say_where_they_come_from(folder: Path, cli: Cli) -> None:
    listed = cli("list", "models").out
    assert "IDEA-Research/grounding-dino-tiny, on the hub" in listed
    assert "DETECTOR+SEGMENTER" in listed
    shown = cli("show", "model", "sam3").out
    assert "repo=facebook/sam3, concepts=true" in shown
    measured = cli("bench", "hf:./tiny-dino+sam_nano")
    assert measured.code == 2
    assert "gives concepts" in measured.err
