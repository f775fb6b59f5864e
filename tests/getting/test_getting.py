"""`sambench data get`: terms, downloads from a local server that misbehaves on request, unpacking, and what a person must do."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import zipfile
from collections import namedtuple
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sambench import cards, fixtures, paths
from sambench.cards import DatasetCard
from sambench.errors import DataError, DataMissingError, DownloadError, UsageError
from sambench.getting import archives, transfer
from sambench.getting import datasets as getting
from sambench.loaders.open import open_dataset
from tests.helpers import sambench
from tests.helpers.server import Server

pytestmark = pytest.mark.usefixtures("pauses")

Usage = namedtuple("Usage", "total used free")

CARD = """
id = "toy"
name = "Toy nuclei"
reader = "sambench.loaders.bbbc038v1:BBBC038v1"
layout = ["<root>/stage1_train/<ImageId>/..."]
licence = "{licence}"
citation = "Nobody, 2026"

[access]
state = "{state}"
steps = ["fill the form at https://toy.example/form", "download nuclei.zip"]
commercial_use = {commercial}
redistribution = true
"""


@pytest.fixture(autouse=True)
def own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAMBENCH_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()


def write_card(*files: dict[str, Any], state: str = "auto", commercial: bool = True, licence: str = "CC0") -> DatasetCard:
    text = CARD.format(state=state, commercial=str(commercial).lower(), licence=licence)
    for file in files:
        text += "\n[[access.files]]\n" + "".join(f"{k} = {v!r}\n" for k, v in file.items())
    path = paths.home() / "cards" / "datasets" / "toy.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    cards.forget()
    return cards.dataset_card("toy")


@pytest.fixture
def archive(tmp_path: Path) -> bytes:
    """The fixture of BBBC038v1 as a zip."""
    fixtures.write("bbbc038v1", tmp_path / "source")
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        for path in sorted((tmp_path / "source").rglob("*")):
            z.write(path, path.relative_to(tmp_path / "source"))
        z.writestr("padding.bin", os.urandom(300_000))
    return out.getvalue()


def listed(url: str, body: bytes, **changes: Any) -> dict[str, Any]:
    return {"url": url, "file": "nuclei.zip", "sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body), **changes}


def get(**options: Any) -> Path:
    return getting.get(getting.offer("toy"), **options)


def n_masks(card: DatasetCard) -> int:
    return sum(r.n_masks for r in open_dataset(card).index())


def everything() -> list[str]:
    return sorted(p.name for p in paths.data_root().iterdir())


def test_downloaded_unpacked_and_in_place(server: Server, archive: bytes) -> None:
    server.body = archive
    card = write_card(listed(server.url, archive))
    said: list[tuple[str, int, int | None]] = []
    root = get(progress=lambda *args: said.append(args))
    assert root == paths.data_root() / "toy"
    assert n_masks(card) == 4
    assert everything() == ["toy"]  # neither archives nor half-unpacked folders stay
    assert {what for what, *_ in said} == {"downloading nuclei.zip", "unpacking nuclei.zip"}
    assert get() == root
    assert getting.offer("toy").here == root
    assert len(server.asked) == 1


def test_several_files_and_their_places(server: Server, archive: bytes) -> None:
    extra = io.BytesIO()
    with tarfile.open(fileobj=extra, mode="w:gz") as t:
        info = tarfile.TarInfo("more.txt")
        info.size = 2
        t.addfile(info, io.BytesIO(b"hi"))
    bodies = {"/a": archive, "/b": extra.getvalue(), "/c": b"id,class\n"}
    answer = server.answer
    server.answer = lambda h: (setattr(server, "body", bodies[h.path]), answer(h))  # type: ignore[method-assign, assignment]
    base = server.url.rpartition("/")[0]
    write_card(
        listed(base + "/a", bodies["/a"]),
        {"url": base + "/b", "file": "b.tar.gz", "unpack_to": "stage1_train/deep"},
        {"url": base + "/c", "file": "labels.csv", "unpack_to": "csv"},
    )
    root = get(keep=True)
    assert (root / "stage1_train/deep/more.txt").read_bytes() == b"hi"
    assert (root / "csv/labels.csv").read_bytes() == b"id,class\n"
    kept = getting.stage_of(cards.dataset_card("toy")) / "files"
    assert sorted(p.name for p in kept.iterdir()) == ["b.tar.gz", "labels.csv", "nuclei.zip"]


def test_resumed_after_cuts(server: Server, archive: bytes) -> None:
    server.body, server.cuts = archive, [100_000, 50_000]
    card = write_card(listed(server.url, archive))
    get()
    assert [a.get("Range") for a in server.asked] == [None, "bytes=100000-", "bytes=150000-"]
    assert n_masks(card) == 4


def test_resumed_by_the_next_call(server: Server, archive: bytes) -> None:
    server.body, server.cut_for_ever = archive, True
    card = write_card(listed(server.url, archive))
    with pytest.raises(DownloadError, match="a download failed"):
        get()
    part = getting.stage_of(card) / "files" / "nuclei.zip.part"
    kept = part.stat().st_size
    assert kept > 0
    assert not (paths.data_root() / "toy").exists()
    server.cut_for_ever = False
    get()
    assert server.asked[-1]["Range"] == f"bytes={kept}-"
    assert n_masks(card) == 4


def test_interrupted_between_two_files_goes_on_with_the_second(server: Server, archive: bytes) -> None:
    server.body = archive
    second = {"url": server.url + "2", "file": "b.bin"}
    write_card(listed(server.url, archive), second)

    def stop(what: str, _done: int, _total: int | None) -> None:
        if what == "downloading b.bin":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get(progress=stop)
    assert getting.offer("toy").here is None  # half a dataset is none
    before = len(server.asked)
    root = get()
    assert len(server.asked) == before + 1
    assert (root / "b.bin").read_bytes() == archive


def test_two_at_once_download_once(server: Server, archive: bytes) -> None:
    server.body, server.pause_s = archive, 0.02
    write_card(listed(server.url, archive))
    with ThreadPoolExecutor(2) as pool:
        roots = list(pool.map(lambda _: get(), range(2)))
    assert roots == [paths.data_root() / "toy"] * 2
    assert len(server.asked) == 1
    assert everything() == ["toy"]


def test_wrong_hash(server: Server, archive: bytes) -> None:
    server.body = archive[:-1] + b"?"
    card = write_card(listed(server.url, archive))
    with pytest.raises(DownloadError, match="not the expected one") as e:
        get()
    assert str(e.value.expected).startswith("sha256")
    assert not (paths.data_root() / "toy").exists()
    by_hand = getting.stage_of(card) / "files" / "nuclei.zip"
    assert str(by_hand) in (e.value.remedy or "")
    by_hand.write_bytes(archive)  # what the remedy says
    get()
    assert n_masks(card) == 4


@pytest.mark.parametrize(("status", "says"), [(404, "no longer at this address"), (403, "refuses")])
def test_refused(server: Server, archive: bytes, status: int, says: str) -> None:
    server.status = status
    write_card(listed(server.url, archive))
    with pytest.raises(DownloadError, match=says) as e:
        get()
    assert server.url in str(e.value.where)
    assert "put it at" in (e.value.remedy or "")


def test_a_zip_that_leads_outside_is_refused(server: Server, tmp_path: Path) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("stage1_train/a/images/a.png", b"x")
        z.writestr("../../evil.txt", b"x")
    server.body = out.getvalue()
    write_card(listed(server.url, server.body))
    with pytest.raises(DataError, match="refused") as e:
        get()
    assert "'../../evil.txt'" in str(e.value.found)
    assert not list(tmp_path.rglob("evil.txt"))
    assert not list(tmp_path.rglob("a.png"))


def test_a_full_disk_while_downloading_names_the_data_folder(
    server: Server,
    archive: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.body = archive
    write_card(listed(server.url, archive))
    monkeypatch.setattr(transfer.shutil, "disk_usage", lambda _: Usage(1, 1, 1000))
    with pytest.raises(DownloadError, match="not enough disk space") as e:
        get()
    assert "SAMBENCH_DATA" in (e.value.remedy or "")
    assert "SAMBENCH_CACHE" not in (e.value.remedy or "")


def test_a_full_disk_while_unpacking_is_resumed_without_download(
    server: Server,
    archive: bytes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server.body = archive
    card = write_card(listed(server.url, archive))
    monkeypatch.setattr(archives, "_SPARE", 1 << 60)
    with pytest.raises(DataError, match="to unpack") as e:
        get()
    assert "SAMBENCH_DATA" in (e.value.remedy or "")
    monkeypatch.setattr(archives, "_SPARE", 0)
    get()
    assert len(server.asked) == 1
    assert n_masks(card) == 4


def test_an_archive_with_something_else_in_it(server: Server) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("readme.txt", b"moved")
    server.body = out.getvalue()
    write_card(listed(server.url, server.body))
    with pytest.raises(DataError, match="laid out in another way") as e:
        get()
    assert "readme.txt" in str(e.value.found)
    assert not (paths.data_root() / "toy").exists()


def test_a_folder_that_is_in_the_way_is_not_touched(server: Server, archive: bytes) -> None:
    server.body = archive
    write_card(listed(server.url, archive))
    root = paths.data_root() / "toy"
    root.mkdir()
    get()  # an empty one is not in the way
    shutil.rmtree(root)
    root.mkdir()
    (root / "thesis.doc").write_text("mine")
    with pytest.raises(DataError, match="another folder is where") as e:
        get()
    assert str(root) == str(e.value.where)
    assert [p.name for p in root.iterdir()] == ["thesis.doc"]
    assert len(server.asked) == 1


# What a person must do


@pytest.mark.parametrize("state", ["form", "credentials", "manual", "dead"])
def test_without_files_the_steps_are_told(state: str) -> None:
    write_card(state=state)
    offer = getting.offer("toy")
    assert not offer.automatic
    text = offer.text()
    for part in ("licence: CC0", "Nobody, 2026", "1. fill the form at https://toy.example/form", "2. download nuclei.zip", "adopt"):
        assert part in text
    with pytest.raises(DataMissingError, match="cannot be had without you") as e:
        get()
    assert "1. fill the form at https://toy.example/form" in (e.value.remedy or "")


def test_what_a_person_brings_is_checked_and_unpacked(tmp_path: Path, archive: bytes) -> None:
    card = write_card({**listed("", archive)}, state="form")
    assert "--from FOLDER, with nuclei.zip in it" in getting.offer("toy").text()
    with pytest.raises(DataMissingError, match="nuclei"):
        get()
    downloads = tmp_path / "Downloads"
    downloads.mkdir()
    with pytest.raises(DataMissingError) as missing:
        get(brought=downloads)
    assert str(downloads) in str(missing.value.found)
    (downloads / "nuclei.zip").write_bytes(archive[:-1] + b"?")
    with pytest.raises(DataError, match="another than the one on the dataset's card") as e:
        get(brought=downloads)
    assert "sha256" in str(e.value.expected)
    (downloads / "nuclei.zip").write_bytes(archive)
    get(brought=downloads / "nuclei.zip")
    assert n_masks(card) == 4
    assert (downloads / "nuclei.zip").is_file()  # a person's file is left alone


def test_brought_files_save_a_download(server: Server, tmp_path: Path, archive: bytes) -> None:
    write_card(listed(server.url, archive))
    (tmp_path / "nuclei.zip").write_bytes(archive)
    get(brought=tmp_path)
    assert server.asked == []


def test_an_adopted_copy_needs_nothing(tmp_path: Path) -> None:
    from sambench.getting import data

    write_card(state="form")
    fixtures.write("bbbc038v1", tmp_path / "mine")
    data.adopt("toy", tmp_path / "mine")
    assert get() == tmp_path / "mine"


def test_embedded_ones_need_nothing() -> None:
    assert "nothing to get" in getting.offer("demo").text()


@pytest.mark.parametrize("name", sorted(cards.dataset_cards()))
def test_every_card_can_be_offered(name: str) -> None:
    offer = getting.offer(name)
    text = offer.text()
    assert offer.card.access.state in text
    assert offer.automatic or offer.card.access.state == "embedded" or offer.card.access.steps[0] in text
    places = [(f.unpack_to, f.file) for f in offer.card.access.files]
    assert len(set(places)) == len(places)
    assert len({f.file for f in offer.card.access.files}) == len(places), "a file is known by its name"
    if offer.automatic:
        assert offer.card.access.state == "auto", "what a program can fetch is open"


# The command line


def run(*args: str, **env: str) -> Any:
    return sambench("data", "get", *args, env={k: v for k, v in os.environ.items() if k.startswith("SAMBENCH")} | env)


def test_on_the_command_line(server: Server, archive: bytes) -> None:
    server.body = archive
    write_card(listed(server.url, archive), commercial=False, licence="for research")
    asked = run("toy")
    assert asked.returncode == 2
    assert "for research (no commercial use)" in asked.stdout
    assert "--yes" in asked.stderr
    assert server.asked == []
    done = run("toy", "--yes")
    assert done.returncode == 0, done.stderr
    assert "downloading nuclei.zip" in done.stderr
    assert f"toy is in {paths.data_root() / 'toy'}" in done.stdout
    again = run("toy,demo")
    assert again.returncode == 0
    assert "toy is here" in again.stdout


def test_steps_on_the_command_line() -> None:
    write_card(state="form")
    done = run("toy")
    assert done.returncode == 1
    assert "1. fill the form" in done.stdout
    assert done.stderr == ""
    several = run("toy,demo,sa23x")
    assert several.returncode == 1
    assert "unknown dataset 'sa23x'" in several.stderr
    assert "1 of 3 are here; not toy, sa23x" in several.stdout


def test_unknown_names() -> None:
    with pytest.raises(UsageError, match="unknown dataset"):
        getting.offer("cityscape")


@pytest.mark.parametrize("inner", ["nuclei.rar", "other.rar"])
def test_an_archive_within_the_archive(server: Server, archive: bytes, inner: str) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as z:
        z.writestr("nuclei.rar", archive)  # read by its bytes, whatever it is called
    server.body = out.getvalue()
    card = write_card(listed(server.url, server.body, inner=inner))
    if inner == "other.rar":
        with pytest.raises(DataError, match="does not hold the one") as e:
            get()
        assert "nuclei.rar" in str(e.value)
        assert "toy" not in everything()
        return
    root = get()
    assert n_masks(card) > 0
    assert not list(root.rglob("*.rar"))
