"""SLURM: an array of jobs, by submitit, each with one worker that takes shards by claims in the run's folder.

The folder of runs must be one that all nodes see, as must the environment that sambench runs in. On its node a job does what the
local backend does with one place: a process that dies on an image is started again there. A job that SLURM preempts, or that comes
to its time limit, is put back into the queue by submitit, and goes on at the shards that are missing; one that is lost for good is
the run's failure once the others have done what they can. What workers say comes back through a file each; what they compute stands
in the run's folder, so the command that submitted them need not stay: `detach` leaves them, and `attach` finds them again.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from sambench.engine.backends import OnEvent
from sambench.engine.backends.local import Local
from sambench.engine.worker import Job
from sambench.errors import RunError, SambenchError, UsageError, unknown_name
from sambench.files.writing import storage_error, write_json
from sambench.sources.models import ResolvedModel
from sambench.text import printable

SUBMITTED = "slurm.json"
POLL_S = 0.5
STATES_EVERY_S = 5.0  # how often the scheduler is asked
TAIL_LINES = 12


@dataclass(frozen=True)
class Options:
    """What a job asks the scheduler for. time: minutes. gpus, cpus: of each worker; memory: as SLURM writes it (32G).

    detach: leave after submitting; attach: find the jobs of an earlier command of the same run. cluster: slurm, or local, which
    starts processes on this machine, for tests.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    time: int = 240
    gpus: int = 0
    cpus: int | None = None
    memory: str | None = None
    detach: bool = False
    attach: bool = False
    cluster: str = "slurm"

    def parameters(self, n: int) -> dict[str, Any]:
        """For submitit. n: jobs of the array."""
        wanted: dict[str, Any] = {"timeout_min": self.time, "name": "sambench", "stderr_to_stdout": True}
        wanted |= {"gpus_per_node": self.gpus} if self.gpus else {}
        wanted |= {"cpus_per_task": self.cpus} if self.cpus else {}
        named = {"partition": self.partition, "account": self.account, "qos": self.qos, "mem": self.memory}
        wanted |= {f"slurm_{key}": value for key, value in named.items() if value is not None}
        return {**wanted, "slurm_array_parallelism": n, "slurm_additional_parameters": {"requeue": True}}


@dataclass(frozen=True)
class Place:
    """What one job of the array does. It is pickled by submitit, and called on a node."""

    job: str
    device: str
    folder: str
    number: int

    def __call__(self) -> SambenchError | None:
        """Work until nothing is left, or it is told to stop; gives the error of a worker, which the submitting command raises."""
        folder = Path(self.folder)
        stop = folder / "stop"
        with (folder / f"{self.number}.jsonl").open("a", buffering=1) as events:

            def on_event(event: dict[str, Any]) -> None:
                events.write(json.dumps(event) + "\n")

            workers = Local().start(Job.from_json(self.job), [self.device], folder / "logs", on_event)
            try:
                asked = False
                while workers.running:
                    if not asked and stop.exists():
                        asked = True
                        workers.stop(now=False)
                    workers.wait()
            finally:  # also where submitit ends this process to put the job back into the queue
                workers.close()
        return workers.failure

    def checkpoint(self) -> Any:
        """Before a preemption or the time limit: the same again, since what is computed is stored."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


class Slurm:
    """A job a place. places: as many as `workers` says, each with its GPUs."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def with_options(self, options: Mapping[str, Any]) -> Slurm:
        """The backend with options of that name. Raises UsageError for an unknown one, or a value that does not fit."""
        known = {f.name for f in fields(Options)}
        for name in options:
            if name not in known:
                raise unknown_name("option of the slurm backend", name, known, where="--slurm-...")
        made = replace(self.options, **options)
        if made.time < 1 or made.gpus < 0 or (made.cpus is not None and made.cpus < 1):
            found = f"time {made.time}, gpus {made.gpus}, cpus {made.cpus}"
            expected = "a time from 1 minute on; gpus, cpus from 1"
            raise UsageError("what a job is to get does not fit", expected=expected, found=found)
        if made.detach and made.attach:
            raise UsageError("one cannot leave and stay", where="--detach, --attach", expected="one of the two")
        return Slurm(made)

    def device(self, asked: str) -> str:
        """The device that a model is resolved for, on a machine that may have none: `cuda:0` of its own in every job with a GPU."""
        return ("cuda:0" if self.options.gpus else "cpu") if asked == "auto" or self.options.gpus else asked

    def places(self, model: ResolvedModel, devices: Sequence[str], workers: int | None) -> list[str]:
        """See `Backend`."""
        return [model.spec.device] * (workers or 1)

    def check(self, workers: int | None) -> None:
        """Raise UsageError where no jobs can be submitted from here, or nobody says how many."""
        if workers is None and not self.options.attach:
            raise UsageError("how many jobs?", where="--workers", expected="a number, with --backend slurm", remedy="--workers 8")
        _submitit()
        if self.options.cluster == "slurm" and shutil.which("srun") is None:
            found = "no srun on this machine's PATH"
            raise UsageError("this is no SLURM cluster", where="--backend slurm", found=found, remedy="issue it on a login node")

    def start(self, job: Job, places: Sequence[str], log_dir: Path, on_event: OnEvent) -> SlurmWorkers:
        """See `Backend`. Raises UsageError where submitit or SLURM is not there."""
        submitit = _submitit()
        # An identity is waited for.
        options = self.options if job.cells else replace(self.options, detach=False, attach=False)
        record = log_dir / SUBMITTED
        if options.attach:
            return SlurmWorkers(*_submitted(submitit, record, options), record, options, on_event)
        folder = (log_dir / f"slurm-{uuid.uuid4().hex[:12]}").resolve()
        try:
            folder.mkdir(parents=True)
        except OSError as e:
            raise storage_error(e, folder) from e
        jobs = _submit(submitit, options, [Place(job.to_json(), d, str(folder), i) for i, d in enumerate(places)], folder)
        if job.cells:
            write_json(record, {"folder": str(folder), "jobs": [j.job_id for j in jobs], "options": asdict(options)})
        ids = ", ".join(dict.fromkeys(str(j.job_id).partition("_")[0] for j in jobs))
        on_event({"event": "note", "text": f"submitted {len(jobs)} job{'s' if len(jobs) > 1 else ''} ({ids}); logs: {folder}"})
        if options.detach:
            text = "not waiting: `sambench status --watch` follows them, and the same command with --attach finishes the run"
            on_event({"event": "note", "text": text})
        return SlurmWorkers(jobs, folder, record, options, on_event)


class SlurmWorkers:
    """The jobs of one run as the submitting command sees them. read: bytes of each job's events that were passed on."""

    grace_s = 60.0

    def __init__(self, jobs: Sequence[Any], folder: Path, record: Path, options: Options, on_event: OnEvent) -> None:
        self.jobs, self.folder, self.record, self.options, self.on_event = list(jobs), folder, record, options, on_event
        self.read = [0] * len(self.jobs)
        self.passed_on: set[tuple[str, str]] = set()
        self.ended: set[int] = set()
        self.lost: list[str] = []
        self.failure: SambenchError | None = None
        self.stopped = False
        self.asked_at = 0.0

    @property
    def running(self) -> bool:
        """See `Workers`, as for all that has no underscore."""
        return not self.options.detach and len(self.ended) < len(self.jobs)

    def wait(self) -> None:
        time.sleep(POLL_S)
        self._listen()
        if time.monotonic() - self.asked_at < STATES_EVERY_S and self.options.cluster == "slurm":
            return
        self.asked_at = time.monotonic()
        for i, job in enumerate(self.jobs):
            if i not in self.ended and _done(job, self.options.cluster):
                self._listen()
                self.ended.add(i)
                self._end(job)
        if not self.running and self.lost and self.failure is None and not self.stopped:
            self.failure = self._lost()

    def stop(self, *, now: bool) -> None:
        self.stopped = True
        with suppress(OSError):
            (self.folder / "stop").touch()
        for i, job in enumerate(self.jobs):
            waits = not (self.folder / f"{i}.jsonl").exists()  # in the queue: nothing is lost
            if i not in self.ended and (now or waits):
                job.cancel(check=False)

    def close(self) -> None:
        if self.options.detach and self.failure is None and not self.stopped:
            return
        for i, job in enumerate(self.jobs):
            if i not in self.ended:
                job.cancel(check=False)
        self.record.unlink(missing_ok=True)

    def _listen(self) -> None:
        """Pass on whole lines that the jobs have written since."""
        for i in range(len(self.jobs)):
            try:
                with (self.folder / f"{i}.jsonl").open("rb") as f:
                    f.seek(self.read[i])
                    text = f.read()
            except OSError:  # not begun
                continue
            whole = text[: text.rfind(b"\n") + 1]
            self.read[i] += len(whole)
            for line in whole.splitlines():
                with suppress(ValueError):
                    self._pass_on(json.loads(line))

    def _pass_on(self, event: dict[str, Any]) -> None:
        key = (event.get("cell_id", ""), event.get("image_id", ""))
        if event["event"] == "waiting" or (event["event"] == "image" and key in self.passed_on):
            return  # for a shard of another job of ours, as a rule; computed again after a requeue
        if event["event"] == "image":
            self.passed_on.add(key)
        self.on_event(event)

    def _end(self, job: Any) -> None:
        """Take a job's result: nothing, the error of its worker, or none at all, of a job that was lost."""
        try:
            error = job.result()
        except Exception as e:  # noqa: BLE001 - whatever submitit makes of a job without a result
            if not self.stopped:
                self.lost.append(f"job {job.job_id} ({job.state}): {_tail(job) or printable(str(e)).strip()[:500]}")
                self.on_event({"event": "note", "text": f"job {job.job_id} was lost ({job.state}); the others go on"})
            return
        if error is not None and self.failure is None:
            self.failure = error
            self.stop(now=False)

    def _lost(self) -> RunError:
        n = len(self.lost)
        return RunError(
            f"{n} of {len(self.jobs)} SLURM jobs {'were' if n > 1 else 'was'} lost",
            where=self.folder,
            found="; ".join(self.lost[:3]),
            remedy="what is finished is kept: issue the same command again; mend what the log says, or ask for more time or memory",
        )


def _done(job: Any, cluster: str) -> bool:
    """Whether a job has ended. submitit takes a process of this machine that another command started for one that is gone."""
    if cluster == "slurm" or getattr(job, "_process", None) is not None:
        return bool(job.done())
    try:
        os.kill(int(job.job_id), 0)
    except OSError:
        return True
    return bool(job.paths.result_pickle.exists())


def _tail(job: Any) -> str:
    with suppress(OSError, AttributeError, TypeError):
        lines = printable(job.stdout() or "").splitlines()
        return " | ".join(lines[-TAIL_LINES:])[-1000:]
    return ""


def _submitit() -> Any:
    try:
        import submitit
    except ImportError as e:
        remedy = "pip install 'sambench[slurm]'"
        raise UsageError("the slurm backend needs submitit", where="--backend", found="not installed", remedy=remedy) from e
    return submitit


def _submit(submitit: Any, options: Options, places: Sequence[Place], folder: Path) -> list[Any]:
    """The jobs, one array of them."""
    try:
        executor = submitit.AutoExecutor(folder=folder / "jobs", cluster=options.cluster)
        wanted = options.parameters(len(places))
        if options.cluster != "slurm":
            wanted = {k: v for k, v in wanted.items() if not k.startswith("slurm_")}
        executor.update_parameters(**wanted)
        with executor.batch():
            jobs = [executor.submit(place) for place in places]
    except Exception as e:  # submitit raises RuntimeError without sbatch, and its own errors for what sbatch says
        remedy = "issue it where sbatch is, with a --slurm-partition and --slurm-account that you may use"
        found = printable(str(e)).strip()[:500] or type(e).__name__
        raise UsageError("the jobs could not be submitted", where="--backend slurm", found=found, remedy=remedy) from e
    return list(jobs)


def _submitted(submitit: Any, record: Path, options: Options) -> tuple[list[Any], Path]:
    """The jobs of an earlier command, and their folder. Raises UsageError where there are none."""
    try:
        told = json.loads(record.read_text())
        folder, ids = Path(told["folder"]), list(told["jobs"])
    except (OSError, ValueError, KeyError, TypeError) as e:
        remedy = "leave --attach out: the same command submits jobs, and computes what is missing"
        raise UsageError("there are no jobs of this run to attach to", where=record, found=str(e), remedy=remedy) from e
    kind = submitit.SlurmJob if options.cluster == "slurm" else submitit.LocalJob
    return [kind(folder / "jobs", str(i)) for i in ids], folder


BACKEND = Slurm(Options())
