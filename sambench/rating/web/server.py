"""The server of a rating study: where it listens, what that opens, and how it ends."""

from __future__ import annotations

import ipaddress
import signal
import socket
from dataclasses import dataclass
from threading import Thread

import uvicorn
from starlette.applications import Starlette

from sambench.errors import RunError, shown
from sambench.rating.practice import prepare
from sambench.rating.web.app import Settings, application
from sambench.rating.web.lead import lead_token

__all__ = ["Listening", "Settings", "application", "lead_token", "listen", "run", "server"]

GRACE_S = 5  # for answers under way, when it is stopped
MOST_CONNECTIONS = 1000


@dataclass(frozen=True)
class Listening:
    """A socket that is open. host, port: as asked for, and as it became."""

    socket: socket.socket
    host: str
    port: int

    @property
    def address(self) -> str:
        """The URL at which this machine's own browser reaches it."""
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]", "": "127.0.0.1"}.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host and not host.startswith('[') else host}:{self.port}"

    def warnings(self, base_url: str) -> list[str]:
        """What that address opens, and to whom."""
        if _is_loopback(self.host):
            return []
        who = "everyone who reaches this machine" if self.host in ("0.0.0.0", "::", "") else f"everyone who reaches {self.host}"
        out = [f"open to {who} on port {self.port}: pages show only to those with a link"]
        if not base_url.startswith("https:"):
            out.append("links and ratings travel unencrypted: put a proxy with https before it, and name it with --base-url")
        return out


def listen(host: str, port: int) -> Listening:
    """Open a socket. Raises RunError where the address is not this machine's, or is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(1024)
    except (OSError, UnicodeError) as e:
        found.close()
        why = getattr(e, "strerror", None) or str(e)
        remedy = "choose another with --port, or stop what listens there" if port else "give an address of this machine with --host"
        raise RunError("the server cannot listen there", where=f"{shown(host)}:{port}", found=why, remedy=remedy) from e
    return Listening(found, host, found.getsockname()[1])


def server(app: Starlette) -> uvicorn.Server:
    """A server that runs where it is told to. Links are secrets: there is no log of requests."""
    config = uvicorn.Config(
        app,
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,
        limit_concurrency=MOST_CONNECTIONS,
        h11_max_incomplete_event_size=16384,
        lifespan="off",
    )
    return uvicorn.Server(config)


def run(app: Starlette, listening: Listening) -> None:
    """Serve until Ctrl-C or SIGTERM; answers under way are finished."""
    Thread(target=prepare, daemon=True).start()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        server(app).run(sockets=[listening.socket])
    except KeyboardInterrupt:  # uvicorn raises a signal again once it has ended
        return


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
