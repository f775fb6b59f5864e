"""Tables 2 and 6 whole, from run to report: a generated copy of MIAP, and a model with a known difference of two groups."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sambench.fixtures._draw import Box
from sambench.fixtures.miap import _BOXES, _MASKS
from sambench.paper.claims import claims, judge
from sambench.paper.evidence import Evidence
from sambench.results.group_differences import group_difference
from sambench.store.lookup import find_cells
from sambench.tasks.summary import Bootstrap
from tests.helpers.inprocess import Cli

SIZE, N_IMAGES = (48, 100), 50
GROUPS = {"Predominantly Feminine": 200, "Predominantly Masculine": 120}  # and the shade of each in the pictures
TRUE = {"Predominantly Feminine": 0.80, "Predominantly Masculine": 0.65}  # mean IoU of the model below, in expectation

# Of the person whom it is clicked on it finds a share of the rows that is drawn around the group's mean, for each picture anew.
MODEL = f"""
import hashlib
import numpy as np
from sambench import Prediction

MEANS = {{200: {TRUE["Predominantly Feminine"]}, 120: {TRUE["Predominantly Masculine"]}}}

class Uneven:
    def encode(self, image):
        return image
    def decode(self, image, prompts):
        return [Prediction(self.one(image, p)[None], np.ones(1, np.float32)) for p in prompts]
    def one(self, image, prompt):
        x, y = (int(v) for v in prompt.points_xy[0])
        shade = min(MEANS, key=lambda s: abs(s - int(image[y, x, 0])))
        person = np.abs(image[:, :, 0].astype(int) - shade) < 30
        rng = np.random.default_rng(int(hashlib.sha256(image.tobytes()).hexdigest()[:8], 16) + shade)
        share = np.clip(MEANS[shade] + rng.uniform(-0.15, 0.15), 0, 1)
        rows = np.flatnonzero(person.any(axis=1))
        person[rows[0] + round(share * len(rows)):] = False
        return person

def make():
    return Uneven()
"""


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    monkeypatch.chdir(tmp_path)
    return Cli(monkeypatch, capsys)


def _write(root: Path) -> None:
    """Pictures with a person of each group, and the tables that say so."""
    people, masks = [f"{_BOXES},GenderPresentation,AgePresentation"], [_MASKS]
    (root / "test").mkdir(parents=True)
    (root / "test-masks").mkdir()
    height, width = SIZE
    for n in range(N_IMAGES):
        image_id, picture = f"{n:016x}", np.random.default_rng(n).integers(0, 40, (*SIZE, 3), dtype=np.uint8)
        for k, (group, shade) in enumerate(GROUPS.items()):
            box = Box(5 + 48 * k, 4, 45 + 48 * k, 44)
            picture[box.y0 : box.y1, box.x0 : box.x1] = shade
            shares = ",".join(f"{v:.6f}" for v in (box.x0 / width, box.x1 / width, box.y0 / height, box.y1 / height))
            people.append(f"{image_id},/m/01g317,1,{shares},0,0,0,0,0,{group},Middle")
            mask = np.zeros(SIZE, np.uint8)
            mask[box.y0 : box.y1, box.x0 : box.x1] = 255
            name = f"{image_id}_m01g317_{n:04x}{k}.png"
            Image.fromarray(mask).save(root / "test-masks" / name)
            masks.append(f"{name},{image_id},/m/01g317,b{n}{k},{shares},0.9,")
        Image.fromarray(picture).save(root / "test" / f"{image_id}.jpg", quality=95)
    (root / "open_images_extended_miap_boxes_test.csv").write_text("\n".join(people) + "\n")
    (root / "test-annotations-object-segmentation.csv").write_text("\n".join(masks) + "\n")


def _read(path: str) -> list[dict[str, str]]:
    return list(csv.DictReader(Path(path).read_text().splitlines()))


def test_a_known_difference_is_found_and_covered(cli: Cli, tmp_path: Path) -> None:
    _write(tmp_path / "miap")
    (tmp_path / "uneven.py").write_text(MODEL)
    flags = ("--model", "python:uneven.py:make", "--prompt", "random", "--clicks", "1,3", "--save-masks", "none", "--workers", "1")
    ended = cli("run", "point", "--datasets", "miap", "--root", "miap", *flags)
    assert ended.code == 0, ended.err
    ended = cli("report", "table2", "--format", "csv,md", "--out", "report")
    assert ended.code == 0, ended.err
    rows = _read("report/tables/table2.csv")
    key = next(c.removesuffix(":miou_1") for c in rows[0] if c.endswith(":miou_1") and not c.startswith("published"))
    for group, true in TRUE.items():
        (row,) = [r for r in rows if r["group"] == group]
        assert float(row[f"{key}:ci_1_low"]) < true < float(row[f"{key}:ci_1_high"])
        assert float(row[f"{key}:miou_1"]) == pytest.approx(true, abs=0.04)
    (row, *others) = _read("report/tables/table2_differences.csv")
    assert not others  # one age alone
    assert row["groups"] == "Predominantly Feminine minus Predominantly Masculine"
    low, high = float(row[f"{key}:ci_1_low"]), float(row[f"{key}:ci_1_high"])
    assert 0 < low < TRUE["Predominantly Feminine"] - TRUE["Predominantly Masculine"] < high
    assert high - low < 0.15
    # The claim of the paper (overlapping intervals) is judged on it, and does not hold for such a model.
    (cell,) = find_cells("point-uneven", Path("runs"))
    claim = next(c for c in claims() if c.id == "people_gender")
    assert judge(claim, Evidence([cell]), Bootstrap(n_resamples=100)).state == "not measured"  # of another model than the paper's
    swapped = group_difference(cell, "attribute:gender_presentation", *reversed(list(TRUE)), k=1)
    assert swapped is not None
    assert (swapped.low, swapped.high) == (pytest.approx(-high), pytest.approx(-low))
    assert group_difference(cell, "attribute:age_presentation", "Older", "Middle", k=1) is None
