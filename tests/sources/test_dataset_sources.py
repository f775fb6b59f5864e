"""Sources of datasets: found by their place; one that a package brings is as good as sambench's own, and a broken one is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sambench.engine.run import Request, plan
from sambench.errors import DataError, UsageError
from sambench.sources import datasets
from sambench.sources.data.base import DatasetSource, DatasetSpec, SuiteSource
from tests.helpers import plugged
from tests.helpers.inprocess import Cli

TOY = '''
import numpy as np

from sambench.cards import Access, DatasetCard
from sambench.errors import UsageError
from sambench.pixels.region import Region
from sambench.sources.data.base import DatasetSpec, ResolvedDataset
from sambench.types import ImageRecord, Instance, Sample


class Stripes:
    holds = "masks"

    def __init__(self, root, name, variant="default", n=1):
        self.name, self.variant, self.n = name, variant, n

    def index(self):
        return [ImageRecord(f"stripe {i}", 1) for i in range(self.n)]

    def load(self, image_id):
        mask = np.zeros((24, 32), bool)
        mask[8 + int(image_id[7:]) : 16] = True
        image = np.repeat(np.where(mask, 200, 40).astype(np.uint8)[:, :, None], 3, axis=2)
        objects = (Instance("1", Region.from_array(mask)),)
        return Sample(dataset=self.name, image_id=image_id, height=24, width=32, instances=objects, read=lambda: image)

    def annotation_digest(self):
        return f"{self.n} stripes"


class Source:
    form, needs = "stripes:N", 1

    def gives(self, name):
        return "masks"

    def resolve(self, name, *, root=None):
        n = name.removeprefix("stripes:")
        if not n.isdigit():
            raise UsageError("no such number of stripes", where=name, expected="stripes:N", found=n)
        access = Access(state="embedded")
        reader = f"{__name__}:Stripes"
        card = DatasetCard(id=f"stripes{n}", name=f"{n} stripes", reader=reader, options={"n": int(n)}, access=access)
        return ResolvedDataset(DatasetSpec(name), card)

    def build(self, dataset):
        return Stripes(None, dataset.card.id, n=dataset.card.options["n"])

    def check(self, dataset, opened):
        return [f"{len(opened.index())} of them"]


SOURCE = Source()
'''


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Installs a package with one module as the source of `stripes:`."""
    return lambda module, code: plugged.install(tmp_path / "site", datasets.GROUP, "stripes", module, code, monkeypatch)


def test_own_sources_are_found_by_their_place() -> None:
    found = datasets.sources()
    assert "fixture" in found
    for name, source in found.items():
        assert isinstance(source, DatasetSource)
        assert source.form.startswith(f"{name}:")
        assert datasets.source_of(f"{name}:anything") is source
    assert isinstance(datasets.source_of("sa23"), SuiteSource)
    assert datasets.resolve("demo").spec == DatasetSpec("demo")
    assert datasets.gives_of("bsds500") == "boundaries"


@pytest.mark.parametrize("name", ["nothing", "stripes:3", "base:x", "card:demo", "suite:sa23", "Fixture:demo", ":", "::x", "a b:c"])
def test_an_unknown_name_is_answered_with_every_form(name: str) -> None:
    with pytest.raises(UsageError, match="unknown dataset") as e:
        datasets.resolve(name)
    for form in ("a path", *(s.form for s in datasets.sources().values())):
        assert form in str(e.value.expected)


def test_a_suite_is_not_one_dataset() -> None:
    with pytest.raises(UsageError, match="a suite is not one dataset"):
        datasets.resolve("all")


def test_a_plug_in_runs_as_any_dataset(plug_in: Callable[[str, str], None], tmp_path: Path, cli: Cli) -> None:
    plug_in("toy_stripes", TOY)
    asked = ("run", "point", "--clicks", "1", "-m", "otsu", "--workers", "1", "-q", "-o", tmp_path / "runs")
    done = cli(*asked, "--datasets", "stripes:2,demo", "--limit", "2")
    assert done.code == 0, done.err
    (path,) = (tmp_path / "runs").glob("point-otsu-*/stripes2-*/cell.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["status"] == "complete"
    assert record["dataset"]["source"] == "stripes:2"
    assert record["dataset"]["reader"]["name"] == "Stripes"
    assert len(record["dataset"]["reader"]["source_sha256"]) == 64
    assert cli("data", "verify", "stripes:2").out.startswith("stripes:2: 2 images, 2 masks")
    assert cli("data", "preview", "stripes:3", "-o", tmp_path / "sheet.png").code == 0
    out = str(tmp_path / "runs")
    planned = plan(Request("point", datasets=("stripes:2",), models=(("otsu", {}),), settings={"clicks": (1,)}, out=out))
    assert planned.notes == ("stripes2: 2 of them",)
    assert [c.cell_dir for c in planned.cells] == [path.parent]
    (sheet,) = cli("gallery", path.parent, "-o", tmp_path / "sheets").out.splitlines()[:1]
    assert sheet
    with pytest.raises(UsageError, match="no such number") as e:
        datasets.resolve("stripes:x")
    assert e.value.found == "x"


FLAWS = {
    "cannot be imported": ("import nothing_of_that_name", "gives no source of datasets"),
    "has none": ("", "gives no source of datasets"),
    "has half of one": ("class S:\n    form, needs = 'stripes:N', 1\nSOURCE = S()", "gives no source of datasets"),
    "raises": (TOY.replace('n = name.removeprefix("stripes:")', "n = {}[name]"), "the source of a dataset failed to find it"),
    "gives no dataset": (TOY.replace("return ResolvedDataset(", "return str(card) or ResolvedDataset("), "does not fit"),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_a_broken_plug_in_is_named(flaw: str, plug_in: Callable[[str, str], None]) -> None:
    code, message = FLAWS[flaw]
    plug_in(f"toy_{flaw.replace(' ', '_')}", code)
    with pytest.raises(DataError, match=message):
        datasets.resolve("stripes:2")


def test_two_sources_of_one_prefix_are_an_error(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    plugged.install(tmp_path / "site", datasets.GROUP, "stripes", "toy_once", TOY, monkeypatch)
    plugged.install(tmp_path / "site", datasets.GROUP, "stripes", "toy_again", TOY, monkeypatch)
    with pytest.raises(DataError, match="two sources of datasets have the prefix 'stripes'"):
        datasets.resolve("stripes:2")
