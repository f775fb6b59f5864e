"""The lead's way: how far everyone is, how far raters agree, and what can be set. Its link is a secret of its own.

The link leaves a cookie that only this server's own pages send back (SameSite=Strict), and every form is checked to come from one.
"""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from sambench.errors import SambenchError, UsageError
from sambench.layout import Table, text_of
from sambench.rating import tables
from sambench.rating.database import Database, meta
from sambench.rating.intake import MOST_RATERS, Planned, plan
from sambench.rating.overview import overview, pause
from sambench.rating.queue import Queue
from sambench.rating.statistics import RATING_COLUMNS, ratings_from
from sambench.rating.stored import ratings_of
from sambench.rating.web.http import Refused, form, page
from sambench.text import csv_text

AGREEMENT_S = 20.0  # the tables of ratings are not made more often


def lead_token(database: Database) -> str:
    """The secret of the lead's link."""
    with database.read() as s:
        return meta(s, "lead") or ""


def _for_lead(handler: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def run(request: Request) -> Response:
        known = await run_in_threadpool(lead_token, request.app.state.database)
        if not _same(request.cookies.get(_cookie(known), ""), known):
            raise Refused(403, "Only for the lead", "Open the link that `sambench rate serve` printed.")
        if request.method == "POST" and not _from_here(request):
            raise Refused(403, "That form is from elsewhere", "Open the lead's page, and use its own buttons.")
        return await handler(request)

    return run


def _cookie(known: str) -> str:
    """The cookie's name, one a study: browsers share cookies among all ports of a machine."""
    return f"sambench_lead_{hashlib.sha256(known.encode()).hexdigest()[:8]}"


def _same(given: str, known: str) -> bool:
    return bool(known) and hmac.compare_digest(given.encode(), known.encode())


def _from_here(request: Request) -> bool:
    """Whether a form comes from a page of this server; browsers always say where a form of another one comes from."""
    origin = request.headers.get("origin")
    site = request.headers.get("sec-fetch-site", "same-origin")
    if origin in (None, "null"):
        return site == "same-origin"
    hosts = {request.headers.get("host", ""), urlsplit(request.app.state.settings.base_url).netloc}
    return urlsplit(str(origin)).netloc in hosts


async def _enter(request: Request) -> Response:
    """The link itself: the secret goes into a cookie, and out of the address."""
    known = await run_in_threadpool(lead_token, request.app.state.database)
    if not _same(request.path_params["token"], known):
        raise Refused(403, "This link does not work", "Open the link that `sambench rate serve` printed.")
    answer = RedirectResponse("/lead", 303)
    secure = _base(request).startswith("https:")
    answer.set_cookie(_cookie(known), known, httponly=True, samesite="strict", secure=secure, max_age=30 * 86_400)
    return answer


async def _lead(request: Request) -> Response:
    state = request.app.state
    found = await run_in_threadpool(overview, state.database)
    agreement = await run_in_threadpool(_agreement, request.app)
    values = {
        "title": state.settings.title,
        "study": found,
        "share": math.floor(100 * found.n_done / found.n_wanted) if found.n_wanted else 0,
        "agreement": agreement,
        "base": _base(request),
        "most": MOST_RATERS,
        "note": request.query_params.get("note", "")[:200],
    }
    return page("lead.html", values)


def _base(request: Request) -> str:
    """Where this server is seen from outside, for links."""
    asked = f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"
    return str(request.app.state.settings.base_url or asked).rstrip("/")


def _agreement(app: Any) -> Mapping[str, Any]:
    """Tables of what the ratings say of raters so far; of models nothing, so that a lead who also rates stays blind."""
    held = getattr(app.state, "agreement", None)
    if held is not None and time.monotonic() - held[0] < AGREEMENT_S:
        return dict(held[1])
    records, _ = ratings_of(app.state.database)
    out: dict[str, Any] = {"table": None, "why": "No ratings yet."}
    if records:
        try:
            named = [{**r, "model": r["model"] or "-", "dataset": r["dataset"] or "-", "item": r["job_id"]} for r in records]
            ratings = replace(ratings_from(named), notes=())  # which inputs lack a model is another matter
            out["table"] = _cells(tables.agreement_table(ratings))
        except SambenchError as e:
            out["why"] = e.message
    app.state.agreement = (time.monotonic(), out)
    return out


def _cells(table: Table) -> dict[str, Any]:
    return {
        "header": [c.label for c in table.shown],
        "rows": [[text_of(row.values.get(c.key), c.kind) for c in table.shown] for row in table.rows],
        "notes": table.notes,
    }


# --- what can be done


async def _invite(request: Request) -> Response:
    fields, queue = await form(request), _queue(request)
    names = [n.strip() for n in fields.get("names", "").replace(",", "\n").splitlines() if n.strip()] or [""]
    try:
        for name in names[:MOST_RATERS]:
            await run_in_threadpool(queue.invite, name)
    except UsageError as e:
        return _back(f"{e.message}: {e.found}")
    return _back(f"{len(names[:MOST_RATERS])} invited")


async def _revoke(request: Request) -> Response:
    fields, queue = await form(request), _queue(request)
    rater = _number(fields.get("rater", ""))
    await run_in_threadpool(queue.restore if fields.get("restore") else queue.revoke, rater)
    return _back("a new link is open" if fields.get("restore") else "the link is closed")


async def _pause(request: Request) -> Response:
    wanted = (await form(request)).get("pause") == "yes"
    await run_in_threadpool(pause, request.app.state.database, wanted)
    return _back("paused" if wanted else "going on")


async def _plan(request: Request) -> Response:
    fields = await form(request)
    try:
        share = float(fields.get("overlap", "")) / 100
        planned = Planned(_number(fields.get("raters", "")), share)
    except ValueError:
        return _back("that is no number")
    except UsageError as e:
        return _back(f"{e.message}: {e.found}")
    await run_in_threadpool(plan, request.app.state.database, planned)
    return _back("set")


async def _export(request: Request) -> Response:
    """All ratings as CSV, with what they are of: as `sambench rate stats` reads it."""
    records, _ = await run_in_threadpool(ratings_of, request.app.state.database)
    text = csv_text(RATING_COLUMNS, ([record[c] for c in RATING_COLUMNS] for record in records))
    return Response(text, media_type="text/csv", headers={"content-disposition": 'attachment; filename="ratings.csv"'})


def _queue(request: Request) -> Queue:
    found: Queue = request.app.state.queue
    return found


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 9):
        raise Refused(400, "That is no number", "Use the buttons of the lead's page.")
    return int(text)


def _back(note: str) -> Response:
    return RedirectResponse(f"/lead?note={quote(note)}", 303)


ROUTES = [
    Route("/lead", _for_lead(_lead)),
    Route("/lead/open/{token}", _enter),
    Route("/lead/invite", _for_lead(_invite), methods=["POST"]),
    Route("/lead/revoke", _for_lead(_revoke), methods=["POST"]),
    Route("/lead/pause", _for_lead(_pause), methods=["POST"]),
    Route("/lead/plan", _for_lead(_plan), methods=["POST"]),
    Route("/lead/ratings.csv", _for_lead(_export)),
]
