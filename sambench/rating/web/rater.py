"""The rater's way: name and consent, guidelines, practice, then the queue. A step that is not done yet is where every link leads.

What a browser gets of a job is a random slot and pictures without name, date or size of their own: no key, job id, file name, or
anything that depends on the model.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from sambench.errors import UsageError
from sambench.rating.database import Database
from sambench.rating.drawing import Answer, Slot, Stand
from sambench.rating.intake import TYPES
from sambench.rating.overview import progress
from sambench.rating.practice import EXAMPLES, PRACTICE, views_of
from sambench.rating.queue import Queue, Rater
from sambench.rating.scale import AMBIGUITY, BANDS, QUESTIONS, band_of
from sambench.rating.views import ALL_VIEWS, VIEWS
from sambench.rating.web.http import Refused, form, page, wants_json

STEPS = ("welcome", "guidelines", "practice", "rate")
LABELS = {"image": "Image", "outline": "Outline", "overlay": "Filled", "cutout": "Cut-out", "zoom": "Zoom"}
SECRET = re.compile("[A-Za-z0-9_-]{1,64}")  # tokens, slots, attempts
_MOST_SECONDS = 86_400.0
_FRESH_S = 3.0
_PICTURE = {"cache-control": "private, max-age=3600, immutable"}  # no ETag and no date: they would tell when it was rendered

Handler = Callable[[Request, Rater], Awaitable[Response]]


def _for_rater(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    """A route whose first part is a rater's token."""

    async def run(request: Request) -> Response:
        queue: Queue = request.app.state.queue
        token = request.path_params["token"]
        found = await run_in_threadpool(queue.rater, token) if SECRET.fullmatch(token) else None
        if found is None:
            text = "It was mistyped, or closed by whoever invited you. Ask them for a new one."
            raise Refused(403, "This link does not work", text)
        return await handler(request, found)

    return run


def step_of(rater: Rater) -> str:
    """The first of STEPS that is not done."""
    done = (rater.consented_at, rater.guided_at, rater.practised_at)
    return STEPS[next((n for n, at in enumerate(done) if at is None), len(done))]


def _to(rater: Rater, step: str) -> Response:
    return RedirectResponse(f"/r/{rater.token}/{step}", 303)


def _page(request: Request, rater: Rater, template: str, **values: Any) -> Response:
    common = {
        "title": request.app.state.settings.title,
        "base": f"/r/{rater.token}",
        "bands": BANDS,
        "questions": QUESTIONS,
        "ambiguity": AMBIGUITY,
        "views": [(view, LABELS[view]) for view in VIEWS],
        "step": STEPS.index(step_of(rater)),
    }
    return page(template, common | values)


async def _start(request: Request, rater: Rater) -> Response:
    return _to(rater, step_of(rater))


# --- before the queue


async def _welcome(request: Request, rater: Rater) -> Response:
    if request.method == "GET":
        return _page(request, rater, "welcome.html", name=rater.name or rater.label, error="")
    fields = await form(request)
    queue: Queue = request.app.state.queue
    name = fields.get("name", "")
    try:
        if fields.get("consent") != "yes":
            raise UsageError("Ratings can be stored only with your consent.")
        await run_in_threadpool(queue.consent, rater.rater_id, name)
    except UsageError as e:
        error = e.message if e.expected is None else f"Please give a name of {e.expected}."
        return _page(request, rater, "welcome.html", name=name[:200], error=error)
    return _to(rater, "guidelines")


async def _guidelines(request: Request, rater: Rater) -> Response:
    if rater.consented_at is None:
        return _to(rater, "welcome")
    if request.method == "GET":
        examples = [(n, task, band_of(task.low)) for n, task in enumerate(EXAMPLES)]
        return _page(request, rater, "guidelines.html", examples=examples, again=rater.practised_at is not None)
    await form(request)
    queue: Queue = request.app.state.queue
    await run_in_threadpool(queue.guided, rater.rater_id)
    return _to(rater, "practice")


async def _practice(request: Request, rater: Rater) -> Response:
    if rater.guided_at is None:
        return _to(rater, step_of(rater))
    queue: Queue = request.app.state.queue
    if request.method == "GET":
        given = await run_in_threadpool(queue.practised, rater.rater_id)
        n = next((n for n in range(len(PRACTICE)) if n not in given), None)
        if n is None:
            return _to(rater, "rate")
        state = {"mode": "practice", "slots": [_practice_slot(rater, n)], "n_rated": n, "n_all": len(PRACTICE)}
        return _page(request, rater, "rate.html", state=state, mode="practice", paused=False, break_min=0)
    fields = await form(request)
    n, score = _whole(fields.get("slot", ""), 0, len(PRACTICE) - 1), _whole(fields.get("score", ""), 1, 10)
    if n is None or score is None:
        raise Refused(400, "That is no rating", "A whole number from 1 to 10 was expected.")
    await run_in_threadpool(queue.practise, rater.rater_id, n, score, len(PRACTICE))
    given, task = await run_in_threadpool(queue.practised, rater.rater_id), PRACTICE[n]
    kept = given[n]
    verdict = {"right": task.low <= kept <= task.high, "yours": kept, "answer": task.answer, "why": task.why}
    following = n + 1 if n + 1 < len(PRACTICE) else None
    if wants_json(request):
        slots = [] if following is None else [_practice_slot(rater, following)]
        return JSONResponse({"mode": "practice", "verdict": verdict, "slots": slots, "n_rated": n + 1, "n_all": len(PRACTICE)})
    return _page(request, rater, "answer.html", verdict=verdict, following=following)


def _practice_slot(rater: Rater, n: int) -> dict[str, Any]:
    pictures = {view: f"/r/{rater.token}/try/practice/{n}/{view}" for view in ALL_VIEWS}
    return {"slot": str(n), "round": 0, "seq": n + 1, "views": pictures}


async def _try(request: Request, rater: Rater) -> Response:
    """A picture of an example or of a practice job."""
    tasks = {"example": EXAMPLES, "practice": PRACTICE}.get(request.path_params["kind"], ())
    n, view = _whole(request.path_params["n"], 0, len(tasks) - 1), request.path_params["view"]
    if n is None or view not in ALL_VIEWS:
        raise Refused(404, "No such picture", "Reload the page.")
    data = await run_in_threadpool(views_of, tasks[n])
    return Response(data[view], media_type="image/jpeg", headers=_PICTURE)


# --- the queue


async def _rate(request: Request, rater: Rater) -> Response:
    if request.method == "GET":
        if step_of(rater) != "rate":
            return _to(rater, step_of(rater))
        state = await _state(request, rater)
        values = {"state": state, "mode": "rate", "paused": state["paused"], "break_min": request.app.state.settings.break_min}
        return _page(request, rater, "rate.html" if state["slots"] and not state["paused"] else "rest.html", **values)
    _refuse_early(rater)
    answer = _answer(await form(request))
    queue: Queue = request.app.state.queue
    outcome, score, stand = await run_in_threadpool(queue.answer, rater.rater_id, answer)
    if outcome == "unknown":
        raise Refused(404, "That mask is not yours", "Reload the page to see the one that is.")
    if not wants_json(request):
        return _to(rater, "rate")
    return JSONResponse(await _state(request, rater, stand) | {"outcome": outcome, "score": score})


async def _undo(request: Request, rater: Rater) -> Response:
    _refuse_early(rater)
    slot = (await form(request)).get("slot", "")
    queue: Queue = request.app.state.queue
    undone, stand = await run_in_threadpool(queue.undo, rater.rater_id, slot if SECRET.fullmatch(slot) else "")
    if not wants_json(request):
        return _to(rater, "rate")
    return JSONResponse(await _state(request, rater, stand) | {"outcome": "undone" if undone else "kept"})


async def _stand(request: Request, rater: Rater) -> Response:
    """Where the rater stands, for a page that comes back to the front or to the network."""
    _refuse_early(rater)
    return JSONResponse(await _state(request, rater))


def _refuse_early(rater: Rater) -> None:
    """Raise Refused where the queue is not open to a rater yet."""
    if step_of(rater) != "rate":
        raise Refused(403, "Not yet", "The steps before come first: open your link again.")


async def _state(request: Request, rater: Rater, stand: Stand | None = None) -> dict[str, Any]:
    queue: Queue = request.app.state.queue
    if stand is None:
        stand = await run_in_threadpool(queue.stand, rater.rater_id)
    done, wanted = await run_in_threadpool(_progress, request.app.state.database, round(time.monotonic() / _FRESH_S))
    last = None if stand.last is None else {"slot": stand.last[0], "score": stand.last[1]}
    return {
        "mode": "rate",
        "slots": [_slot(rater, slot) for slot in stand.slots],
        "n_rated": stand.n_rated,
        "share": math.floor(100 * done / wanted) if wanted else 100,
        "last": last,
        "paused": stand.is_paused,
    }


@lru_cache(maxsize=8)
def _progress(database: Database, moment: int) -> tuple[int, int]:
    """`overview.progress`, asked once in _FRESH_S."""
    return progress(database)


def _slot(rater: Rater, slot: Slot) -> dict[str, Any]:
    pictures = {view: f"/r/{rater.token}/view/{slot.slot}/{view}" for view in ALL_VIEWS}
    return {"slot": slot.slot, "round": slot.round, "seq": slot.seq, "views": pictures}


async def _view(request: Request) -> Response:
    """A picture of a job that a rater was given, with as many bytes as that of any other model. Most requests are of these: all of
    it is one step of a thread.
    """
    token, slot, name = (request.path_params[key] for key in ("token", "slot", "view"))
    if name not in ALL_VIEWS or not SECRET.fullmatch(token) or not SECRET.fullmatch(slot):
        raise Refused(404, "No such picture", "Reload the page.")
    data, media_type = await run_in_threadpool(_picture, request.app.state, token, slot, ALL_VIEWS.index(name))
    return Response(data, media_type=media_type, headers=_PICTURE)


def _picture(state: Any, token: str, slot: str, n: int) -> tuple[bytes, str]:
    """(bytes, type) of the n-th view of a slot. Raises Refused where there is none."""
    row = state.queue.view(token, slot)
    names = json.loads(row["views"]) if row else []
    if row is None or n >= len(names):
        raise Refused(404, "No such picture", "Reload the page.")
    path = Path(state.settings.root) / names[n]
    return _padded(path, json.loads(row["bytes"])[n]), TYPES[path.suffix]


def _padded(path: Path, size: int) -> bytes:
    """A picture and zeros after its end, which browsers do not read. Raises Refused where it is gone, or has grown."""
    try:
        data = path.read_bytes()
    except OSError:
        data = b""
    if not data or len(data) > size:
        raise Refused(503, "A picture is missing", "Tell whoever runs the study; their server must be started again.")
    return data.ljust(size, b"\0")


def _answer(fields: dict[str, str]) -> Answer:
    """A rating out of a form. Raises Refused where it is none."""
    verdict = fields.get("score", "")
    score = _whole(verdict, 1, 10)
    turn = _whole(fields.get("round", ""), 0, 10**6)
    slot, attempt, started = fields.get("slot", ""), fields.get("attempt", "-"), fields.get("started_at", "")
    if turn is None or (score is None and verdict != "none") or not SECRET.fullmatch(slot) or not SECRET.fullmatch(attempt):
        raise Refused(400, "That is no rating", "A whole number from 1 to 10 was expected.")
    return Answer(slot, turn, score, attempt, _seconds(fields.get("seconds", "")), _moment(started))


def _whole(text: str, low: int, high: int) -> int | None:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        return None
    return int(text) if low <= int(text) <= high else None


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return round(value, 3) if 0 <= value <= _MOST_SECONDS else None


def _moment(text: str) -> str:
    """A moment as the database has them, or '' where it is none."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return ""
    return "" if found.tzinfo is None else found.astimezone(UTC).isoformat(timespec="milliseconds")


ROUTES = [
    Route("/r/{token}", _for_rater(_start)),
    Route("/r/{token}/welcome", _for_rater(_welcome), methods=["GET", "POST"]),
    Route("/r/{token}/guidelines", _for_rater(_guidelines), methods=["GET", "POST"]),
    Route("/r/{token}/practice", _for_rater(_practice), methods=["GET", "POST"]),
    Route("/r/{token}/rate", _for_rater(_rate), methods=["GET", "POST"]),
    Route("/r/{token}/undo", _for_rater(_undo), methods=["POST"]),
    Route("/r/{token}/stand", _for_rater(_stand)),
    Route("/r/{token}/view/{slot}/{view}", _view),
    Route("/r/{token}/try/{kind}/{n}/{view}", _for_rater(_try)),
]
