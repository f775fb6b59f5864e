"""One worker process as its parent sees it: started, listened to, told to stop, closed, and explained where it died."""

from __future__ import annotations

import errno
import itertools
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO, cast

from sambench.device.precision import CUBLAS_WORKSPACE
from sambench.engine.events import Event
from sambench.engine.threads import KEEP_MEMORY, PYTHON_VARIABLES, THREAD_VARIABLES
from sambench.engine.worker import Job
from sambench.errors import RunError
from sambench.files.writing import storage_error

LOG_TAIL_LINES = 12
LOG_TAIL_BYTES = 1 << 16
LAST_WORDS = ("done", "described", "stopped", "fatal")
# A process that has told how it ended may still be held by a thread or an exit handler of the model.
EXIT_GRACE_S = 10.0
CLOSE_GRACE_S = 5.0
# From being asked to stop to the end of the step at hand: C code that never comes back does not see that it was asked.
STOP_GRACE_S = 30.0
PIPE_GRACE_S = 1.0  # a dead process's messages, where a child of the model's keeps the pipe open

Inbox = queue.Queue[tuple["WorkerProcess", Event | None]]
_numbers = itertools.count()


@dataclass(eq=False)
class WorkerProcess:
    """ahead: images that it reads while one is at work. at: (cell id, image id) that was begun and is not told of yet. finished:
    images that it has told of.

    last_word: when it told how it ended; asked: when it was told to stop; dead_since: when it was first seen to be gone (all by the
    monotonic clock).
    """

    process: subprocess.Popen[str]
    log: Path
    device: str
    inbox: Inbox
    ahead: int = 0
    ready: bool = False
    at: tuple[str, str] | None = None
    finished: int = 0
    last_image: str = ""
    last_word: float | None = None
    asked: float | None = None
    dead_since: float | None = None
    ended: bool = False

    def begin_again(self, ahead: int, inbox: Inbox) -> None:
        """It has ended one job, and is given another: what it tells from now on goes to that inbox."""
        self.ready, self.finished, self.last_image, self.at = False, 0, "", None
        self.last_word = self.asked = self.dead_since = None
        self.ended, self.ahead, self.inbox = False, ahead, inbox

    def send(self, line: str) -> None:
        assert self.process.stdin is not None
        with suppress(OSError, ValueError):
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def stop(self) -> None:
        """Ask it to end after the step at hand; one whose model is not built yet has nothing to keep, and is killed."""
        if self.ended:
            return
        if self.ready:
            self.asked = self.asked or time.monotonic()
            self.send("stop")
        else:
            self.kill()

    def kill(self) -> None:
        """End it and its children at once."""
        if self.process.poll() is None:
            try:
                os.killpg(self.process.pid, signal.SIGKILL)  # it leads a session of its own
            except (AttributeError, OSError):
                self.process.kill()

    def overdue(self) -> bool:
        """Whether it has told how it ended, and is still there after the grace."""
        return self.last_word is not None and time.monotonic() - self.last_word > EXIT_GRACE_S and self.process.poll() is None

    def stuck(self) -> bool:
        """Whether it was asked to stop, has not told that it does, and is still there after the grace."""
        waits = self.asked is not None and self.last_word is None
        return waits and time.monotonic() - (self.asked or 0) > STOP_GRACE_S and self.process.poll() is None

    def silent(self) -> bool:
        """Whether it is gone and its pipe does not close."""
        if self.process.poll() is None:
            return False
        self.dead_since = self.dead_since or time.monotonic()
        return time.monotonic() - self.dead_since > PIPE_GRACE_S

    def cause(self) -> str:
        """How it ended: the signal's name, or the exit code."""
        code = self.process.returncode
        if code is None or code >= 0:
            return f"exit code {code}"
        try:
            return f"signal {signal.Signals(-code).name}"
        except ValueError:
            return f"signal {-code}"

    def likely(self) -> str:
        """The likely cause, and what to do about that."""
        if self.cause() == f"signal {signal.Signals.SIGKILL.name}":
            return "signal 9 is mostly the kernel's out-of-memory killer (`dmesg` says so): try fewer --workers, or a smaller model"
        return "out of memory is a common cause, try fewer --workers"

    def log_tail(self, most: int = LOG_TAIL_LINES) -> list[str]:
        """The log's last lines; of a crash of the interpreter the first ones, which say where it was."""
        try:
            with self.log.open("rb") as f:
                f.seek(max(0, self.log.stat().st_size - LOG_TAIL_BYTES))
                lines = f.read().decode(errors="replace").splitlines()
        except OSError:
            return []
        crash = next((i for i, line in enumerate(lines) if line.startswith("Fatal Python error")), None)
        lines = lines[-most:] if crash is None else lines[crash : crash + most]
        return [line[:300] for line in lines if not line.startswith("Extension modules")]

    def died(self, found: str = "", images: Sequence[str] = ()) -> RunError:
        """The error of a run that ends because this process died. images: on which others died, too, instead of the one at hand."""
        tail = "\n    ".join(self.log_tail())
        if images:
            where = f"at images {', '.join(map(repr, images))}"
        elif self.at:
            where = f"at image {self.at[1]!r}"
        else:
            where = f"after image {self.last_image!r}" if self.last_image else "before its first image"
        return RunError(
            f"a worker process died ({self.cause()})" + (f" on {self.device}" if self.device != "auto" else ""),
            where=where,
            found=found or (f"log {self.log}:\n    {tail}" if tail else "nothing in its log"),
            remedy=f"what is finished is kept: issue the same command again; {self.likely()}",
        )


def start(job: Job, device: str, log_dir: Path, inbox: Inbox) -> WorkerProcess:
    """A process at work on the job. Its messages go to the inbox, and None when it is gone. Raises RunError."""
    env = {**CUBLAS_WORKSPACE, **os.environ, **PYTHON_VARIABLES} | dict.fromkeys(THREAD_VARIABLES, "1") | KEEP_MEMORY
    log = log_dir / f"worker-{os.getpid()}-{next(_numbers)}.log"
    with _new_log(log) as err:
        process = subprocess.Popen(
            [sys.executable, "-m", "sambench.engine.serve"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=err,
            env=env,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # a Ctrl-C reaches the parent alone, which then asks the workers to stop
        )
    worker = WorkerProcess(process, log, device, inbox, job.ahead)
    worker.send(job.to_json())
    threading.Thread(target=_listen, args=(worker,), daemon=True).start()
    return worker


def _new_log(path: Path) -> TextIO:
    for _ in range(3):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return path.open("w")
        except FileNotFoundError:  # another command has just removed the folder, which was empty
            continue
        except OSError as e:
            raise storage_error(e, path) from e
    raise storage_error(FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)), path)


def _listen(worker: WorkerProcess) -> None:
    assert worker.process.stdout is not None
    with suppress(OSError, ValueError):
        for line in worker.process.stdout:
            with suppress(ValueError):
                message = json.loads(line)
                if isinstance(message, dict) and "event" in message:
                    worker.inbox.put((worker, cast("Event", message)))
    worker.process.wait()
    worker.inbox.put((worker, None))


def close(workers: Sequence[WorkerProcess], log_dir: Path) -> None:
    """End whatever is left of them, within CLOSE_GRACE_S for all; remove logs without a word, and their folder if that was all."""
    for worker in workers:
        with suppress(OSError, ValueError):
            if worker.process.stdin:
                worker.process.stdin.close()
    deadline = time.monotonic() + CLOSE_GRACE_S
    for worker in workers:
        with suppress(subprocess.TimeoutExpired):
            worker.process.wait(timeout=max(0.0, deadline - time.monotonic()))
        worker.kill()
        worker.process.wait()
    for worker in workers:
        with suppress(OSError):
            if not worker.log.stat().st_size:
                worker.log.unlink()
    with suppress(OSError):
        log_dir.rmdir()
