"""The pages of a rating study: what a rater must not do, what a browser must not learn, and that forms alone are enough."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import stats

pytest.importorskip("starlette", reason="the web server of the extra `serve` is not installed")
from starlette.testclient import TestClient

from sambench.loaders.demo.scenes import draw
from sambench.rating.database import Database
from sambench.rating.intake import bring_in, find_study
from sambench.rating.practice import EXAMPLES, PRACTICE, Task, views_of
from sambench.rating.queue import Queue, Rater
from sambench.rating.statistics import read_ratings
from sambench.rating.stored import ratings_of
from sambench.rating.web import rater as rater_pages
from sambench.rating.web.app import Settings, application
from sambench.rating.web.lead import lead_token
from tests.helpers.rating_study import write_study

JSON = {"accept": "application/json"}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("study") / "secret-study", n_inputs=12, n_controls=2, datasets=("hidden_set",))


class World:
    """A study that is served within the process."""

    def __init__(self, study: Path, database: Path) -> None:
        self.database = Database(database, create=True)
        folder = find_study(study)
        bring_in(self.database, folder)
        self.queue = Queue(self.database)
        self.app = application(self.database, Settings(folder.root))

    def client(self) -> TestClient:
        return TestClient(self.app, base_url="http://127.0.0.1:8765", follow_redirects=False)

    def rater(self, name: str = "Ada", *, ready: bool = True) -> Rater:
        rater = self.queue.invite(name)
        if ready:
            self.queue.consent(rater.rater_id, name)
            self.queue.guided(rater.rater_id)
            self.queue.practise(rater.rater_id, 0, 5, 1)
        return rater


@pytest.fixture
def world(study: Path, tmp_path: Path) -> Iterator[World]:
    found = World(study, tmp_path / "ratings.sqlite")
    yield found
    found.database.close()


def state_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="state">(.*?)</script>', text, re.DOTALL)
    assert found
    state: dict[str, Any] = json.loads(found[1])
    return state


def rating(slot: dict[str, Any], score: object = 7, **more: object) -> dict[str, str]:
    return {k: str(v) for k, v in ({"slot": slot["slot"], "round": slot["round"], "score": score, "attempt": "a"} | more).items()}


# --- the whole way


def test_forms_alone_lead_from_the_link_to_the_last_rating(world: World) -> None:
    rater, client = world.rater(ready=False), world.client()
    base = f"/r/{rater.token}"
    assert client.get(base).headers["location"] == f"{base}/welcome"
    for later in ("guidelines", "practice", "rate"):
        assert client.get(f"{base}/{later}").headers["location"] == f"{base}/welcome"
    assert client.post(f"{base}/rate", data={"slot": "x", "round": "0", "score": "5"}).status_code == 403
    assert client.get(f"{base}/stand").status_code == 403
    assert "only with your consent" in client.post(f"{base}/welcome", data={"name": "Ada"}).text
    assert "Please give a name" in client.post(f"{base}/welcome", data={"name": " ", "consent": "yes"}).text
    assert client.post(f"{base}/welcome", data={"name": "Ada", "consent": "yes"}).headers["location"] == f"{base}/guidelines"
    assert "How to rate a mask" in client.get(f"{base}/guidelines").text
    assert client.post(f"{base}/guidelines", data={"read": "yes"}).headers["location"] == f"{base}/practice"
    for n, task in enumerate(PRACTICE):
        assert state_of(client.get(f"{base}/practice").text)["slots"][0]["slot"] == str(n)
        answer = client.post(f"{base}/practice", data={"slot": str(n), "score": str(task.low if n else 1)})
        assert ("Just so" in answer.text) == (n > 0)
        assert task.why in answer.text.replace("&#39;", "'")
    n = 0
    while "Thank you" not in (text := client.get(f"{base}/rate").text):
        slot = state_of(text)["slots"][0]
        assert client.post(f"{base}/rate", data=rating(slot, 1 + n % 10)).headers["location"] == f"{base}/rate"
        n += 1
    records, _ = ratings_of(world.database)
    assert len(records) == n >= 36
    slot = re.search(r'name="slot" value="([^"]+)"', text)
    assert slot
    assert client.post(f"{base}/undo", data={"slot": slot[1]}).status_code == 303
    assert len(ratings_of(world.database)[0]) == n - 1
    assert len(read_ratings(world.database.place).frame) == n - 1


def test_the_script_gets_the_next_mask_with_the_answer(world: World) -> None:
    rater, client = world.rater(), world.client()
    base = f"/r/{rater.token}"
    slots = client.get(f"{base}/stand").json()["slots"]
    sent = rating(slots[0], 9, seconds="3.25", started_at="2026-01-02T03:04:05.678Z")
    got = client.post(f"{base}/rate", data=sent, headers=JSON).json()
    assert (got["outcome"], got["score"], got["n_rated"], got["slots"][0]) == ("stored", 9, 1, slots[1])
    again = client.post(f"{base}/rate", data=sent, headers=JSON).json()
    assert (again["outcome"], again["n_rated"]) == ("stored", 1)
    other = client.post(f"{base}/rate", data=sent | {"score": "2", "attempt": "b"}, headers=JSON).json()
    assert (other["outcome"], other["score"], other["n_rated"]) == ("kept", 9, 1)
    undone = client.post(f"{base}/undo", data={"slot": slots[0]["slot"]}, headers=JSON).json()
    assert (undone["outcome"], undone["slots"][0]["slot"], undone["slots"][0]["round"]) == ("undone", slots[0]["slot"], 1)
    assert client.post(f"{base}/rate", data=sent, headers=JSON).json()["outcome"] == "stale"
    client.post(f"{base}/rate", data=sent | {"round": "1", "score": "none"}, headers=JSON)
    assert ratings_of(world.database) == ([], 1)
    (row,) = _rows(world, "SELECT seconds, started_at FROM ratings")
    assert row == {"seconds": 3.25, "started_at": "2026-01-02T03:04:05.678+00:00"}


def _rows(world: World, sql: str) -> list[dict[str, Any]]:
    with world.database.read() as s:
        return [dict(r) for r in s.rows(sql)]


# --- what must not be


def test_links_that_are_none_and_masks_of_others(world: World) -> None:
    ada, eve = world.rater("Ada"), world.rater("Eve")
    client = world.client()
    slot = client.get(f"/r/{ada.token}/stand").json()["slots"][0]
    job = _rows(world, f"SELECT job_id FROM assignments WHERE slot = '{slot['slot']}'")[0]["job_id"]
    client.get(f"/r/{eve.token}/rate")
    assert client.get(slot["views"]["zoom"]).status_code == 200
    for path in (
        slot["views"]["zoom"].replace(ada.token, eve.token),
        f"/r/{ada.token}/view/{job}/zoom",
        f"/r/{ada.token}/view/{slot['slot']}/key",
        f"/r/{ada.token}/view/{slot['slot']}/..%2f..%2f..%2fkey.csv",
        f"/r/{ada.token}/view/..%2f..%2fkey.csv/zoom",
        f"/r/{ada.token}/try/practice/99/zoom",
        f"/r/{ada.token}/try/practice/-1/zoom",
        f"/r/{ada.token}/try/key/0/zoom",
        "/r/0/rate", "/r/%00/rate", f"/r/{ada.token}%27--/rate", f"/r/{ada.token[:-1]}/rate", "/r/..%2f..%2fkey.csv",
        "/static/..%2f..%2frater.py", "/static/app.py", "/key.csv", "/for_raters/jobs.csv", "/ratings.sqlite",
        "/lead", "/lead/ratings.csv", "/lead/open/none",
    ):  # fmt: skip
        answer = client.get(path)
        assert answer.status_code in (403, 404), path
        assert "hidden_set" not in answer.text
    for token, sent in ((eve.token, rating(slot)), (ada.token, rating({"slot": job, "round": 0}))):
        assert client.post(f"/r/{token}/rate", data=sent, headers=JSON).status_code == 404
    assert client.post(f"/r/{eve.token}/undo", data={"slot": slot["slot"]}, headers=JSON).json()["outcome"] == "kept"
    assert ratings_of(world.database)[0] == []


@pytest.mark.parametrize(
    "change",
    [{"score": "0"}, {"score": "11"}, {"score": "7.5"}, {"score": ""}, {"score": "٧"}, {"score": "1e1"}, {"round": "-1"},
     {"round": ""}, {"slot": ""}, {"slot": "'; DROP TABLE ratings; --"}, {"slot": "a\0b"}, {"attempt": "x" * 65},
     {"attempt": "<b>"}],
)  # fmt: skip
def test_ratings_that_are_none(world: World, change: dict[str, str]) -> None:
    rater, client = world.rater(), world.client()
    slot = client.get(f"/r/{rater.token}/stand").json()["slots"][0]
    assert client.post(f"/r/{rater.token}/rate", data=rating(slot) | change, headers=JSON).status_code == 400
    assert ratings_of(world.database)[0] == []


@pytest.mark.parametrize(
    ("sent", "stored"),
    [({"seconds": "nan"}, None), ({"seconds": "-3"}, None), ({"seconds": "inf"}, None), ({"seconds": "9" * 40}, None),
     ({"seconds": "2.5"}, 2.5)],
)  # fmt: skip
def test_a_strange_clock_costs_no_rating(world: World, sent: dict[str, str], stored: float | None) -> None:
    rater, client = world.rater(), world.client()
    slot = client.get(f"/r/{rater.token}/stand").json()["slots"][0]
    more = {"started_at": "yesterday"} | sent
    assert client.post(f"/r/{rater.token}/rate", data=rating(slot) | more, headers=JSON).json()["outcome"] == "stored"
    (row,) = _rows(world, "SELECT seconds, started_at FROM ratings")
    assert row["seconds"] == stored
    assert row["started_at"].endswith("+00:00")


def test_bodies_that_are_too_large_or_no_forms(world: World) -> None:
    rater, client = world.rater(), world.client()
    url = f"/r/{rater.token}/rate"
    form = {"content-type": "application/x-www-form-urlencoded", **JSON}
    assert client.post(url, content=b"slot=" + b"x" * 10_000, headers=form).status_code == 413
    assert client.post(url, content=(b"slot=" for _ in range(5000)), headers=form).status_code == 413  # no length is told
    assert client.post(url, content=b"&".join(b"a%d=1" % i for i in range(100)), headers=form).status_code == 400
    assert client.post(url, content=b"slot=%ff%fe", headers=form).status_code == 400
    assert client.post(url, content=b"\xff\xfe", headers=form).status_code == 400
    assert client.post(url, json={"slot": "x"}, headers=JSON).status_code == 415
    assert client.post(url, files={"slot": b"x"}, headers=JSON).status_code == 415
    assert client.put(url, content=b"").status_code in (404, 405)


def test_names_with_html_and_sql_are_text_everywhere(world: World) -> None:
    evil = '"><img src=x onerror=alert(1)>\'); DROP TABLE raters;--'
    rater, client = world.rater("Ada", ready=False), world.client()
    client.post(f"/r/{rater.token}/welcome", data={"name": evil, "consent": "yes"})
    pages = [client.get(f"/r/{rater.token}/welcome").text]
    client.get(f"/lead/open/{lead_token(world.database)}")
    lead = client.post("/lead/invite", data={"names": "<script>alert(2)</script>"}, headers={"origin": "http://127.0.0.1:8765"})
    more = ("/lead", lead.headers["location"], "/lead?note=<script>alert(3)</script>")
    pages += [client.get(path).text for path in more]
    for text in pages:
        assert "<img src=x" not in text
        assert "<script>alert" not in text
    assert "&lt;img src=x" in pages[0]
    assert "&lt;img src=x" in pages[1]
    assert _rows(world, "SELECT name FROM raters")[0]["name"] == evil


def test_every_answer_has_the_headers_that_keep_it_to_itself(world: World) -> None:
    rater, client = world.rater(), world.client()
    slot = client.get(f"/r/{rater.token}/stand").json()["slots"][0]
    for path in ("/", "/static/app.css", f"/r/{rater.token}/rate", slot["views"]["image"], "/none", "/lead"):
        headers = client.get(path).headers
        assert "default-src 'none'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] in ("no-store", "private, max-age=3600, immutable", "max-age=300")
        assert not {"etag", "last-modified", "server"} & set(headers)


# --- the lead


def test_the_lead_alone_sees_and_sets(world: World) -> None:
    rater, client, stranger = world.rater(), world.client(), world.client()
    here = {"origin": "http://127.0.0.1:8765"}
    entered = client.get(f"/lead/open/{lead_token(world.database)}")
    cookie = entered.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    slot = client.get(f"/r/{rater.token}/stand").json()["slots"][0]
    client.post(f"/r/{rater.token}/rate", data=rating(slot), headers=JSON)
    assert "1 of 36 ratings" in client.get("/lead").text
    plan, away = {"raters": "2", "overlap": "50"}, {"rater": "1"}
    forms = (("pause", {"pause": "yes"}), ("plan", plan), ("revoke", away), ("invite", {"names": "x"}))
    for path, fields in forms:
        assert stranger.post(f"/lead/{path}", data=fields, headers=here).status_code == 403
        assert client.post(f"/lead/{path}", data=fields, headers={"origin": "http://evil.example"}).status_code == 403
        assert client.post(f"/lead/{path}", data=fields, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert stranger.get("/lead/ratings.csv").status_code == 403
    assert world.queue.rater(rater.token) is not None
    for path, fields in forms:
        assert client.post(f"/lead/{path}", data=fields, headers=here).status_code == 303
    assert world.queue.rater(rater.token) is None
    assert client.get(f"/r/{rater.token}/rate").status_code == 403
    text = client.get("/lead").text
    assert "paused" in text
    assert 'value="50"' in text
    exported = client.get("/lead/ratings.csv").text
    assert exported.splitlines()[1].split(",")[1] == "r01"
    assert exported.count("\n") == 2
    assert "number" in client.post("/lead/plan", data={"raters": "2", "overlap": "x"}, headers=here).headers["location"]


def test_an_export_is_read_as_the_database_is(world: World, tmp_path: Path) -> None:
    client = world.client()
    for rater in (world.rater("Ada"), world.rater("Grace")):
        while slots := client.get(f"/r/{rater.token}/stand").json()["slots"]:
            client.post(f"/r/{rater.token}/rate", data=rating(slots[0], len(slots) + 3, seconds=2), headers=JSON)
    client.get(f"/lead/open/{lead_token(world.database)}")
    (tmp_path / "r.csv").write_bytes(client.get("/lead/ratings.csv").content)
    file, database = read_ratings(tmp_path / "r.csv"), read_ratings(world.database.place)
    assert file.frame.drop(columns="line").equals(database.frame.drop(columns="line"))


# --- blind


def observed(world: World, client: TestClient, rater: Rater) -> tuple[np.ndarray, list[str], list[str]]:
    """(features [n, k] of everything that the browser gets of each mask but its pixels, the models, the inputs), as one rater."""
    models = {r["job_id"]: r for r in _rows(world, "SELECT * FROM jobs")}
    features, labels, inputs = [], [], []
    texts = []
    while slots := client.get(f"/r/{rater.token}/stand").json()["slots"]:
        slot = slots[0]
        job = models[_rows(world, f"SELECT job_id FROM assignments WHERE slot = '{slot['slot']}'")[0]["job_id"]]
        row: list[float] = [slot["seq"], slot["round"], *(ord(c) for c in slot["slot"]), len(slots)]
        for url in slot["views"].values():
            answer = client.get(url)
            row += [len(answer.content), len(answer.headers), len(str(answer.headers)), len(url)]
            row += [sum(map(ord, f"{k}{v}")) for k, v in sorted(answer.headers.items())]
        stored = client.post(f"/r/{rater.token}/rate", data=rating(slot), headers=JSON)
        texts.append(stored.text)
        row += [len(stored.headers), sum(map(ord, stored.text[stored.text.rfind('"n_rated"') :]))]
        if not job["is_control"]:
            features.append(row)
            labels.append(job["model"])
            inputs.append(job["image_id"] + job["object_id"])
    secrets = {str(job[k]) for job in models.values() for k in ("job_id", "model", "dataset", "image_id", "mask_digest")}
    assert not any(secret in text for secret in secrets for text in texts)
    return np.array(features, float), labels, inputs


def accuracy(features: np.ndarray, labels: list[str], inputs: list[str]) -> tuple[int, int]:
    """(right, all) guesses of the model by the better of two classifiers, an input's masks left out together: the nearest
    neighbour in standardised features, and the best single threshold.
    """
    x = (features - features.mean(0)) / np.where(features.std(0) > 0, features.std(0), 1)
    y, groups = np.array(labels), np.array(inputs)
    near, stump = 0, 0
    for group in sorted(set(inputs)):
        test, train = groups == group, groups != group
        for row, truth in zip(x[test], y[test], strict=True):
            near += y[train][np.argmin(((x[train] - row) ** 2).sum(1))] == truth
        best = max(
            ((np.mean(np.where(x[train, k] > cut, a, b) == y[train]), k, cut, a, b)
             for k in range(x.shape[1]) if np.ptp(x[train, k]) > 0
             for cut in np.quantile(x[train, k], (0.25, 0.33, 0.5, 0.67, 0.75))
             for a in set(labels) for b in set(labels) if a != b),
            default=(0.0, 0, 0.0, labels[0], labels[0]),
        )  # fmt: skip
        _, k, cut, a, b = best
        stump += int((np.where(x[test, k] > cut, a, b) == y[test]).sum())
    return max(near, stump), len(labels)


def test_no_classifier_tells_models_apart_by_anything_but_the_pixels(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The files on disk differ in size by model, so that the same classifier finds them where sizes are not made alike."""
    world = World(study, tmp_path / "a.sqlite")
    right, n = accuracy(*observed(world, world.client(), world.rater()))
    assert n == 36
    assert stats.binomtest(right, n, 1 / 3, alternative="greater").pvalue > 1e-4, f"{right} of {n} guesses were right"
    monkeypatch.setattr(rater_pages, "_padded", lambda path, size: path.read_bytes())
    bare = World(study, tmp_path / "b.sqlite")
    right, n = accuracy(*observed(bare, bare.client(), bare.rater()))
    assert stats.binomtest(right, n, 1 / 3, alternative="greater").pvalue < 1e-6, f"{right} of {n} guesses were right"


def test_sizes_are_alike_within_an_input_and_pictures_stay_whole(world: World) -> None:
    rater, client = world.rater(), world.client()
    seen: dict[tuple[str, str], set[int]] = {}
    while slots := client.get(f"/r/{rater.token}/stand").json()["slots"]:
        sql = f"SELECT j.* FROM jobs j JOIN assignments a ON a.job_id = j.job_id WHERE a.slot = '{slots[0]['slot']}'"
        job = _rows(world, sql)[0]
        for view, url in slots[0]["views"].items():
            data = client.get(url).content
            seen.setdefault((job["object_id"], view), set()).add(len(data))
            with Image.open(io.BytesIO(data)) as image:
                image.load()
                assert image.size == (40, 30)
        client.post(f"/r/{rater.token}/rate", data=rating(slots[0]), headers=JSON)
    assert all(len(sizes) == 1 for sizes in seen.values())


def test_a_picture_that_is_gone_or_has_grown_is_said(world: World, study: Path, tmp_path: Path) -> None:
    rater, client = world.rater(), world.client()
    slot = client.get(f"/r/{rater.token}/stand").json()["slots"][0]
    world.app.state.settings = Settings(tmp_path)
    assert client.get(slot["views"]["zoom"]).status_code == 503
    (views,) = _rows(world, f"SELECT j.views FROM jobs j JOIN assignments a ON a.job_id = j.job_id WHERE slot = '{slot['slot']}'")
    grown = tmp_path / json.loads(views["views"])[4]
    grown.parent.mkdir(parents=True)
    grown.write_bytes(b"x" * 100_000)
    assert client.get(slot["views"]["zoom"]).status_code == 503


def test_seconds_are_finite() -> None:
    assert all(rater_pages._seconds(text) is None for text in ("", "x", "nan", "1e999", "-0.1"))
    assert rater_pages._seconds("0.12349") == pytest.approx(0.123)
    assert not math.isnan(rater_pages._seconds("3") or 0)


@pytest.mark.parametrize("task", [*EXAMPLES, *PRACTICE], ids=lambda t: f"{t.scene}-{t.item}-{t.answer}")
def test_practice_shows_what_its_answer_says(task: Task) -> None:
    drawn = draw(task.scene)
    thing = drawn.things[task.item]
    assert thing.category in ("robot", "mug", "fish", "balloon", "button", "flower", "pebble")
    truth = thing.visible
    mask = task.spoil(truth if task.other is None else drawn.things[task.other].visible)
    iou = (mask & truth).sum() / (mask | truth).sum()
    least, most = {1: (0.0, 0.2), 2: (0.05, 0.5), 4: (0.5, 0.8), 5: (0.7, 0.9), 7: (0.85, 0.98)}.get(task.low, (1.0, 1.0))
    assert least <= iou <= most if task.other is None else iou == 0
    sizes = set()
    for data in views_of(task).values():
        with Image.open(io.BytesIO(data)) as image:
            sizes.add(image.size)
    assert len(sizes) == 1
