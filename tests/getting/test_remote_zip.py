"""Members read out of zips on a local server, and the datasets that are got that way."""

from __future__ import annotations

import http.server
import io
import random
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from sambench import cards, fixtures, paths
from sambench.errors import DataError, DownloadError
from sambench.getting import datasets as getting
from sambench.getting import remote_zip
from sambench.loaders.open import open_dataset
from sambench.loaders.subsets import choose_subset
from tests.helpers import sambench
from tests.helpers.server import serving

NOISE = random.Random(0).randbytes(5_000_000)


@dataclass
class Shelf:
    """Files by path, and what was asked of them. fail: status codes that come first; cuts: bytes after which answers end."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    etag: str = '"v1"'
    fail: list[int] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    sent: int = 0
    asked: list[tuple[str, str]] = field(default_factory=list)

    def answer(self, h: http.server.BaseHTTPRequestHandler) -> None:
        wanted = h.headers.get("Range", "")
        self.asked.append((h.path, wanted))
        if self.fail or h.path not in self.files:
            h.send_error(self.fail.pop(0) if self.fail else 404)
            return
        body = self.files[h.path]
        first, stop = 0, len(body)
        if wanted and self.ranges:
            a, _, b = wanted.removeprefix("bytes=").partition("-")
            first, stop = (int(a), min(int(b) + 1 if b else stop, stop)) if a else (max(0, stop - int(b)), stop)
            h.send_response(206)
            h.send_header("Content-Range", f"bytes {first}-{stop - 1}/{len(body)}")
        else:
            h.send_response(200)
        h.send_header("ETag", self.etag)
        h.send_header("Content-Length", str(stop - first))
        h.end_headers()
        piece = body[first:stop]
        if self.cuts:
            piece = piece[: self.cuts.pop(0)]
        self.sent += len(piece)
        h.wfile.write(piece)


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    state = Shelf()
    monkeypatch.setattr(remote_zip, "sleep", lambda _s: None)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving(lambda request: state.answer(request)) as url:  # a test may give it another answer
        state.url = url
        yield state


@pytest.fixture(autouse=True)
def own_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SAMBENCH_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as z:
        for name, body in members.items():
            z.writestr(name, body)
    return out.getvalue()


def test_only_the_wanted_bytes_travel(shelf: Shelf, tmp_path: Path) -> None:
    shelf.files["/a.zip"] = zipped(**{"a/big.bin": NOISE, "a/small.txt": b"here", "b/last.bin": NOISE[::-1]})
    with remote_zip.opened(f"{shelf.url}/a.zip") as archive:
        info = archive.getinfo("a/small.txt")
        path = remote_zip.fetch_member(archive, info, tmp_path / "out")
        assert path == tmp_path / "out/a/small.txt"
        assert path.read_bytes() == b"here"
        assert shelf.sent < 1_300_000  # the end, and one request: not ten megabytes
        asked = len(shelf.asked)
        assert remote_zip.fetch_member(archive, info, tmp_path / "out") == path
        assert len(shelf.asked) == asked  # it was there
        whole = remote_zip.fetch_member(archive, archive.getinfo("a/big.bin"), tmp_path / "out")
        assert whole.read_bytes() == NOISE
        assert len(shelf.asked) == asked + 1  # a member is one request
    assert not list((tmp_path / "out").rglob("*.part"))


def test_a_member_larger_than_the_memory_held(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote_zip, "_MOST", 1 << 20)
    shelf.files["/a.zip"] = zipped(big=NOISE, other=NOISE[1:])
    with remote_zip.opened(f"{shelf.url}/a.zip") as archive:
        assert remote_zip.fetch_member(archive, archive.getinfo("big"), tmp_path).read_bytes() == NOISE
    assert 5 <= len(shelf.asked) <= 8


def test_cuts_and_busy_servers_are_tried_again(shelf: Shelf, tmp_path: Path) -> None:
    shelf.files["/a.zip"] = zipped(big=NOISE, other=NOISE[1:])
    shelf.fail, shelf.cuts = [503, 429], [1000, 70_000]
    with remote_zip.opened(f"{shelf.url}/a.zip") as archive:
        assert remote_zip.fetch_member(archive, archive.getinfo("big"), tmp_path).read_bytes() == NOISE
    assert not shelf.cuts
    shelf.fail = [503] * 9
    with pytest.raises(DownloadError, match="a download failed") as e, remote_zip.opened(f"{shelf.url}/a.zip"):
        pass
    assert "503" in str(e.value)


def test_refusals(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="refused") as e, remote_zip.opened(f"{shelf.url}/none.zip"):
        pass
    assert "no longer at this address" in str(e.value)
    assert len(shelf.asked) == 1
    shelf.files["/a.zip"] = NOISE
    with pytest.raises(DownloadError, match="cannot be read"), remote_zip.opened(f"{shelf.url}/a.zip"):
        pass
    shelf.ranges = False
    with pytest.raises(DownloadError, match="does not give parts") as e, remote_zip.opened(f"{shelf.url}/a.zip"):
        pass
    assert "HTTP 206" in str(e.value)
    with pytest.raises(DownloadError, match="a download failed"), remote_zip.opened("http://127.0.0.1:9/a.zip"):
        pass


def test_an_archive_that_is_replaced_meanwhile(shelf: Shelf, tmp_path: Path) -> None:
    shelf.files["/a.zip"] = zipped(big=NOISE, other=NOISE[1:])
    with remote_zip.opened(f"{shelf.url}/a.zip") as archive:
        shelf.etag = '"v2"'
        with pytest.raises(DownloadError, match="replaced"):
            remote_zip.fetch_member(archive, archive.getinfo("big"), tmp_path)
    assert not (tmp_path / "big").exists()


def test_a_damaged_member_never_has_its_name(shelf: Shelf, tmp_path: Path) -> None:
    body = bytearray(zipped(big=NOISE, other=NOISE[1:]))
    body[1_000_000] ^= 255
    shelf.files["/a.zip"] = bytes(body)
    with pytest.raises(DownloadError, match="cannot be read"), remote_zip.opened(f"{shelf.url}/a.zip") as archive:
        remote_zip.fetch_member(archive, archive.getinfo("big"), tmp_path)
    assert not (tmp_path / "big").exists()


def test_a_member_that_leads_outside_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    shelf.files["/a.zip"] = zipped(**{"../evil.txt": b"x"})
    with remote_zip.opened(f"{shelf.url}/a.zip") as archive, pytest.raises(DataError, match="refused"):
        remote_zip.fetch_member(archive, archive.infolist()[0], tmp_path / "out")
    assert not (tmp_path / "evil.txt").exists()


def card_of(name: str, **replacements: str) -> cards.DatasetCard:
    """The packaged card with other addresses, called `<name>_here`."""
    replacements[f'id = "{name}"'] = f'id = "{name}_here"'
    text = (paths.packaged("datasets") / f"{name}.toml").read_text(encoding="utf-8")
    for old, new in replacements.items():
        assert old in text
        text = text.replace(old, new)
    path = paths.home() / "cards" / "datasets" / f"{name}_here.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    cards.forget()
    return cards.dataset_card(f"{name}_here")


def test_visor_without_the_rest_of_its_deposit(shelf: Shelf, tmp_path: Path) -> None:
    fixtures.write("visor", tmp_path / "source")
    members = {
        f"2v6cgv1x04ol22qp9rm9x2j6a7/{p.relative_to(tmp_path / 'source')}": p.read_bytes()
        for p in sorted((tmp_path / "source").rglob("*"))
        if p.is_file()
    }
    shelf.files["/v.zip"] = zipped(**members, **{"2v6cgv1x04ol22qp9rm9x2j6a7/Interpolations-DenseAnnotations/x.zip": NOISE})
    deposit = "https://data.bris.ac.uk/datasets/tar/2v6cgv1x04ol22qp9rm9x2j6a7.zip"
    card = card_of("visor", **{f'url = "{deposit}"': f'url = "{shelf.url}/v.zip"'})
    offer = getting.offer("visor_here")
    assert offer.automatic
    assert "only what is needed" in offer.text()
    root = getting.get(offer)
    assert sum(r.n_masks for r in open_dataset(card).index()) > 0
    assert not list(root.rglob("Interpolations*"))
    assert shelf.sent < 2_000_000


def hypersim_on(shelf: Shelf, tmp_path: Path, masks: int) -> cards.DatasetCard:
    fixtures.write("hypersim", tmp_path / "source")
    for scene in sorted((tmp_path / "source").glob("ai_*")):
        files = {str(p.relative_to(tmp_path / "source")): p.read_bytes() for p in sorted(scene.rglob("*")) if p.is_file()}
        shelf.files[f"/{scene.name}.zip"] = zipped(**files, **{f"{scene.name}/other.bin": NOISE})
    shelf.files["/list.csv"] = (tmp_path / "source/metadata_images_split_scene_v1.csv").read_bytes()
    raw = "https://raw.githubusercontent.com/apple/ml-hypersim/main/evermotion_dataset/analysis/metadata_images_split_scene_v1.csv"
    source = "https://docs-assets.developer.apple.com/ml-research/datasets/hypersim/v1/scenes/{scene}.zip"
    here = {raw: f"{shelf.url}/list.csv", source: f"{shelf.url}/{{scene}}.zip", "masks = 9445": f"masks = {masks}"}
    return card_of("hypersim", **here)


def test_hypersim_frame_by_frame(shelf: Shelf, tmp_path: Path) -> None:
    card = hypersim_on(shelf, tmp_path, masks=3)
    every = choose_subset(open_dataset(card, root=tmp_path / "source"), card, "paper")
    done = sambench("data", "get", "hypersim_here", "--yes")
    assert done.returncode == 0, done.stderr
    assert "single frames" in done.stdout
    fetched = choose_subset(open_dataset(card), card, "paper")
    assert fetched.image_ids == every.image_ids  # the frames that the whole release would give
    assert fetched.digest == every.digest
    assert len(list((paths.data_root() / "hypersim_here").rglob("*.color.hdf5"))) == len(every.image_ids)
    assert shelf.sent < 6_000_000  # of twenty


def test_hypersim_goes_on_after_a_cut(shelf: Shelf, tmp_path: Path) -> None:
    card = hypersim_on(shelf, tmp_path, masks=4)
    gone = shelf.files.pop("/ai_001_001.zip")
    with pytest.raises(DownloadError, match="refused"):
        getting.get(getting.offer("hypersim_here"))
    assert not (paths.data_root() / "hypersim_here").exists()
    shelf.files["/ai_001_001.zip"] = gone
    got_before = len(list(getting.stage_of(card).rglob("*.color.hdf5")))
    asked = len([a for a in shelf.asked if "ai_055" in a[0]])
    getting.get(getting.offer("hypersim_here"))
    assert sum(r.n_masks for r in open_dataset(card).index()) == 4
    if got_before:
        assert len([a for a in shelf.asked if "ai_055" in a[0]]) == asked
