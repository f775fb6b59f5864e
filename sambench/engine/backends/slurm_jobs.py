"""The jobs of a run on a SLURM cluster, as the command that submitted them (or came back to them) sees them."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sambench.engine.backends.elsewhere import Messages
from sambench.errors import RunError, SambenchError
from sambench.text import printable

POLL_S = 0.5
STATES_EVERY_S = 5.0  # how often the scheduler is asked
TAIL_LINES = 12
RESULT_S = 15.0  # from a job's end to its result, on a network's disk
OVER = (
    "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "FORGOTTEN", "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "REVOKED",
    "TIMEOUT",
)  # fmt: skip
USUAL_REASONS = ("", "None", "Priority", "Resources", "BeginTime", "JobArrayTaskLimit", "Prolog", "Cleaning")


class SlurmWorkers:
    """The jobs of one run as the submitting command sees them. states: of each job, as SLURM had it last. whole:
    one has ended by itself, so that all is stored. record: the file that
    names them for another command. detach: they are left alone."""

    grace_s = 60.0

    def __init__(self, jobs: Sequence[Any], messages: Messages, record: Path, *, cluster: str, detach: bool) -> None:
        self.jobs, self.messages, self.record, self.cluster, self.detach = list(jobs), messages, record, cluster, detach
        self.ended: set[int] = set()
        self.states: dict[int, State] = {}
        self.over_since: dict[int, float] = {}
        self.noted: set[str] = set()
        self.lost: list[str] = []
        self.failure: SambenchError | None = None
        self.stopped = self.whole = False
        self.asked_at = float("-inf")

    @property
    def running(self) -> bool:
        """See `Workers`, as for all that has no underscore."""
        return not self.detach and len(self.ended) < len(self.jobs)

    def wait(self) -> None:
        time.sleep(POLL_S)
        self.messages.listen()
        for i, job in enumerate(self.jobs):
            if i not in self.ended and job.paths.result_pickle.exists():
                self._result(i)
        if self.cluster != "slurm":
            self._look_here()
        elif time.monotonic() - self.asked_at >= STATES_EVERY_S:
            self.asked_at = time.monotonic()
            self._look()
        if not self.running and self.lost and self.failure is None and not self.stopped:
            self.failure = self._lost()

    def stop(self, *, now: bool) -> None:
        self.stopped = True
        self.messages.stop()
        for i in range(len(self.jobs)):
            waits = not self.messages.begun(i) or self.states.get(i, FORGOTTEN).name == "PENDING"
            if i not in self.ended and (now or waits):
                self._cancel(i)

    def close(self) -> None:
        if self.detach and self.failure is None and not self.stopped:
            return
        for i in range(len(self.jobs)):
            if i not in self.ended:
                self._cancel(i)
        self.record.unlink(missing_ok=True)

    def _cancel(self, i: int) -> None:
        self.ended.add(i)
        self.jobs[i].cancel(check=False)

    def _result(self, i: int) -> None:
        """Take what a job gave: nothing, or the error of its worker."""
        self.messages.listen()
        self.ended.add(i)
        job = self.jobs[i]
        try:
            error = job.result()
        except Exception as e:  # noqa: BLE001 - whatever submitit makes of what was raised there
            self._note_lost(i, printable(str(e)).strip())
            return
        if error is not None and self.failure is None:
            self.failure = error
            self.stop(now=False)
        elif error is None and not self.stopped:  # it has seen that all is stored
            self.whole = True
            self.asked_at = float("-inf")

    def _look(self) -> None:
        """Ask SLURM for the jobs' states: which are lost, put back into the queue, or kept waiting."""
        found = slurm_states([job.job_id for job in self.jobs])
        if found is None:  # the controller is away: what runs goes on
            return
        for i, job in enumerate(self.jobs):
            if i in self.ended:
                continue
            state, before = found.get(job.job_id, FORGOTTEN), self.states.get(i)
            self.states[i] = state
            if state.name in OVER:
                since = self.over_since.setdefault(i, time.monotonic())
                if time.monotonic() - since >= RESULT_S and not job.paths.result_pickle.exists():
                    self.ended.add(i)
                    self._note_lost(i, "")
                continue
            self.over_since.pop(i, None)
            if state.name == "PENDING" and self.whole:  # it is not needed any more
                self._cancel(i)
            elif state.name == "PENDING":
                self._pending(i, state, before)

    def _pending(self, i: int, state: State, before: State | None) -> None:
        job = self.jobs[i].job_id
        if before is not None and before.name not in ("PENDING", FORGOTTEN.name):
            self.messages.lost(i)
            self._note(f"job {job} was put back into the queue; it was on {before.node or 'no node'}")
        if state.reason not in USUAL_REASONS:
            self._note(f"job {job} waits in the queue: {state.reason}")

    def _look_here(self) -> None:
        for i, job in enumerate(self.jobs):
            if i not in self.ended and _done_here(job) and not job.paths.result_pickle.exists():
                self.ended.add(i)
                self._note_lost(i, "")

    def _note_lost(self, i: int, found: str) -> None:
        self.messages.lost(i)
        if self.stopped:
            return
        job, state = self.jobs[i], self.states.get(i)
        name = state.name if state else str(job.state)
        self.lost.append(f"job {job.job_id} ({name}): {_tail(job) or found[:500] or 'nothing in its log'}")
        self._note(f"job {job.job_id} was lost ({name}); the others go on")

    def _note(self, text: str) -> None:
        if text not in self.noted:
            self.noted.add(text)
            self.messages.on_event({"event": "note", "text": text})

    def _lost(self) -> RunError:
        n = len(self.lost)
        return RunError(
            f"{n} of {len(self.jobs)} SLURM jobs {'were' if n > 1 else 'was'} lost",
            where=self.messages.folder,
            found="; ".join(self.lost[:3]),
            remedy="what is finished is kept: issue the same command again; mend what the log says, or ask for more time or memory",
        )


@dataclass(frozen=True)
class State:
    """Of a job, in SLURM's words. reason: why it waits. node: on which it runs or ran."""

    name: str
    reason: str = ""
    node: str = ""


FORGOTTEN = State("FORGOTTEN")  # SLURM forgets a job some minutes after its end


def slurm_states(job_ids: Sequence[str]) -> dict[str, State] | None:
    """The states of jobs by id, as squeue has them: unlike sacct it needs no accounting database. A job that is absent has ended
    long ago. None where squeue does not answer."""
    arrays = ",".join(dict.fromkeys(str(i).partition("_")[0] for i in job_ids))
    command = ["squeue", "--noheader", "--array", "--states=all", "--format=%i|%T|%r|%N", f"--jobs={arrays}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return {} if "Invalid job id" in done.stderr else None
    rows = (line.split("|") for line in done.stdout.splitlines())
    return {row[0].strip(): State(*row[1:]) for row in rows if len(row) == 4}


def _done_here(job: Any) -> bool:
    """Whether a process of this machine has ended. submitit takes one that another command started for one that is gone."""
    if getattr(job, "_process", None) is not None:
        return bool(job.done())
    try:
        os.kill(int(job.job_id), 0)
    except OSError:
        return True
    return False


def _tail(job: Any) -> str:
    with suppress(OSError, AttributeError, TypeError):
        lines = printable(job.stdout() or "").splitlines()
        return " | ".join(lines[-TAIL_LINES:])[-1000:]
    return ""
