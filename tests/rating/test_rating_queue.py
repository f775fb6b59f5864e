"""The queue of a rating study: who is given what, what becomes of a rating, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sambench.errors import DataError, UsageError
from sambench.rating import drawing
from sambench.rating.database import Database, is_database
from sambench.rating.drawing import Answer
from sambench.rating.drivers import without_password
from sambench.rating.intake import Planned, bring_in, find_study, plan
from sambench.rating.overview import overview, pause, progress
from sambench.rating.queue import Queue, Rater
from sambench.rating.statistics import read_ratings
from sambench.rating.stored import ratings_of
from tests.helpers.rating_study import write_study

SERVERS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_study(tmp_path_factory.mktemp("study") / "s", n_inputs=12, n_controls=4)


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """The address of a PostgreSQL server of the system's packages, on loopback, with its data in a temporary folder."""
    pytest.importorskip("psycopg", reason="the driver of PostgreSQL is not installed")
    if not SERVERS:
        pytest.skip("no PostgreSQL server is installed (apt-get install postgresql)")
    bin_dir, root = SERVERS[-1].parent, Path(tempfile.mkdtemp(prefix="pg"))  # pytest's folders are root's alone
    data, as_user = root / "data", []
    if os.geteuid() == 0:  # the server refuses to run as root
        if shutil.which("runuser") is None or subprocess.run(["id", "postgres"], capture_output=True).returncode:
            pytest.skip("PostgreSQL does not run as root, and there is no user `postgres`")
        as_user = ["runuser", "-u", "postgres", "--"]
        shutil.chown(root, "postgres")
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    made = [*as_user, str(bin_dir / "initdb"), "-D", str(data), "-U", "study", "--auth=trust", "--no-sync", "-E", "UTF8"]
    subprocess.run(made, check=True, capture_output=True, timeout=120)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={root} -c fsync=off"
    control = [*as_user, str(bin_dir / "pg_ctl"), "-D", str(data)]
    subprocess.run([*control, "-o", options, "-l", str(root / "log"), "-w", "start"], check=True, capture_output=True, timeout=120)
    try:
        yield f"postgresql://study:secret-word@127.0.0.1:{port}"
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, capture_output=True, timeout=60)
        shutil.rmtree(root)


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path, study: Path) -> Iterator[Database]:
    """A database with the study's jobs, one rater each."""
    if request.param == "sqlite":
        place = str(tmp_path / "ratings.sqlite")
    else:
        import psycopg

        server, name = request.getfixturevalue("postgres"), f"study_{os.urandom(4).hex()}"
        with psycopg.connect(f"{server}/postgres", autocommit=True) as c:
            c.execute(f"CREATE DATABASE {name}")
        place = f"{server}/{name}"
    found = Database(place, create=True)
    bring_in(found, find_study(study))
    yield found
    found.close()


def ready(queue: Queue, label: str = "") -> Rater:
    """A rater who has done all that comes before the queue."""
    rater = queue.invite(label)
    queue.consent(rater.rater_id, label or "someone")
    queue.guided(rater.rater_id)
    queue.practise(rater.rater_id, 0, 5, 1)
    found = queue.rater(rater.token)
    assert found is not None
    assert found.practised_at
    return found


def rate_all(queue: Queue, rater: Rater, score: int | None = 7, most: int = 1000) -> int:
    """Rate until nothing is left, or `most`; returns how many."""
    stand, n = queue.stand(rater.rater_id), 0
    while stand.slots and n < most:
        slot = stand.slots[0]
        answer = Answer(slot.slot, slot.round, score, f"a{n}", 1.5)
        outcome, _, stand = queue.answer(rater.rater_id, answer)
        assert outcome == "stored"
        n += 1
    return n


def jobs_of(database: Database) -> Counter[str]:
    with database.read() as s:
        rows = s.rows("SELECT a.job_id FROM ratings r JOIN assignments a ON a.slot = r.slot JOIN jobs j ON j.job_id = a.job_id "
                      "WHERE j.is_control = 0")  # fmt: skip
    return Counter(r["job_id"] for r in rows)


def test_every_mask_is_rated_once_and_what_is_rated_is_read_by_the_statistics(database: Database) -> None:
    queue = Queue(database)
    raters = [ready(queue, name) for name in ("Ada", "Grace")]
    n = 0
    while any(queue.stand(r.rater_id).slots for r in raters):
        n += sum(rate_all(queue, r, 5 + i, most=3) for i, r in enumerate(raters))
    counts = jobs_of(database)
    assert len(counts) == 36
    assert set(counts.values()) == {1}
    assert progress(database) == (36, 36)
    records, unjudged = ratings_of(database)
    assert (len(records), unjudged) == (n, 0)
    got = read_ratings(database.place)
    assert len(got.scored) == 36
    assert set(got.scored["model"]) == {"sam", "ritm", "ground_truth"}
    assert set(got.frame["rater"]) == {"r01", "r02"}
    assert (got.frame["seconds"] == 1.5).all()
    for _, own in got.frame.groupby("rater"):
        assert own["shown_order"].astype(int).tolist() == list(range(1, len(own) + 1))


def test_a_rating_is_stored_once_whatever_is_sent_again(database: Database) -> None:
    queue = Queue(database)
    rater = ready(queue)
    slot = queue.stand(rater.rater_id).slots[0]
    first = Answer(slot.slot, slot.round, 8, "one")
    assert queue.answer(rater.rater_id, first)[:2] == ("stored", 8)
    assert queue.answer(rater.rater_id, first)[:2] == ("stored", 8)  # the answer was lost on its way
    assert queue.answer(rater.rater_id, Answer(slot.slot, slot.round, 3, "two"))[:2] == ("kept", 8)  # another tab
    assert queue.answer(rater.rater_id, Answer(slot.slot, slot.round, 3, "one"))[:2] == ("kept", 8)
    assert queue.answer(rater.rater_id, Answer("nothing", 0, 3, "x"))[0] == "unknown"
    other = ready(queue)
    assert queue.answer(other.rater_id, Answer(slot.slot, 0, 3, "x"))[0] == "unknown"  # not theirs
    assert [r["score"] for r in ratings_of(database)[0]] == ["8"]


def test_undo_of_the_last_alone_and_a_late_copy_does_not_come_back(database: Database) -> None:
    queue = Queue(database)
    rater = ready(queue)
    sent = []
    for n in range(3):
        slot = queue.stand(rater.rater_id).slots[0]
        sent.append(Answer(slot.slot, slot.round, 4 + n, f"a{n}"))
        queue.answer(rater.rater_id, sent[-1])
    assert queue.undo(rater.rater_id, sent[0].slot)[0] is False
    undone, stand = queue.undo(rater.rater_id, sent[2].slot)
    assert undone
    assert (stand.slots[0].slot, stand.slots[0].round, stand.n_rated, stand.last) == (sent[2].slot, 1, 2, None)
    assert queue.undo(rater.rater_id, sent[1].slot)[0] is False  # one step back, not two
    assert queue.answer(rater.rater_id, sent[2])[0] == "stale"
    assert queue.answer(rater.rater_id, Answer(sent[2].slot, 1, 9, "b"))[:2] == ("stored", 9)
    assert queue.stand(rater.rater_id).last == (sent[2].slot, 9)
    assert sorted(r["score"] for r in ratings_of(database)[0]) == ["4", "5", "9"]
    assert overview(database).raters[0].n_undone == 1


def test_several_raters_a_mask_for_a_share_of_the_inputs(database: Database) -> None:
    queue = Queue(database)
    plan(database, Planned(3, 0.5))
    raters = [ready(queue) for _ in range(4)]
    while any(queue.stand(r.rater_id).slots for r in raters):
        for rater in raters:
            rate_all(queue, rater, most=2)
    counts = jobs_of(database)
    assert len(counts) == 36
    assert set(counts.values()) == {1, 3}
    inputs = {}
    for record in ratings_of(database)[0]:
        if record["is_control"] == "false":
            inputs.setdefault((record["image_id"], record["object_id"]), set()).add(counts[record["job_id"]])
    assert all(len(n) == 1 for n in inputs.values())  # all masks of an input alike
    plan(database, Planned(1))  # fewer than are given already
    study = overview(database)
    assert (study.n_done, study.n_wanted, study.datasets[0].n_rated) == (36, 36, sum(counts.values()))
    assert progress(database) == (36, 36)
    with pytest.raises(UsageError):
        Planned(0)
    with pytest.raises(UsageError):
        Planned(2, 1.5)


def test_all_raters_at_once_get_no_mask_twice(database: Database) -> None:
    queue = Queue(database)
    raters = [ready(queue) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda r: rate_all(queue, r), raters))
    counts = jobs_of(database)
    assert len(counts) == 36
    assert set(counts.values()) == {1}
    assert sum(done) == len(ratings_of(database)[0])


def test_two_servers_of_one_database_do_not_give_a_mask_twice(database: Database) -> None:
    other = Database(database.place)
    queues = [Queue(database), Queue(other)]
    raters = [ready(queues[0]) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda r: rate_all(queues[r.rater_id % 2], r), raters))
    other.close()
    counts = jobs_of(database)
    assert len(counts) == 36
    assert set(counts.values()) == {1}


def test_who_goes_away_keeps_their_mask_for_a_while_and_a_late_rating_counts(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drawing, "CONTROL_EVERY", 10**9)
    queue = Queue(database)
    away, here = ready(queue), ready(queue)
    held = queue.stand(away.rater_id).slots
    rate_all(queue, here)
    assert len(jobs_of(database)) == 34
    monkeypatch.setattr(drawing, "RESERVED_MIN", -1)
    assert rate_all(queue, here) == 2  # what was reserved is given to others
    assert len(jobs_of(database)) == 36
    outcome, _, _ = queue.answer(away.rater_id, Answer(held[0].slot, held[0].round, 2, "late"))
    assert outcome == "stored"
    assert max(jobs_of(database).values()) == 2
    assert not queue.stand(away.rater_id).slots


def test_a_closed_link_and_a_pause(database: Database) -> None:
    queue = Queue(database)
    rater, other = ready(queue), ready(queue)
    rate_all(queue, rater, most=2)
    queue.revoke(rater.rater_id)
    assert queue.rater(rater.token) is None
    pause(database, True)
    assert queue.stand(other.rater_id).slots == ()
    pause(database, False)
    assert rate_all(queue, other) >= 34  # the reservations of the closed link are lifted, its ratings are kept
    assert len(jobs_of(database)) == 36
    queue.restore(rater.rater_id)
    (again,) = [r for r in queue.raters() if r.rater_id == rater.rater_id]
    assert again.token != rater.token
    assert queue.rater(rater.token) is None


def test_controls_come_to_every_rater_at_places_of_their_own(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "CONTROL_EVERY", 3)
    queue = Queue(database)
    plan(database, Planned(2, 1.0))
    raters = [ready(queue) for _ in range(2)]
    for rater in raters:
        rate_all(queue, rater, 6)
    places: dict[str, list[str]] = {}
    for record in ratings_of(database)[0]:
        if record["is_control"] == "true":
            places.setdefault(record["rater"], []).append(record["shown_order"])
    assert all(len(p) == 4 for p in places.values())
    assert places["r01"] != places["r02"]
    stand = overview(database).raters[0]
    assert (stand.n_control, stand.control_fails, stand.seconds) == (4, 4, 1.5)


def test_what_cannot_be_judged_counts_nowhere_and_is_said(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "CONTROL_EVERY", 10**9)
    queue = Queue(database)
    rater = ready(queue)
    rate_all(queue, rater, None, most=1)
    rate_all(queue, rater, 7)
    got = read_ratings(database.place)
    assert len(got.frame) == len(ratings_of(database)[0])
    assert any("1 times a rater could not judge" in n for n in got.notes)
    assert any("not rated for all models" in n for n in got.notes)


@pytest.mark.parametrize("name", ["Robert'); DROP TABLE ratings;--", "<script>alert(1)</script>", "Zoë 王 ünï", "x" * 80])
def test_names_are_stored_as_they_are(database: Database, name: str) -> None:
    queue = Queue(database)
    rater = ready(queue, name)
    assert (rater.name, rater.label) == (name, name)
    for wrong in ("", "a\0b", "x" * 81, "\u202e"):
        with pytest.raises(UsageError):
            queue.consent(rater.rater_id, wrong)


def test_an_extended_study_keeps_its_ratings_and_another_is_refused(database: Database, study: Path, tmp_path: Path) -> None:
    queue = Queue(database)
    rate_all(queue, ready(queue), most=5)
    larger = shutil.copytree(study, tmp_path / "larger")
    extra = (larger / "for_raters" / "jobs.csv").read_text().splitlines()
    views = larger / "for_raters" / "views"
    job = extra[1].split(",")[1]
    shutil.copytree(views / job, views / "fffffffffff0")
    line = extra[1].replace(job, "fffffffffff0")
    (larger / "for_raters" / "jobs.csv").write_text("\n".join([extra[0], line, *extra[1:]]) + "\n")
    key = (larger / "key.csv").read_text().splitlines()
    (row,) = [k for k in key if k.startswith(job)]
    (larger / "key.csv").write_text("\n".join([*key, row.replace(job, "fffffffffff0")]) + "\n")
    bring_in(database, find_study(larger))
    assert len(ratings_of(database)[0]) == 5
    assert progress(database)[1] == 37
    other = write_study(tmp_path / "other", n_inputs=3, seed=9)
    with pytest.raises(UsageError, match=r"(?s)another rating study.*--database"):
        bring_in(database, find_study(other))
    assert len(ratings_of(database)[0]) == 5


# --- what is no database, and no study


def test_what_is_no_database_of_a_study(tmp_path: Path) -> None:
    import sqlite3

    (tmp_path / "text").write_text("rater,score\n")
    with sqlite3.connect(tmp_path / "other.sqlite") as c:
        c.execute("CREATE TABLE photos (name TEXT)")
    (tmp_path / "broken.sqlite").write_bytes(b"SQLite format 3\0" + b"x" * 4000)
    unusable = "cannot be used"
    for name, says in (("text", unusable), ("other.sqlite", "photos"), ("broken.sqlite", unusable), ("none", "no such")):
        with pytest.raises(DataError, match=says):
            Database(tmp_path / name)
    with pytest.raises(DataError, match="photos"):
        Database(tmp_path / "other.sqlite", create=True)
    assert not is_database(tmp_path / "text")
    assert not is_database(tmp_path / "none")


def test_a_database_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    Database(tmp_path / "r.sqlite", create=True).close()
    assert (tmp_path / "r.sqlite").stat().st_mode & 0o077 == 0


def test_passwords_are_not_shown() -> None:
    pytest.importorskip("psycopg")
    place = "postgresql://ada:hunter2@127.0.0.1:1/x?connect_timeout=2"
    with pytest.raises(DataError) as e:
        Database(place)
    assert "hunter2" not in str(e.value)
    assert "ada:***@" in str(e.value)
    assert "hunter2" not in without_password("postgres://127.0.0.1/x?user=a&password=hunter2")


def test_folders_that_are_no_study(study: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)no folder of rating jobs.*rate make"):
        find_study(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        find_study(tmp_path / "none")
    assert find_study(study / "for_raters").key == study / "key.csv"
    alone = shutil.copytree(study / "for_raters", tmp_path / "alone" / "x")
    assert find_study(alone).key is None
    (alone / "key.csv").write_text("job_id,model,dataset\nzzz,sam,demo\n")
    with pytest.raises(DataError, match="another study"):
        find_study(alone)


@pytest.mark.parametrize(
    "path", ["../key.csv", "/etc/passwd", "views/../../key.csv", "views/none.jpg", "views/link.jpg", "views/empty.jpg", "key.exe"]
)
def test_pictures_outside_of_the_folder_are_refused(study: Path, tmp_path: Path, path: str) -> None:
    copy = shutil.copytree(study, tmp_path / "s")
    jobs = copy / "for_raters" / "jobs.csv"
    (copy / "for_raters" / "views" / "link.jpg").symlink_to(copy / "key.csv")
    (copy / "for_raters" / "views" / "empty.jpg").touch()
    lines = jobs.read_text().splitlines()
    fields = lines[3].split(",")
    lines[3] = ",".join([*fields[:5], path, *fields[6:]])
    jobs.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match="picture of a rating job cannot be used"):
        bring_in(Database(tmp_path / "r.sqlite", create=True), find_study(copy))
