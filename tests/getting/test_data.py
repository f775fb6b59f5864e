"""`sambench data`: where, adopt, verify, preview."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sambench import cards
from sambench.conformance import data as checking
from sambench.errors import DataError, DataMissingError, UsageError
from sambench.getting import data
from sambench.loaders.open import find_root, open_dataset, roots_file
from sambench.pixels.contact_sheet import draw_sample
from sambench.pixels.region import Region
from sambench.types import Instance, Sample

CARD = cards.dataset_card("bbbc038v1")


def nuclei(root: Path, n_images: int = 3) -> Path:
    """The native layout of BBBC038v1: image k holds k + 1 nuclei."""
    for k in range(n_images):
        folder = root / "stage1_train" / f"img{k}"
        (folder / "images").mkdir(parents=True)
        (folder / "masks").mkdir()
        pixels = np.random.default_rng(k).integers(0, 256, (40 + k, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "images" / f"img{k}.png")
        for m in range(k + 1):
            mask = np.zeros((40 + k, 50), np.uint8)
            mask[5 + 9 * m : 12 + 9 * m, 10:20] = 255
            Image.fromarray(mask).save(folder / "masks" / f"m{m}.png")
    return root


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMBENCH_HOME", str(tmp_path / "home"))


def test_adopt_then_where(tmp_path: Path) -> None:
    root = nuclei(tmp_path / "nuclei")
    with pytest.raises(DataMissingError, match="data adopt"):
        data.where("bbbc038v1")
    assert data.adopt("bbbc038v1", root) == root
    place = data.where("bbbc038v1")
    assert place.path == root == find_root(CARD)
    assert str(roots_file()) in place.how
    assert sum(r.n_masks for r in open_dataset(CARD).index()) == 6
    assert json.loads(roots_file().read_text()) == {"bbbc038v1": str(root)}
    assert list(roots_file().parent.iterdir()) == [roots_file()]
    other = nuclei(tmp_path / "other", 1)
    data.adopt("bbbc038v1", other)  # the later one counts
    assert find_root(CARD) == other


def test_adopted_path_is_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nuclei(tmp_path / "nuclei")
    monkeypatch.chdir(tmp_path)
    assert data.adopt("bbbc038v1", Path("nuclei")) == tmp_path / "nuclei"


def test_adopt_refuses_and_records_nothing(tmp_path: Path) -> None:
    root = nuclei(tmp_path / "up" / "nuclei")
    (tmp_path / "void").mkdir()
    with pytest.raises(DataError, match="is empty"):
        data.adopt("bbbc038v1", tmp_path / "void")
    with pytest.raises(DataError, match=f"one level below: .*{root}"):
        data.adopt("bbbc038v1", tmp_path / "up")
    with pytest.raises(DataMissingError):
        data.adopt("bbbc038v1", tmp_path / "absent")
    (tmp_path / "zip").write_text("")
    with pytest.raises(DataMissingError, match="a file, not a folder"):
        data.adopt("bbbc038v1", tmp_path / "zip")
    for mask in root.rglob("m*.png"):
        mask.unlink()
    with pytest.raises(DataError, match="holds no masks"):
        data.adopt("bbbc038v1", root)
    with pytest.raises(UsageError, match="generated"):
        data.adopt("demo", root)
    with pytest.raises(UsageError, match="did you mean 'bbbc038v1'"):
        data.adopt("bbbc038", root)
    assert not roots_file().exists()


def test_adopted_root_that_has_gone(tmp_path: Path) -> None:
    root = nuclei(tmp_path / "nuclei")
    data.adopt("bbbc038v1", root)
    root.rename(tmp_path / "moved")
    with pytest.raises(DataMissingError) as e:
        open_dataset(CARD)
    assert str(root) in str(e.value)
    assert str(tmp_path / "home" / "data" / "bbbc038v1") in str(e.value)


@pytest.mark.parametrize("text", ["{", "[]", '{"bbbc038v1": 3}'])
def test_damaged_record_is_named(text: str) -> None:
    roots_file().parent.mkdir(parents=True)
    roots_file().write_text(text)
    with pytest.raises(DataError, match=r"roots\.json"):
        data.where("bbbc038v1")
    assert data.where("demo").how  # does not need it


def test_unwritable_home_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    root = nuclei(tmp_path / "nuclei")
    monkeypatch.setattr("sambench.getting.data.roots_file", lambda: tmp_path / "file" / "roots.json")
    with pytest.raises(DataError, match="SAMBENCH_HOME"):
        data.adopt("bbbc038v1", root)


def test_verify_reads_everything(tmp_path: Path) -> None:
    root, steps = nuclei(tmp_path / "nuclei", 4), []
    folder = root / "stage1_train"
    Image.fromarray(np.zeros((43, 50), np.uint8)).save(folder / "img3" / "masks" / "empty.png")
    report = checking.verify("bbbc038v1", root=root, progress=lambda done, total: steps.append((done, total)))
    assert (report.n_images, report.n_masks, report.n_dropped, report.broken) == (4, 10, 1, ())
    assert dict(report.sizes) == {(50, 40 + k): 1 for k in range(4)}
    assert steps == [(k, 4) for k in range(1, 5)]
    assert [(c.against, c.verdict) for c in report.checks] == [("release", "different"), ("paper", "different")]
    assert "all of it is used" in report.text()

    # Every broken file is listed, and the rest is counted.
    image = folder / "img1" / "images" / "img1.png"
    image.write_bytes(image.read_bytes()[:200])
    mask = folder / "img2" / "masks" / "m0.png"
    mask.write_bytes(mask.read_bytes()[:50])
    (folder / "img0" / "images" / "img0.png").unlink()
    report = checking.verify("bbbc038v1", root=root)
    assert [image_id for image_id, _ in report.broken] == ["img0", "img1", "img2"]
    assert (report.n_images, report.n_masks) == (1, 4)
    text = report.text()
    assert "3 images cannot be used" in text
    assert all(str(p) in text for p in (image, mask, folder / "img0" / "images" / "img0.png"))


def test_verify_compares_counts() -> None:
    report = checking.verify("demo")
    assert (report.n_images, report.n_masks) == (24, 893)
    assert [(c.against, c.verdict) for c in report.checks] == [("release", "exact")]
    assert "complete release" in report.text()
    assert "every file was read" in report.text()


@pytest.mark.parametrize(
    ("found", "expected", "verdict"),
    [((670, 29461), (670, 29461), "exact"), ((670, 29460), (670, 29461), "close"), ((664, 28986), (670, 29461), "different")],
)
def test_verdicts(found: tuple[int, int], expected: tuple[int, int], verdict: str) -> None:
    assert checking._verdict(found, expected) == verdict


def test_preview_shows_masks_where_they_are(tmp_path: Path) -> None:
    root = nuclei(tmp_path / "nuclei", 3)
    image = root / "stage1_train/img0/images/img0.png"
    image.write_bytes(image.read_bytes()[:100])  # a broken one must not stop the sheet
    path = checking.preview("bbbc038v1", tmp_path / "sheet.png", n=3, root=root)
    sheet = np.asarray(Image.open(path))
    assert sheet.shape[2] == 3
    assert sheet.shape[1] > 3 * 380
    assert [p.name for p in tmp_path.iterdir() if "sheet" in p.name] == ["sheet.png"]
    with pytest.raises(UsageError, match="cannot be written"):
        checking.preview("bbbc038v1", tmp_path / "absent" / "sheet.png", root=root)
    with pytest.raises(UsageError, match="at least one"):
        checking.preview("bbbc038v1", path, n=0, root=root)
    assert checking.preview("bbbc038v1", tmp_path / "plain", n=1, root=root) == tmp_path / "plain.png"


def test_drawn_masks_lie_on_their_objects() -> None:
    mask = np.zeros((100, 200), np.bool_)
    mask[20:60, 100:150] = True
    mask[30:50, 110:140] = False  # a hole
    black = np.zeros((100, 200, 3), np.uint8)
    sample = Sample("toy", "a", 100, 200, (Instance("1", Region.from_array(mask)),), lambda: black)
    tile = draw_sample(sample, 400).max(axis=2)
    assert tile.shape == (200, 400)
    drawn = tile > 60
    twice = mask.repeat(2, 0).repeat(2, 1)
    inner = np.zeros_like(twice)
    inner[46:56, 206:294] = True  # well inside the upper bar
    assert drawn[inner].all()
    away = np.ones_like(twice)
    away[36:124, 196:304] = False
    away[66:94, 226:274] = True  # well inside the hole
    assert not drawn[away].any()
