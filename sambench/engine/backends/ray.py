"""Ray: an actor for each device of a cluster, with one worker that takes shards by leases in the run's folder.

The folder of runs must be one that all nodes see, as must the environment that sambench runs in; see `elsewhere` for what an actor
does. All actors are asked for at once, with the GPUs and CPUs of each, so that a cluster that grows does; those that are not placed
yet when the work is done are dropped. An actor whose node or process dies is replaced, wherever there is room, and its shards are
taken again; one that is lost over and over without an image is the run's failure.
"""

from __future__ import annotations

import os
import socket
import threading
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from sambench.engine.backends.elsewhere import Messages, Place
from sambench.engine.events import OnEvent
from sambench.engine.worker import Job
from sambench.errors import RunError, SambenchError, UsageError, install, message_of, unknown_name
from sambench.files.writing import storage_error
from sambench.sources.models import ResolvedModel
from sambench.text import counted

POLL_S = 0.5
MOST_LOST = 3  # times in a row that a worker is lost without an image
WAITS_S = 30.0  # for room in the cluster, before that is noted
CONNECT_S = 10.0
WHERE = "--backend ray"


@dataclass(frozen=True)
class Options:
    """address: of the cluster, as for `ray.init`. gpus, cpus: of each worker; None: a GPU where the cluster has some; one CPU."""

    address: str = "auto"
    gpus: int | None = None
    cpus: int | None = None


@dataclass(frozen=True)
class RayPlace(Place):
    """What one actor does. environment, at: the variables and the folder of the command, for names that are relative to them."""

    environment: Mapping[str, str]
    at: str

    def run(self) -> SambenchError | None:
        """As `Place.work`."""
        os.environ.update(self.environment)
        with suppress(OSError):  # a node need not have it
            os.chdir(self.at)
        return self.work(threading.Event())


class Worker:
    """The actor."""

    def run(self, place: RayPlace) -> SambenchError | None:
        return place.run()


class Ray:
    """A `Backend`: an actor a place. places: as many as `workers` says, else as the cluster has room for at the moment."""

    def __init__(self, options: Options) -> None:
        self.options = options

    def with_options(self, options: Mapping[str, Any]) -> Ray:
        """The backend with options of that name. Raises UsageError for an unknown one, or a value that does not fit."""
        known = [f.name for f in fields(Options)]
        for name in options:
            if name not in known:
                raise unknown_name("option of the ray backend", name, known, where=WHERE)
        made = replace(self.options, **options)
        if (made.gpus is not None and made.gpus < 0) or (made.cpus is not None and made.cpus < 1):
            found = f"gpus {made.gpus}, cpus {made.cpus}"
            raise UsageError("what a worker is to get does not fit", where=WHERE, expected="gpus from 0, cpus from 1", found=found)
        return Ray(made)

    def device(self, asked: str) -> str:
        """The device that a model is resolved for, on a machine that may have none: `cuda:0` of its own in every actor with a GPU.
        Raises UsageError without a cluster."""
        if asked != "auto" and not asked.startswith("cuda"):
            return asked
        gpus = self.options.gpus
        some = asked != "auto" or (_room(_connected(self.options.address)).get("GPU", 0) >= 1 if gpus is None else gpus > 0)
        return "cuda:0" if some else "cpu"

    def places(self, model: ResolvedModel, devices: Sequence[str], workers: int | None) -> list[str]:
        """See `Backend`. Raises UsageError where the cluster has no room, and nobody says how many it will have."""
        device = model.spec.device
        if workers is None:
            each, room = self._each(device), _room(_connected(self.options.address))
            workers = int(min(room.get(name, 0) // n for name, n in each.items()))
            if not workers:
                found = ", ".join(f"{n:g} {name}" for name, n in sorted(room.items())) or "nothing"
                expected = " and ".join(f"{n:g} {name}" for name, n in each.items()) + " for each worker"
                remedy = "--workers N, if the cluster is one that grows"
                raise UsageError("the Ray cluster has no room", where=WHERE, expected=expected, found=found, remedy=remedy)
        return [device] * workers

    def _each(self, device: str) -> dict[str, float]:
        """What each worker asks for, by the resource's name."""
        gpus = 0 if not device.startswith("cuda") else 1 if self.options.gpus is None else self.options.gpus
        return {"CPU": self.options.cpus or 1, **({"GPU": gpus} if gpus else {})}

    def check(self, workers: int | None) -> None:
        """Raise UsageError where there is no cluster."""
        _connected(self.options.address)

    def start(self, job: Job, places: Sequence[str], log_dir: Path, on_event: OnEvent) -> RayWorkers:
        """See `Backend`. Raises UsageError without a cluster."""
        ray = _connected(self.options.address)
        folder = (log_dir / f"ray-{uuid.uuid4().hex[:12]}").resolve()
        try:
            folder.mkdir(parents=True)
        except OSError as e:
            raise storage_error(e, folder) from e
        variables = {k: v for k, v in os.environ.items() if k.startswith("SAMBENCH_")}
        each = self._each(places[0])
        if not job.cells:  # its model is only described
            each["CPU"] = 1
        job = replace(job, devices=each.get("GPU", 1))
        todo = [RayPlace(job.to_json(), device, str(folder), i, variables, os.getcwd()) for i, device in enumerate(places)]
        asked = " and ".join(f"{n:g} {name}" for name, n in each.items())
        n = len(todo)
        on_event({"event": "note", "text": f"asked Ray for {counted(n, 'worker')} ({asked} each); logs: {folder}"})
        return RayWorkers(ray, todo, each, Messages(job, folder, n, on_event))


@dataclass
class _At:
    """A worker in the cluster. lost: how many before it in its place were, in a row, without an image."""

    place: RayPlace
    actor: Any
    lost: int = 0


class RayWorkers:
    """The actors of one run as the command that asked for them sees them."""

    grace_s = 60.0

    def __init__(self, ray: Any, places: Sequence[RayPlace], each: Mapping[str, float], messages: Messages) -> None:
        self.ray, self.each, self.messages = ray, each, messages
        self.failure: SambenchError | None = None
        self.stopped = self.noted_room = False
        self.began = time.monotonic()
        given = {"num_cpus": each["CPU"], "num_gpus": each.get("GPU", 0), "max_restarts": 0, "scheduling_strategy": "SPREAD"}
        self.kind = ray.remote(Worker).options(**given)
        self.at: dict[Any, _At] = {}  # by what will be its result
        for place in places:
            self._begin(place, 0)

    @property
    def running(self) -> bool:
        """See `Workers`, as for all that has no underscore."""
        return bool(self.at)

    def wait(self) -> None:
        ready, _ = self.ray.wait(list(self.at), num_returns=1, timeout=POLL_S)
        self.messages.listen()
        for result in ready:
            self._ended(result, self.at.pop(result))
        self._note_room()

    def stop(self, *, now: bool) -> None:
        self.stopped = True
        self.messages.stop()
        self._drop(only_waiting=not now)

    def close(self) -> None:
        self._drop(only_waiting=False)
        with suppress(OSError):
            (self.messages.folder / "logs").rmdir()
        if _OURS:
            self.ray.shutdown()
            _OURS.clear()

    def _begin(self, place: RayPlace, lost: int) -> None:
        actor = self.kind.remote()
        self.at[actor.run.remote(place)] = _At(place, actor, lost)

    def _ended(self, result: Any, at: _At) -> None:
        try:
            error = self.ray.get(result)
        except self.ray.exceptions.RayTaskError as e:  # an exception of ours
            error = RunError("a worker met an error that is not the input's", found=message_of(e.cause), where=self.messages.folder)
        except self.ray.exceptions.RayError as e:
            self._lost(at, e)
            return
        if error is not None:
            self._fail(error)
        elif not self.stopped:  # it has seen that all is stored: those that wait for room are not needed any more
            self._drop(only_waiting=True)

    def _lost(self, at: _At, e: Exception) -> None:
        number = at.place.number
        self.messages.lost(number)
        if self.stopped or self.failure:
            return
        lost = 1 if self.messages.images[number] else at.lost + 1
        why = " ".join(message_of(e).split())[:300]
        if lost >= MOST_LOST:
            message = f"a worker was lost {lost} times in a row, each time without an image"
            remedy = "what is finished is kept: issue the same command again; out of memory is a common cause, see the logs of Ray"
            self._fail(RunError(message, where=self.messages.folder, found=why, remedy=remedy))
            return
        self.messages.on_event({"event": "note", "text": f"worker {number} was lost; another one is asked for in its place: {why}"})
        self._begin(replace(at.place, number=self.messages.more()), lost)

    def _fail(self, error: SambenchError) -> None:
        self.failure = self.failure or error
        self.messages.stop()
        self._drop(only_waiting=True)

    def _drop(self, *, only_waiting: bool) -> None:
        for result, at in list(self.at.items()):
            if not only_waiting or not self.messages.begun(at.place.number):
                with suppress(Exception):
                    self.ray.kill(at.actor)
                del self.at[result]
                self.messages.lost(at.place.number)

    def _note_room(self) -> None:
        if self.noted_room or not self.at or time.monotonic() - self.began < WAITS_S:
            return
        waiting = sum(not self.messages.begun(at.place.number) for at in self.at.values())
        if waiting:
            self.noted_room = True
            room = ", ".join(f"{n:g} {name}" for name, n in sorted(_room(self.ray).items())) or "nothing"
            asked = " and ".join(f"{n:g} {name}" for name, n in self.each.items())
            text = f"{waiting} of {len(self.at)} workers wait for room: {asked} each, of a cluster with {room}"
            self.messages.on_event({"event": "note", "text": text})


def _room(ray: Any) -> dict[str, float]:
    """The CPUs and GPUs of the cluster, of nodes that are there now."""
    return {k: v for k, v in ray.cluster_resources().items() if k in ("CPU", "GPU")}


def _connected(address: str) -> Any:
    """Ray, connected to the cluster. Raises UsageError."""
    try:
        import ray
    except ImportError as e:
        message = "the ray backend needs ray"
        raise UsageError(message, where="--backend", found="not installed", remedy=install("ray")) from e
    if ray.is_initialized():
        return ray
    host, _, port = address.rpartition(":")
    try:
        if host and port.isdigit() and "/" not in host:  # Ray itself tries for a minute
            socket.create_connection((host, int(port)), timeout=CONNECT_S).close()
        ray.init(address=address, log_to_driver=False, logging_level="error", configure_logging=True)
    except Exception as e:  # OSError, ConnectionError, RuntimeError of another version, ValueError of an address
        remedy = "issue it on a node of a cluster (`ray start --head` makes one of this machine), or name it: --address HOST:6379"
        found = " ".join(message_of(e).split())[:500]
        raise UsageError("there is no Ray cluster", where=f"{WHERE} --address {address}", found=found, remedy=remedy) from e
    _OURS.append(address)
    return ray


_OURS: list[str] = []  # the address of the connection that was made here; one that the caller has is left alone

BACKEND = Ray(Options())
