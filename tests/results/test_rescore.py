"""Metrics again from stored rows, by groups, and the stored masks against the data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from sambench.errors import DataError, SambenchError, UsageError
from sambench.results.rescore import check_masks, rescore
from sambench.schema import METRIC_COLUMNS
from sambench.tasks.summary import Bootstrap
from tests.helpers.cells import CLICKS, Maker

QUICK = Bootstrap(n_resamples=200)
FEW = Bootstrap(n_resamples=500)


def test_rescored_metrics_are_those_that_the_run_wrote(make: Maker) -> None:
    for cell in (make.cell(), make.cell("b", failed=[1, 2]), make.cell("c", limit=9)):
        stored = cell.metrics()
        assert stored is not None
        again = pd.DataFrame(rescore(cell), columns=list(METRIC_COLUMNS))
        assert again.to_csv(index=False) == (cell.path / "metrics.csv").read_text()


def test_rescore_by_category_and_attribute(make: Maker) -> None:
    cell = make.cell(failed=[2])
    rows = cell.rows().query("status == 'ok' and k == 1")

    def first(group_by: str) -> list[dict[str, Any]]:
        found = rescore(cell, group_by=group_by, bootstrap=QUICK)
        return [r for r in found if (r["metric"], r["variant"], r["k"]) == ("miou", "top", 1)]

    by_category = first("category")
    assert [(r["group_by"], r["group"]) for r in by_category] == [("category", "a"), ("category", "b")]
    for r in by_category:
        assert r["value"] == pytest.approx(rows.loc[rows["category"] == r["group"], "iou_top"].mean(), abs=1e-12)
    by_group = first("attribute:group")
    assert [r["group"] for r in by_group] == ["(none)", "x", "y", "z"]
    assert sum(r["n_objects"] for r in by_group) == len(rows)
    assert all(r["n_failed"] == 1 and r["partial"] for r in by_group)


def test_rescore_refuses_groups_that_are_not_there(make: Maker) -> None:
    cell = make.cell()
    with pytest.raises(UsageError, match=r"(?s)unknown attribute of demo 'grup'.*'group'"):
        rescore(cell, group_by="attribute:grup")
    with pytest.raises(UsageError, match="did you mean 'attribute:group'"):
        rescore(cell, group_by="group")
    with pytest.raises(UsageError, match=r"category, or attribute:NAME"):
        rescore(cell, group_by="size")
    bare = make.cell("bare", n_images=1)
    shard = bare.store.read(0)
    for row in shard.rows["im000"]:
        row["category"], row["attributes"] = "", {}
    bare.store.write(0, shard)
    with pytest.raises(UsageError, match="have no categories"):
        rescore(bare, group_by="category")
    with pytest.raises(UsageError, match="have no attributes"):
        rescore(bare, group_by="attribute:group")


READER = '''
import numpy as np
from sambench.pixels.region import Region
from sambench.types import ImageRecord, Instance, Sample

class Squares:
    def __init__(self, root, *, name, variant, shift=0, digest="a"):
        self.name, self.variant, self.shift, self.digest = name, variant, shift, digest
    def index(self):
        return [ImageRecord(f"im{i:03}", 3) for i in range(20)]
    def annotation_digest(self):
        return self.digest * 64
    def load(self, image_id):
        image, out = int(image_id[2:]), []
        for n in range(3):
            mask = np.zeros((24, 24), bool)
            mask[2 + n : 12 + n, 3 + image % 5 + self.shift : 13 + image % 5 + self.shift] = True
            out.append(Instance(f"o{n}", Region.from_array(mask)))
        return Sample(self.name, image_id, 24, 24, tuple(out), lambda: np.zeros((24, 24, 3), np.uint8))
'''


@pytest.fixture
def squares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a card and its reader, whose objects are those of the synthetic rows; gives the dataset's root."""
    import sys

    from sambench import cards

    (tmp_path / "squares_reader.py").write_text(READER)
    monkeypatch.syspath_prepend(str(tmp_path))
    home = tmp_path / "home"
    monkeypatch.setenv("SAMBENCH_HOME", str(home))
    folder = home / "cards" / "datasets"
    folder.mkdir(parents=True)
    (folder / "squares.toml").write_text(
        'id = "squares"\nname = "Squares"\nreader = "squares_reader:Squares"\n[access]\nstate = "manual"\n'
        '[variants.shifted]\ndescription = "x"\noptions = { shift = 2 }\n'
        '[variants.other]\ndescription = "x"\noptions = { digest = "b" }\n'
    )
    cards.forget()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "x").touch()
    yield tmp_path / "data"
    cards.forget()
    sys.modules.pop("squares_reader", None)


def test_stored_masks_give_the_stored_ious_exactly(make: Maker, squares: Path) -> None:
    cell = make.cell("squares", masks=True, failed=[3])
    check = check_masks(cell, root=squares)
    assert (check.largest, check.n_differing, check.where) == (0.0, 0, None)
    assert check.n_rows == 19 * 3 * len(CLICKS)
    assert check.n_masks == 19 * 3 * (3 + len(CLICKS) - 1)


def test_the_single_stored_mask_of_several_candidates_is_the_top_one(make: Maker, squares: Path) -> None:
    cell = make.cell("squares", masks=True)
    shard = cell.store.read(0)
    for row in shard.rows["im001"]:
        row["mask_rles"] = [row["mask_rles"][row["top_index"]]]
    cell.store.write(0, shard)
    assert check_masks(cell, root=squares).largest == 0.0


def test_a_changed_number_or_mask_is_found_and_located(make: Maker, squares: Path) -> None:
    cell = make.cell("squares", masks=True)
    shard = cell.store.read(1)
    row = next(r for r in shard.rows["im010"] if r["object_id"] == "o2" and r["k"] == 5)
    row["ious"] = [row["ious"][0] - 0.125]
    cell.store.write(1, shard)
    check = check_masks(cell, root=squares)
    assert check.largest == pytest.approx(0.125)
    assert (check.where, check.n_differing) == (("im010", "o2", 5, 0), 1)
    moved = check_masks(make.cell("squares", run="q-m-1", masks=True, variant="shifted"), root=squares)
    assert moved.n_differing > 0.5 * moved.n_masks
    assert moved.largest > 0.1


def test_masks_are_not_checked_against_other_files(make: Maker, squares: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)not those of the run.*bbbb"):
        check_masks(make.cell("squares", masks=True, variant="other"), root=squares)
    with pytest.raises(UsageError, match=r"(?s)no stored masks.*--save-masks"):
        check_masks(make.cell("squares", run="q-n-1"), root=squares)
    cell = make.cell("squares", run="q-s-1", masks=True)
    shard = cell.store.read(0)
    shard.rows["im000"][0]["object_id"] = "o9"
    cell.store.write(0, shard)
    with pytest.raises(DataError, match=r"(?s)'o9'.*no such object"):
        check_masks(cell, root=squares)
    with pytest.raises(SambenchError, match="not here"):
        check_masks(cell)
    shard = cell.store.read(0)
    shard.rows["im000"][0] |= {"object_id": "o0", "mask_rles": shard.rows["im000"][0]["mask_rles"][:2]}
    cell.store.write(0, shard)
    with pytest.raises(DataError, match=r"(?s)do not fit its candidates.*3 masks, or one"):
        check_masks(cell, root=squares)
