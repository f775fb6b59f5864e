"""Models that misbehave at the picture of 30 columns, or where they are built; see `tests/test_worker_processes.py`."""

from __future__ import annotations

import atexit
import ctypes
import os
import re
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np

from sambench import Prediction
from sambench.device import memory


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no message")


class NotAnException(BaseException):
    """As foreign code raises it (a panic of a Rust extension)."""


def fail(how: str, path: str) -> None:
    if how == "segfault":
        ctypes.string_at(1)
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    elif how == "kill once":
        if not Path(path).exists():
            Path(path).touch()
            os.kill(os.getpid(), signal.SIGKILL)
    elif how == "lose its GPU":  # the first process that comes here: every call of CUDA fails from now on
        if not Path(path).exists():
            Path(path).touch()
            memory.is_lost = lambda device: True
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
    elif how == "leave":
        os._exit(0)
    elif how == "exit":
        sys.exit(0)
    elif how == "memory":
        raise MemoryError("no room for 6 GB")
    elif how == "allocate":
        np.empty(1 << 46)
    elif how == "unprintable":
        raise Unprintable
    elif how == "surrogate":
        raise ValueError("a\udc80b\0c" + 100_000 * "x")
    elif how == "panic":
        raise NotAnException("panicked")
    elif how == "raise":
        raise KeyError("in the model")
    elif how == "raise while":
        if os.environ.get("BAD_MODEL_RAISES"):
            raise KeyError("in the model")
    elif how == "question":
        input("may I? ")
    elif how == "sleep":
        Path(path).touch()
        time.sleep(600)
    elif how == "spin":  # in C, with the interpreter's lock: no other thread of the process runs
        Path(path).touch()
        re.match(r"(a+)+$", 60 * "a" + "b")
    elif how == "vanish":
        shutil.rmtree(path)
    elif how != "nothing":
        raise AssertionError(how)


class Bad:
    def __init__(self, how: str, every: bool, path: str) -> None:
        self.identity = {"bad": 1}
        self.how, self.every, self.path = how, every, path

    def encode(self, image: np.ndarray) -> tuple[int, int]:
        if self.every or image.shape[1] == 30:
            fail(self.how, self.path)
        return image.shape[:2]

    def decode(self, state: tuple[int, int], prompts: list) -> list[Prediction]:
        return [Prediction(np.ones((1, *state), np.bool_), np.ones(1)) for _ in prompts]


def bad(how: str = "nothing", every: bool = False, built: str = "", path: str = "", at_exit: str = "") -> Bad:
    """how: what happens at the odd picture, or at every one. built: what happens here. at_exit: what keeps the process."""
    if path:
        with Path(path + ".builds").open("a") as f:
            f.write(f"{os.getpid()}\n")
    if built:
        fail(built, path)
    if at_exit == "thread":
        threading.Thread(target=time.sleep, args=(600,)).start()
    elif at_exit == "handler":
        atexit.register(time.sleep, 600)
    elif at_exit == "child" and os.fork() == 0:  # it keeps our pipe open
        os.setsid()
        time.sleep(20)
        os._exit(0)
    return Bad(how, every, path)
