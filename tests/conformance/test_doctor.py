"""The doctor notices what it is there for, and never raises or prints."""

from __future__ import annotations

import builtins
import hashlib
import json
import shutil
from collections import namedtuple
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from sambench import cards, paths
from sambench.conformance import doctor
from sambench.conformance.doctor import Check, examine
from sambench.getting import weights as fetch

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("SAMBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAMBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SAMBENCH_DATA", raising=False)
    cards.forget()
    yield tmp_path / "home"
    cards.forget()


def by_name() -> dict[str, Check]:
    checks = examine()
    found = {c.name: c for c in checks}
    assert len(found) == len(checks)
    return found


def versions(monkeypatch: pytest.MonkeyPatch, changes: dict[str, str | None]) -> None:
    """Pretend that other versions are installed; None: not installed."""
    real = metadata.version

    def version(name: str) -> str:
        found = changes[name] if name in changes else real(name)
        if found is None:
            raise metadata.PackageNotFoundError(name)
        return found

    monkeypatch.setattr(metadata, "version", version)


def test_a_sound_machine(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    versions(monkeypatch, {"opencv-python": None})
    found = by_name()
    assert [c for c in found.values() if c.ok is False and not c.name.startswith("cuda")] == []
    assert found["numpy"].found == metadata.version("numpy")
    assert {"python", "torch", "cv2", "SAMBENCH_HOME", "SAMBENCH_CACHE", "SAMBENCH_DATA", "cards", "terminal"} <= set(found)
    assert found["data demo"].ok is True
    assert found["data bbbc038v1"].ok is None
    assert "sambench show dataset bbbc038v1" in found["data bbbc038v1"].remedy
    assert found["weights sam_vit_b"].ok is None
    assert "375 MB" in found["weights sam_vit_b"].found
    assert capsys.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []  # looking changes nothing


def test_libraries_that_are_absent_or_too_old(monkeypatch: pytest.MonkeyPatch) -> None:
    versions(monkeypatch, {"scipy": "1.2.0", "rich": None})
    found = by_name()
    assert found["scipy"].ok is False
    assert "1.2.0 (needed: >=" in found["scipy"].found
    assert found["rich"].ok is False
    assert found["rich"].remedy.startswith("pip install 'rich>=")


@pytest.mark.parametrize(("other", "ok"), [("5.0.0.93", None), ("4.9.0.80", False)])
def test_two_packages_of_opencv(monkeypatch: pytest.MonkeyPatch, other: str, ok: bool | None) -> None:
    versions(monkeypatch, {"opencv-python": other, "opencv-python-headless": "5.0.0.93"})
    check = by_name()["cv2"]
    assert check.ok is ok
    assert "2 packages in one folder" in check.found
    assert check.remedy == "pip uninstall -y opencv-python opencv-python-headless && pip install opencv-python-headless"


def test_an_opencv_that_wants_a_desktop(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def no_cv2(name: str, *args: object) -> object:
        if name == "cv2":
            raise ImportError("libGL.so.1: cannot open shared object file")
        return real(name, *args)  # type: ignore[arg-type]

    versions(monkeypatch, {"opencv-python": "5.0.0.93", "opencv-python-headless": None})
    monkeypatch.setattr(builtins, "__import__", no_cv2)
    (check,) = doctor._opencv()
    assert check.ok is False
    assert "libGL.so.1" in check.found
    assert "pip install opencv-python-headless" in check.remedy


def test_folders_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SAMBENCH_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setenv("SAMBENCH_DATA", str(tmp_path / "nowhere"))
    found = by_name()
    assert found["SAMBENCH_CACHE"].ok is False
    assert "is a file" in found["SAMBENCH_CACHE"].found
    assert found["SAMBENCH_DATA"].ok is False
    assert found["SAMBENCH_HOME"].ok is True
    assert "made on first use" in found["SAMBENCH_HOME"].found


def test_a_folder_without_write_permission(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    home.mkdir()
    real = doctor.os.access
    monkeypatch.setattr(doctor.os, "access", lambda p, mode: Path(p) != home and real(p, mode))
    check = by_name()["SAMBENCH_HOME"]
    assert check.ok is False
    assert "not writable" in check.found


def test_little_disk_space(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(1, 1, 3_000_000))
    check = by_name()["SAMBENCH_CACHE"]
    assert check.ok is None
    assert "3 MB free" in check.found
    assert "make room" in check.remedy


def test_a_broken_card_fails_and_the_rest_is_still_examined(home: Path) -> None:
    folder = home / "cards" / "datasets"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text('id = "mine"\nnmae = "Mine"')
    checks = examine()
    failed = [c for c in checks if c.ok is False and not c.name.startswith("cuda")]
    assert {c.name for c in failed} == {"cards", "data"}
    assert all("mine.toml" in c.found for c in failed)
    assert checks[-1].name == "terminal"


def test_a_card_whose_code_is_absent(home: Path) -> None:
    folder = home / "cards" / "baselines"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text('id = "mine"\nname = "Mine"\nfactory = "no_such_module:make"')
    found = by_name()
    assert found["card of model mine"].ok is False
    assert found["cards"].ok is False


def test_data_that_is_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SAMBENCH_DATA", str(tmp_path / "data"))
    root = tmp_path / "data" / "bbbc038v1"
    root.mkdir(parents=True)
    assert by_name()["data bbbc038v1"].ok is False  # empty
    for part in ("images", "masks"):
        (root / "stage1_train" / "a" / part).mkdir(parents=True)
        (root / "stage1_train" / "a" / part / "a.png").write_bytes(b"")
    check = by_name()["data bbbc038v1"]
    assert check.ok is True, check
    assert str(root) in check.found


def test_an_adopted_folder_that_is_gone(home: Path, tmp_path: Path) -> None:
    home.mkdir()
    (home / "roots.json").write_text(json.dumps({"bbbc038v1": str(tmp_path / "gone")}))
    check = by_name()["adopted bbbc038v1"]
    assert check.ok is False
    assert "sambench data adopt bbbc038v1" in check.remedy
    (home / "roots.json").write_text("{")
    assert by_name()["folders"].ok is False


def test_cached_weights(home: Path) -> None:
    body = b"weights"
    folder = home / "cards" / "baselines"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text(
        f"""
id = "mine"
name = "Mine"
factory = "sambench.models.otsu:otsu"
[weights]
url = "https://weights.example/w.pth"
file = "w.pth"
sha256 = "{hashlib.sha256(body).hexdigest()}"
bytes = {len(body)}
"""
    )
    path = fetch.cached_weights(cards.model_card("mine"))
    assert path == paths.cache() / "weights" / "w.pth"
    path.parent.mkdir(parents=True)
    path.with_name("w.pth.part").write_bytes(b"wei")
    assert by_name()["weights mine"].found.startswith("3 bytes (7 bytes) in ")
    path.write_bytes(body)
    assert by_name()["weights mine"].ok is True
    path.write_bytes(b"WEIGHTS")
    check = by_name()["weights mine"]
    assert check.ok is False
    assert "delete the file" in check.remedy
