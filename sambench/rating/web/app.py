"""The web application of a rating study: pages for raters, each by a link of their own, and `/lead` for whoever runs the study."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from sambench.rating.database import Database
from sambench.rating.queue import Queue
from sambench.rating.web import lead, rater
from sambench.rating.web.http import Guard, Refused, refused

_STATIC = {"app.css": "text/css", "rate.js": "text/javascript", "lead.js": "text/javascript", "icon.svg": "image/svg+xml"}


@dataclass(frozen=True)
class Settings:
    """How a study is served. root: the folder with its views; title: what raters read at the top; break_min: minutes of rating
    after which a break is proposed, 0 for never; base_url: where the server is seen from outside, empty for the address asked.
    """

    root: Path
    title: str = "Mask ratings"
    break_min: float = 25.0
    base_url: str = ""


def application(database: Database, settings: Settings) -> Starlette:
    """The ASGI application. The database must have the study's jobs (`rating.intake.bring_in`)."""
    app = Starlette(
        routes=[
            Route("/", _start),
            Route("/healthz", _health),
            Route("/static/{name}", _static),
            *rater.ROUTES,
            *lead.ROUTES,
        ],
        middleware=[Middleware(Guard)],
        exception_handlers={Refused: refused, 404: _not_found, 405: _not_found, **dict.fromkeys(database.errors, _unreachable)},
    )
    app.state.database, app.state.queue, app.state.settings = database, Queue(database), settings
    return app


async def _start(request: Request) -> Response:
    raise Refused(404, "Your link is missing", "Raters have a link of their own. Ask whoever invited you to send it again.")


async def _health(request: Request) -> Response:
    database: Database = request.app.state.database

    def ask() -> None:
        with database.read() as s:
            s.rows("SELECT 1 AS one")

    await run_in_threadpool(ask)
    return PlainTextResponse("ok")


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _STATIC:
        return await _not_found(request, Exception())
    data = files("sambench.rating.web").joinpath("static", name).read_bytes()
    return Response(data, media_type=_STATIC[name], headers={"cache-control": "max-age=300"})


async def _not_found(request: Request, error: Exception) -> Response:
    return await refused(request, Refused(404, "Nothing here", "Check the link: a part of it may be missing."))


async def _unreachable(request: Request, error: Exception) -> Response:
    text = "The database does not answer. What was rated is kept: wait a little, and try again."
    return await refused(request, Refused(503, "Not now", text))
