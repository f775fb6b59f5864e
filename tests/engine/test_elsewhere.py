"""Workers on other machines, without one: what SLURM's and Ray's answers are taken for, and what comes back of places."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

import sambench
from sambench.engine.backends import elsewhere, ray, slurm, slurm_jobs
from sambench.engine.backends.elsewhere import Messages, Place
from sambench.engine.backends.slurm_jobs import SlurmWorkers, slurm_states
from sambench.engine.progress import CellProgress
from sambench.engine.worker import CellJob, Job
from sambench.errors import RunError, SambenchError, UsageError
from sambench.sources.data.base import DatasetSpec
from sambench.sources.models import ModelSpec
from sambench.store.leases import try_lease

JOB = Job(ModelSpec("otsu", {}, "cpu", "fp32"), (), "i")


@pytest.fixture
def said() -> list[str]:
    return []


def messages(folder: Path, said: list[str], n: int = 2, job: Job = JOB) -> Messages:
    return Messages(job, folder, n, lambda e: said.append(e.get("text", e["event"])))


class FakeSlurm:
    """squeue and scancel as programs on the PATH, and jobs as submitit has them."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        for name, text in (("squeue", "cat answer; cat error >&2; test ! -s error"), ("scancel", 'echo "$@" >> cancelled')):
            (folder / name).write_text(f"#!/bin/sh\ncd {folder}\n{text}\n")
            (folder / name).chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.setattr(slurm_jobs, "POLL_S", 0.0)
        monkeypatch.setattr(slurm_jobs, "STATES_EVERY_S", 0.0)
        monkeypatch.setattr(slurm_jobs, "RESULT_S", 0.0)
        self.answer()

    def answer(self, *lines: str, error: str = "") -> None:
        (self.folder / "answer").write_text("".join(f"{line}\n" for line in lines))
        (self.folder / "error").write_text(error)

    def job(self, name: str, result: Any = None) -> Any:
        def cancel(check: bool) -> None:
            os.system(f"scancel {name}")

        paths = SimpleNamespace(result_pickle=self.folder / f"{name}.pkl")
        return SimpleNamespace(job_id=name, paths=paths, result=lambda: result, cancel=cancel, stdout=lambda: "", state="UNKNOWN")

    def cancelled(self) -> list[str]:
        file = self.folder / "cancelled"
        return file.read_text().split() if file.exists() else []


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeSlurm:
    return FakeSlurm(tmp_path, monkeypatch)


def workers_of(queue: FakeSlurm, said: list[str], job: Job = JOB) -> SlurmWorkers:
    jobs = [queue.job("7_0"), queue.job("7_1")]
    return SlurmWorkers(jobs, messages(queue.folder, said, job=job), queue.folder / "slurm.json", cluster="slurm", detach=False)


def test_states_are_squeues_and_an_array_that_is_forgotten_is_no_silence(queue: FakeSlurm) -> None:
    queue.answer("7_0|RUNNING|None|node1", "7_1|PENDING|Priority|")
    found = slurm_states(["7_0", "7_1"])
    assert found is not None
    assert (found["7_0"].name, found["7_0"].node, found["7_1"].reason) == ("RUNNING", "node1", "Priority")
    queue.answer(error="slurm_load_jobs error: Invalid job id specified")
    assert slurm_states(["7_0"]) == {}
    queue.answer(error="slurm_load_jobs error: Unable to contact slurm controller (connect failure)")
    assert slurm_states(["7_0"]) is None


def test_a_job_that_ended_without_a_result_is_lost_and_without_the_controller_nothing_is(queue: FakeSlurm, said: list[str]) -> None:
    workers = workers_of(queue, said)
    queue.answer(error="Unable to contact slurm controller")
    workers.wait()
    assert (workers.running, said) == (True, [])
    queue.answer("7_0|OUT_OF_MEMORY|OutOfMemory|node1", "7_1|RUNNING|None|node2")
    workers.wait()
    assert "job 7_0 was lost (OUT_OF_MEMORY); the others go on" in said
    assert (workers.running, workers.failure) == (True, None)
    (queue.folder / "7_1.pkl").touch()
    queue.answer(error="slurm_load_jobs error: Invalid job id specified")
    workers.wait()
    assert not workers.running
    assert "1 of 2 SLURM jobs was lost" in str(workers.failure)


def test_a_job_put_back_is_said_and_its_leases_are_free(queue: FakeSlurm, said: list[str], tmp_path: Path) -> None:
    shards = tmp_path / "cell" / "shards"
    shards.mkdir(parents=True)
    held = {}
    for n, (host, pid) in enumerate((("node1", 11), ("node2", 12))):
        assert try_lease(shards / f"{n}.claim") is not None
        held[n] = json.loads((shards / f"{n}.claim").read_text()) | {"host": host, "pid": pid}
        (shards / f"{n}.claim").write_text(json.dumps(held[n]))
    cell = CellJob(str(shards.parent), "c", "box", {}, DatasetSpec("demo", "paper", None), None)
    workers = workers_of(queue, said, Job(JOB.model, (cell,), "i"))
    (tmp_path / "0.jsonl").write_text('{"event": "worker", "host": "node1", "pid": 11}\n')
    (tmp_path / "1.jsonl").write_text('{"event": "worker", "host": "node2", "pid": 12}\n')
    queue.answer("7_0|RUNNING|None|node1", "7_1|RUNNING|None|node2")
    workers.wait()
    assert len(list(shards.glob("*.claim"))) == 2
    queue.answer("7_0|PENDING|BeginTime|", "7_1|RUNNING|None|node2")
    workers.wait()
    assert [p.name for p in shards.glob("*.claim")] == ["1.claim"]
    assert said == ["job 7_0 was put back into the queue; it was on node1"]
    queue.answer("7_0|PENDING|launch failed requeued held|", "7_1|RUNNING|None|node2")
    workers.wait()
    workers.wait()
    assert said[1:] == ["job 7_0 waits in the queue: launch failed requeued held"]


def test_jobs_that_wait_when_all_is_done_are_not_waited_for(queue: FakeSlurm, said: list[str]) -> None:
    workers = workers_of(queue, said)
    (queue.folder / "7_0.pkl").touch()
    queue.answer("7_0|COMPLETED|None|node1", "7_1|PENDING|Resources|")
    workers.wait()
    assert (workers.running, workers.failure, queue.cancelled()) == (False, None, ["7_1"])


def test_an_interrupt_takes_what_waits_out_of_the_queue_at_once(queue: FakeSlurm, said: list[str]) -> None:
    workers = workers_of(queue, said)
    for i in range(2):
        (queue.folder / f"{i}.jsonl").touch()
    queue.answer("7_0|RUNNING|None|node1", "7_1|PENDING|BeginTime|")  # it was put back
    workers.wait()
    workers.stop(now=False)
    assert (queue.cancelled(), (queue.folder / elsewhere.STOP).exists(), workers.running) == (["7_1"], True, True)
    workers.stop(now=True)
    assert (queue.cancelled(), workers.running) == (["7_1", "7_0"], False)


def test_workers_that_die_of_the_schedulers_sigterm_are_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(self: Place, asked: threading.Event, begun: Any) -> SambenchError:
        signal.raise_signal(signal.SIGTERM)
        return RunError("a worker process died (signal SIGTERM)")

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(Place, "work", dies)
    try:
        with pytest.raises(SystemExit) as e:
            slurm.SlurmPlace("{}", "cpu", "", 0)()
        assert e.value.code == 143
        monkeypatch.setattr(slurm, "TERMINATED_S", 0.0)
        monkeypatch.setattr(Place, "work", lambda *_: RunError("its own"))
        assert "its own" in str(slurm.SlurmPlace("{}", "cpu", "", 0)())
    finally:
        signal.signal(signal.SIGTERM, before)


class FakeRay:
    """Ray in threads of this process. dying: of how many actors, the first ones, the node is lost before they do anything."""

    class exceptions:
        class RayError(Exception):
            pass

        class RayTaskError(RayError):
            cause = ValueError("x")

    def __init__(self, dying: int = 0, cpus: float = 2.0) -> None:
        self.dying, self.cpus, self.asked, self.killed = dying, cpus, [], 0

    def is_initialized(self) -> bool:
        return True

    def cluster_resources(self) -> dict[str, float]:
        return {"CPU": self.cpus, "memory": 1e9}

    def remote(self, kind: Any) -> Any:
        def actor() -> Any:
            return SimpleNamespace(run=SimpleNamespace(remote=lambda place: self.start(kind, place)))

        def options(**given: Any) -> Any:
            self.asked.append(given)
            return SimpleNamespace(remote=actor)

        return SimpleNamespace(options=options)

    def start(self, kind: Any, place: Any) -> Any:
        result = SimpleNamespace(done=threading.Event(), error=None, value=None)
        if self.dying:
            self.dying -= 1
            result.error = self.exceptions.RayError("The node was terminated")
            result.done.set()
        else:
            threading.Thread(target=self.run, args=(kind, place, result), daemon=True).start()
        return SimpleHash(result)

    def run(self, kind: Any, place: Any, result: Any) -> None:
        result.value = kind().run(place)
        result.done.set()

    def wait(self, results: list[Any], num_returns: int, timeout: float) -> tuple[list[Any], list[Any]]:
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and not any(r.of.done.is_set() for r in results):
            time.sleep(0.02)
        ready = [r for r in results if r.of.done.is_set()][:num_returns]
        return ready, [r for r in results if r not in ready]

    def get(self, result: Any) -> Any:
        if result.of.error is not None:
            raise result.of.error
        return result.of.value

    def kill(self, actor: Any) -> None:
        self.killed += 1

    def shutdown(self) -> None:
        pass


class SimpleHash:
    def __init__(self, of: Any) -> None:
        self.of = of


def run_on(fake: FakeRay, out: Path, monkeypatch: pytest.MonkeyPatch, **request: Any) -> pd.DataFrame:
    monkeypatch.setitem(sys.modules, "ray", fake)
    monkeypatch.chdir(out)
    got = sambench.run("box", "demo", "otsu", out=str(out), backend="ray", **{"limit": 2, "workers": 2, **request})
    return got.rows().drop(columns=["encode_ms", "decode_ms"])


def test_an_actor_that_is_lost_is_replaced_and_the_rows_are_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeRay(dying=1)
    ours = run_on(fake, tmp_path, monkeypatch, workers=None)
    assert fake.asked[0] == {"num_cpus": 1, "num_gpus": 0, "max_restarts": 0, "scheduling_strategy": "SPREAD"}
    (folder,) = tmp_path.glob("box-*/logs/ray-*")
    assert sorted(p.name for p in folder.glob("*.jsonl"))[-1] == "2.jsonl"  # the third: two were asked for, as there is room
    local = sambench.run("box", "demo", "otsu", out=str(tmp_path / "local"), limit=2, workers=1).rows()
    pd.testing.assert_frame_equal(ours, local.drop(columns=["encode_ms", "decode_ms"]))


def test_one_that_is_lost_over_and_over_is_the_runs_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RunError, match="lost 3 times in a row, each time without an image") as e:
        run_on(FakeRay(dying=9), tmp_path, monkeypatch)
    assert "The node was terminated" in str(e.value)


def test_options_and_room_of_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = ray.BACKEND.with_options({"address": "there:6379", "gpus": 2})
    assert (at.device("auto"), at.device("cuda:3"), at.device("cpu")) == ("cuda:0", "cuda:0", "cpu")
    assert (at._each("cuda:0"), at._each("cpu")) == ({"CPU": 1, "GPU": 2}, {"CPU": 1})
    for wrong in ({"adress": "x"}, {"gpus": -1}, {"cpus": 0}):
        with pytest.raises(UsageError):
            ray.BACKEND.with_options(wrong)
    with pytest.raises(UsageError, match="the Ray cluster has no room"):
        run_on(FakeRay(cpus=0), tmp_path, monkeypatch, workers=None)
    assert not list(tmp_path.glob("box-*"))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match="needs ray"):
        ray.BACKEND.check(1)


def test_what_was_done_before_a_command_came_back_and_what_is_done_twice_count_once(tmp_path: Path) -> None:
    begin = {"model": "otsu", "dataset": "demo", "n_images": 3, "missing": ["b", "c"]}
    seen = CellProgress.begun(begin)
    lines = [{"event": "image", "cell_id": "", "image_id": i, "n_objects": 1, "status": "ok", "running": {}} for i in "abbc"]
    (tmp_path / "0.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + "{half")
    back = Messages(JOB, tmp_path, 1, seen.take)
    back.listen()
    back.listen()
    assert (seen.n_done, seen.objects, back.images) == (3, 2, [4])


def test_a_place_stops_when_the_file_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Stopped:
        failure, workers = None, ()

        def __init__(self) -> None:
            self.running, self.stops = True, []

        def stop(self, *, now: bool) -> None:
            self.stops.append(now)
            self.running = False

        def wait(self) -> None:
            (tmp_path / elsewhere.STOP).touch()

        def close(self) -> None:
            self.stops.append("closed")

    made = Stopped()
    monkeypatch.setattr(elsewhere, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(elsewhere.Local, "start", lambda *_: made)
    assert Place(JOB.to_json(), "cpu", str(tmp_path), 3).work(threading.Event()) is None
    assert made.stops == [False, "closed"]
    assert (tmp_path / "3.jsonl").exists()
