"""The weights of a card: downloaded once, damaged, explicit, and never outside of their folder."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from sambench import paths
from sambench.cards import ModelCard
from sambench.errors import CardError, CheckpointError
from sambench.getting import weights as fetch
from tests.helpers.server import BODY, SHA, Server

pytestmark = pytest.mark.usefixtures("pauses")


def card(url: str, **weights: object) -> ModelCard:
    fields = {"url": url, "file": "w.pth", "sha256": SHA, "bytes": len(BODY), **weights}
    return ModelCard.model_validate({"id": "toy", "name": "Toy", "factory": "toy:make", "weights": fields})


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAMBENCH_CACHE", str(tmp_path / "cache"))
    return paths.cache() / "weights"


def test_weights_are_downloaded_once_into_the_cache(server: Server, cache: Path) -> None:
    for _ in range(2):
        assert fetch.weights_path(card(server.url), explicit=None, download_ok=True) == cache / "w.pth"
    assert (cache / "w.pth").read_bytes() == BODY
    assert len(server.asked) == 1


def test_a_model_without_weights_has_no_path() -> None:
    bare = ModelCard.model_validate({"id": "toy", "name": "Toy", "factory": "toy:make"})
    assert fetch.weights_path(bare, explicit=None, download_ok=True) is None


def test_explicit_weights_may_be_any_file_but_must_exist(server: Server, tmp_path: Path) -> None:
    own = tmp_path / "mine.pth"
    with pytest.raises(CheckpointError, match="no such file"):
        fetch.weights_path(card(server.url), explicit=own, download_ok=True)
    with pytest.raises(CheckpointError, match="a folder"):
        fetch.weights_path(card(server.url), explicit=tmp_path, download_ok=True)
    own.write_bytes(b"anything")
    assert fetch.weights_path(card(server.url), explicit=own, download_ok=True) == own
    assert server.asked == []


@pytest.mark.parametrize(("damaged", "unit"), [(BODY[:-1], "bytes"), (BODY[:-1] + b"?", "sha256")])
def test_damaged_weights_in_the_cache_are_an_error(server: Server, cache: Path, damaged: bytes, unit: str) -> None:
    cache.mkdir(parents=True)
    (cache / "w.pth").write_bytes(damaged)
    with pytest.raises(CheckpointError, match="not the published ones") as e:
        fetch.weights_path(card(server.url), explicit=None, download_ok=True)
    assert unit in str(e.value.expected)
    assert "delete the file" in (e.value.remedy or "")
    assert (cache / "w.pth").read_bytes() == damaged
    (cache / "w.pth").unlink()  # what the remedy says does help
    assert fetch.weights_path(card(server.url), explicit=None, download_ok=True) == cache / "w.pth"


@pytest.mark.parametrize(("url", "download_ok"), [("http://127.0.0.1:9/w.pth", False), ("", True)])
def test_weights_that_may_or_can_not_be_downloaded(cache: Path, url: str, download_ok: bool) -> None:
    with pytest.raises(CheckpointError, match="not on this machine") as e:
        fetch.weights_path(card(url), explicit=None, download_ok=download_ok)
    assert str(cache / "w.pth") in (e.value.remedy or "")


@pytest.mark.parametrize("name", ["../w.pth", "/w.pth", "a/../../w.pth", "", ".", "..", "../../etc/passwd"])
@pytest.mark.parametrize("key", ["file", "packaged"])
def test_a_card_cannot_place_weights_outside_of_their_folder(cache: Path, key: str, name: str) -> None:
    if (key, name) == ("packaged", ""):
        return  # they are not packaged
    with pytest.raises(ValidationError, match=rf"weights\.{key}"):
        card("http://127.0.0.1:9/w.pth", **{key: name})
    whole = card("http://127.0.0.1:9/w.pth")  # and where a card did not go through its schema
    assert whole.weights is not None
    forged = whole.model_copy(update={"weights": whole.weights.model_copy(update={key: name})})
    with pytest.raises(CardError, match=rf"weights\.{key}"):
        fetch.weights_path(forged, explicit=None, download_ok=True)
