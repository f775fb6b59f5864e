"""What all pages have in common: headers that keep secrets, bodies within limits, templates, and what is said instead of a page."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import jinja2
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response

MOST_BODY = 8192  # bytes; the largest form has a name and a few numbers
MOST_FIELDS = 20
BODY_S = 20.0  # for a slow phone; who sends nothing does not hold a connection for ever

# Everything comes from this server and nothing may be framed; links, which are secrets, are told to nobody.
HEADERS = {
    "content-security-policy": "default-src 'none'; img-src 'self'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex, nofollow",
}

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Guard:
    """Gives every answer the HEADERS, and `no-store` where it does not say otherwise."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                held = dict(message["headers"])
                more = {k.encode(): v.encode() for k, v in ({"cache-control": "no-store"} | HEADERS).items()}
                message = {**message, "headers": list({**more, **held}.items())}
            await send(message)

        await self.app(scope, receive, guarded if scope["type"] == "http" else send)


class Refused(Exception):
    """A request that is answered with a page (or JSON) that says why not. status: of HTTP; title, text: what is said."""

    def __init__(self, status: int, title: str, text: str) -> None:
        self.status, self.title, self.text = status, title, text
        super().__init__(title)


async def refused(request: Request, error: Exception) -> Response:
    """The answer to a `Refused`."""
    assert isinstance(error, Refused)
    if wants_json(request):
        return JSONResponse({"error": error.title, "text": error.text}, error.status)
    return page("message.html", {"title": error.title, "text": error.text}, error.status)


def wants_json(request: Request) -> bool:
    """Whether a script asks, not a person."""
    return "application/json" in request.headers.get("accept", "")


async def form(request: Request) -> dict[str, str]:
    """The fields of a form, the first of each name. Raises Refused where the body is too long, too slow, or no form."""
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/x-www-form-urlencoded":
        raise Refused(415, "That is no form", "A form's fields were expected.")
    try:
        body = await asyncio.wait_for(_body(request), BODY_S)
        fields = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS, errors="strict")
    except (TimeoutError, ClientDisconnect):
        raise Refused(408, "That took too long", "The form did not arrive in time: send it again.") from None
    except ValueError:
        raise Refused(400, "That form cannot be read", "Reload the page, and try again.") from None
    return dict(reversed(fields))


async def _body(request: Request) -> bytes:
    out = bytearray()
    async for chunk in request.stream():
        out += chunk
        if len(out) > MOST_BODY:
            raise Refused(413, "That is too much", f"At most {MOST_BODY} bytes were expected.")
    return bytes(out)


@lru_cache(maxsize=1)
def _templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.PackageLoader("sambench.rating.web"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page(template: str, values: dict[str, Any], status: int = 200) -> HTMLResponse:
    """A page of a template; values are escaped in it."""
    return HTMLResponse(_templates().get_template(template).render(values), status)
