"""SLURM: an array of jobs, by submitit, each with one worker that takes shards by leases in the run's folder.

The folder of runs must be one that all nodes see, as must the environment that sambench runs in; see `elsewhere` for what a job
does. A job that SLURM preempts, or that comes to its time limit, is put back into the queue, by SLURM or by submitit, and goes on
at the shards that are missing; one that is lost for good is the run's failure once the others have done what they can. What they
compute stands in the run's folder, so the command that submitted them need not stay: `detach` leaves them, and `attach` finds them
again.
"""

from __future__ import annotations

import json
import shutil
import signal
import sys
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from sambench.engine.backends.elsewhere import Messages, Place
from sambench.engine.backends.local import LocalWorkers
from sambench.engine.backends.processes import STOP_GRACE_S
from sambench.engine.backends.slurm_jobs import SlurmWorkers
from sambench.engine.events import OnEvent
from sambench.engine.worker import Job
from sambench.errors import SambenchError, UsageError, install, unknown_name
from sambench.files.writing import storage_error, write_json
from sambench.sources.models import ResolvedModel
from sambench.text import counted, printable

SUBMITTED = "slurm.json"
TERMINATED_S = 2.0  # from a worker's death by SIGTERM to that of its job
MOST_TIMEOUTS = 20  # how often a job that comes to its time limit is put back into the queue
WARNED_S = 90  # before the time limit
COMMANDS = ("sbatch", "srun", "squeue", "scancel", "scontrol")

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
        wanted |= {"slurm_array_parallelism": n, "slurm_signal_delay_s": min(WARNED_S, 15 * self.time)}
        return {**wanted, "slurm_additional_parameters": {"requeue": True}}


class SlurmPlace(Place):
    """What one job of the array does. It is pickled by submitit, and called on a node.

    SLURM's SIGTERM (before a preemption, after `scontrol requeue` or `scancel`) goes to all processes of a job at once, so that
    workers which die of it are no failure: the place then ends without a result, as one that is lost or will be started again.
    """

    def __call__(self) -> SambenchError | None:
        """As `Place.work`; the submitting command raises what it gives."""
        terminated = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: terminated.set())
        try:
            failure = self.work(terminated, _at_work.append)
        finally:
            _at_work.clear()
        if terminated.is_set() or (failure is not None and terminated.wait(TERMINATED_S)):
            sys.exit(128 + signal.SIGTERM)
        return failure

    def checkpoint(self) -> Any:
        """Called by submitit on SLURM's warning, before it puts the job back into the queue, to do the same again: the step at hand
        ends and is stored, if that does not take too long."""
        from submitit.helpers import DelayedSubmission

        processes = [w for workers in _at_work for w in workers.workers]
        for w in processes:
            w.stop()
        deadline = time.monotonic() + STOP_GRACE_S
        while any(w.process.poll() is None for w in processes) and time.monotonic() < deadline:
            time.sleep(0.1)
        return DelayedSubmission(self)


_at_work: list[LocalWorkers] = []  # of this process, for `checkpoint`, which a signal calls


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
        missing = [name for name in COMMANDS if shutil.which(name) is None]
        if self.options.cluster == "slurm" and missing:
            found = f"no {', '.join(missing)} on this machine's PATH"
            raise UsageError("this is no SLURM cluster", where="--backend slurm", found=found, remedy="issue it on a login node")

    def start(self, job: Job, places: Sequence[str], log_dir: Path, on_event: OnEvent) -> SlurmWorkers:
        """See `Backend`. Raises UsageError where submitit or SLURM is not there."""
        submitit = _submitit()
        # An identity is waited for.
        options = self.options if job.cells else replace(self.options, detach=False, attach=False)
        record = log_dir / SUBMITTED
        if options.attach:
            jobs, folder = _submitted(submitit, record, options)
            return _workers(jobs, Messages(job, folder, len(jobs), on_event), record, options)
        folder = (log_dir / f"slurm-{uuid.uuid4().hex[:12]}").resolve()
        try:
            folder.mkdir(parents=True)
        except OSError as e:
            raise storage_error(e, folder) from e
        job = replace(job, devices=max(1, options.gpus))
        todo = [SlurmPlace(job.to_json(), device, str(folder), i) for i, device in enumerate(places)]
        jobs = _submit(submitit, options, todo, folder)
        if job.cells:
            write_json(record, {"folder": str(folder), "jobs": [j.job_id for j in jobs], "options": asdict(options)})
        ids = ", ".join(dict.fromkeys(str(j.job_id).partition("_")[0] for j in jobs))
        on_event({"event": "note", "text": f"submitted {counted(len(jobs), 'job')} ({ids}); logs: {folder}"})
        if options.detach:
            text = "not waiting: `sambench status --watch` follows them, and the same command with --attach finishes the run"
            on_event({"event": "note", "text": text})
        return _workers(jobs, Messages(job, folder, len(jobs), on_event), record, options)


def _workers(jobs: Sequence[Any], messages: Messages, record: Path, options: Options) -> SlurmWorkers:
    return SlurmWorkers(jobs, messages, record, cluster=options.cluster, detach=options.detach)


def _submitit() -> Any:
    try:
        import submitit
    except ImportError as e:
        message = "the slurm backend needs submitit"
        raise UsageError(message, where="--backend", found="not installed", remedy=install("slurm")) from e
    return submitit


def _submit(submitit: Any, options: Options, places: Sequence[SlurmPlace], folder: Path) -> list[Any]:
    """The jobs, one array of them."""
    try:
        often = {"slurm_max_num_timeout": MOST_TIMEOUTS} if options.cluster == "slurm" else {}
        executor = submitit.AutoExecutor(folder=folder / "jobs", cluster=options.cluster, **often)
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
