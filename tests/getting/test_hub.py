"""Models on the hub, which here is a server of our own: pinned, checked, kept in the cache, and every refusal in words."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from sambench.errors import DownloadError, ModelError, SambenchError, UsageError
from sambench.getting import hub
from sambench.sources import hf, models
from tests.helpers.fake_hub import COMMIT, OLDER, TOKEN, FakeHub, serving

REPO = "lab/tiny-sam2"


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A repository with a model, served; the library's cache is the test's."""
    folder = tmp_path / "repo"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"architectures": ["Sam2Model"], "model_type": "sam2"}))
    (folder / "preprocessor_config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"\x08weights" * 1000)
    (folder / "README.md").write_text("a model")
    (folder / "sam2.1_hiera_tiny.pt").write_bytes(b"not asked for")
    with serving(FakeHub(REPO, folder)) as fake:
        monkeypatch.setattr(constants, "ENDPOINT", fake.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", fake.url + "/{repo_id}/resolve/{revision}/{filename}")
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
            monkeypatch.delenv(name, raising=False)
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.delenv(name, raising=False)
        yield fake


def refused(*said: str, name: str = REPO, revision: str | None = None) -> SambenchError:
    with pytest.raises(SambenchError) as error:
        hub.get(name, revision)
    for text in said:
        assert text in str(error.value), str(error.value)
    assert TOKEN not in str(error.value)
    return error.value


def test_a_model_is_pinned_and_fetched_once(repo: FakeHub, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[tuple[int, int | None]] = []
    with caplog.at_level(logging.WARNING, "sambench.hub"):
        found = hub.get(REPO, None, progress=lambda done, total: heard.append((done, total)))
    assert found.commit == COMMIT
    assert sorted(p.name for p in found.folder.iterdir()) == ["config.json", "model.safetensors", "preprocessor_config.json"]
    [said] = [r.getMessage() for r in caplog.records if r.name == "sambench.hub"]
    assert "lab/tiny-sam2 at 111111111111: 8 kB to download; licence: apache-2.0" in said
    assert heard[-1][0] == heard[-1][1] == 8000 + 2
    repo.asked.clear()
    caplog.clear()
    assert hub.get(REPO, None) == found
    assert not [r for r in caplog.records if r.name == "sambench.hub"], "nothing is downloaded"
    assert [a for a in repo.asked if a.startswith("GET") and "resolve" in a] == []


def test_a_revision_is_another_commit(repo: FakeHub) -> None:
    assert hub.get(REPO, "v1").commit == OLDER
    refused("no such revision", "found: v9", "after the @", revision="v9")


def test_identity_has_the_commit(repo: FakeHub) -> None:
    main = models.resolve(f"hf:{REPO}", {}, device="cpu", precision="fp32")
    older = models.resolve(f"hf:{REPO}@v1", {}, device="cpu", precision="fp32")
    assert main.identity["hf"]["commit"] == COMMIT
    assert older.identity["hf"]["commit"] == OLDER
    assert main.identity["hf"]["weights_sha256"] == older.identity["hf"]["weights_sha256"]
    assert (main.title, main.id) == (REPO, "tiny-sam2")
    assert Path(main.spec.name.removeprefix("hf:")).is_dir(), "a worker needs no network"
    assert models.gives_of(f"hf:{REPO}") is None


def test_a_node_without_the_folder_fetches_the_same_commit(
    repo: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = hf.SOURCE.resolve(f"hf:{REPO}", {}, device="cpu", precision="fp32").spec
    assert found.pinned == f"{REPO}@{COMMIT}"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "node"))
    assert hf._folder_here(found) == Path(found.name.removeprefix("hf:"))  # it is seen from here
    shutil.rmtree(tmp_path / "cache")
    here = hf._folder_here(found)
    assert (here.name, tmp_path / "node" in here.parents) == (COMMIT, True)
    assert (here / "model.safetensors").read_bytes() == (repo.folder / "model.safetensors").read_bytes()


def test_offline_only_the_cache_is_asked(repo: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused("not in the cache", "HF_HUB_OFFLINE is set", "hf:./FOLDER")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    found = hub.get(REPO, None)
    repo.asked.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert hub.get(REPO, None) == found
    assert hub.get(REPO, COMMIT) == found
    assert repo.asked == []
    refused("not in the cache", "at v1", revision="v1")


def test_without_an_answer_the_cache_is_used_and_that_is_said(repo: FakeHub) -> None:
    found = hub.get(REPO, None)
    repo.status = 503
    again = hub.get(REPO, None)
    assert again.folder == found.folder
    assert "HTTP 503" in again.notes[0]
    assert "the commit 111111111111 is used" in again.notes[0]
    error = refused("HTTP 503", "check the connection", name="lab/other")
    assert isinstance(error, DownloadError)


def test_a_download_that_ends_early_goes_on_later(repo: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)  # between the library's own tries
    repo.busy.add("model.safetensors")
    error = refused("model.safetensors cannot be fetched", "what has come is kept", "run the command again")
    assert isinstance(error, DownloadError)
    repo.busy.clear()
    assert (hub.get(REPO, None).folder / "model.safetensors").is_file()


def test_gated_terms_are_said_before_and_after(
    repo: FakeHub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    repo.gated, repo.licence = "manual", "other"
    refused("terms must be accepted first", "found: no token", f"{repo.url}/{REPO}", "hf auth login")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    repo.allowed = False
    refused("terms must be accepted first", "found: a token that has no access")
    repo.allowed = True
    with caplog.at_level(logging.WARNING, "sambench.hub"):
        hub.get(REPO, None)
    [said] = [r.getMessage() for r in caplog.records if r.name == "sambench.hub"]
    assert "licence: other" in said
    assert "gated" in said
    assert "its authors then decide" in said
    assert TOKEN not in caplog.text


def test_what_is_not_there_or_private(repo: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    refused("no such model on the hub, or it is private", name="lab/typo")
    repo.private = True
    refused("no such model on the hub, or it is private", "HF_TOKEN")
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    hub.get(REPO, None)


def test_wrong_bytes_are_refused_and_removed(repo: FakeHub) -> None:
    repo.wrong.add("model.safetensors")
    refused("not what the hub's record says, and was removed", "expected: sha256", "found: sha256")
    repo.wrong.clear()
    assert (hub.get(REPO, None).folder / "model.safetensors").read_bytes() == (repo.folder / "model.safetensors").read_bytes()


def test_a_damaged_cache_is_noticed(repo: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file lies in the cache under its sha256, so that this is seen offline too."""
    found = hub.get(REPO, None)
    (found.folder / "model.safetensors").resolve().write_bytes(b"other")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    refused("not what the hub's record says")


def test_a_class_that_is_not_known_is_refused_before_its_weights(repo: FakeHub) -> None:
    (repo.folder / "config.json").write_text(json.dumps({"architectures": ["BertModel"], "model_type": "bert"}))
    error = refused("BertModel")
    assert isinstance(error, ModelError)
    assert not [a for a in repo.asked if "safetensors" in a]


def test_the_tokenizer_of_a_model_of_phrases_comes_too(repo: FakeHub) -> None:
    (repo.folder / "tokenizer.json").write_text("{}")
    assert not (hub.get(REPO, None).folder / "tokenizer.json").exists(), "this one reads none"
    repo.folder.joinpath("config.json").write_text(json.dumps({"architectures": ["Sam3Model"], "model_type": "sam3"}))
    assert (hub.get(REPO, "2" * 40).folder / "tokenizer.json").read_text() == "{}"


def test_repositories_without_a_model(repo: FakeHub) -> None:
    (repo.folder / "model.safetensors").unlink()
    refused("holds no model of transformers", "-M weights=FILE")
    (repo.folder / "config.json").unlink()
    refused("holds no model of transformers", "sam2.1_hiera_tiny.pt")


def test_weights_in_shards(repo: FakeHub, caplog: pytest.LogCaptureFixture) -> None:
    (repo.folder / "model.safetensors").rename(repo.folder / "model-00001-of-00002.safetensors")
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (repo.folder / "model.safetensors.index.json").write_text(json.dumps(index))
    refused("not whole on the hub", "no model-00002-of-00002.safetensors")
    (repo.folder / "model-00002-of-00002.safetensors").write_bytes(b"more")
    caplog.clear()
    names = {p.name for p in hub.get(REPO, None).folder.iterdir()}
    assert {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"} <= names
    assert "8 kB to download" in caplog.text


@pytest.mark.parametrize("name", ["a/b/c", "-a/b", "a b/c", "lab/" + "x" * 200])
def test_impossible_names(repo: FakeHub, name: str) -> None:
    assert isinstance(refused("does not fit", "ORGANISATION/NAME", name=name), UsageError)
    assert repo.asked == []


def test_a_hub_that_cannot_be_reached(repo: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    refused("cannot be looked up", "the hub cannot be reached", "hf:./FOLDER")
