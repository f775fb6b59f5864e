"""An address opened over HTTP, of a server that need not mean well.

Python's own `urlopen` follows redirects to ftp and reads what stands in a redirect's body without limit, waits as long as a byte
comes now and then, and takes any number of header lines; here each of these is a DownloadError or an OSError.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import string
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from functools import lru_cache
from time import monotonic
from typing import Any

from sambench.errors import DownloadError, message_of, shown

MOST_REDIRECTS = 10
WINDOW_S = 60.0  # of waiting, in which a server must bring
LEAST_BYTES = 1 << 14  # so many bytes, or it is as good as silent
MOST_HEAD = 1 << 20  # bytes before an answer's body
_REDIRECTS = (301, 302, 303, 307, 308)


class TooSlow(OSError):
    """Bytes come, but so few that waiting is no use, or headers without end."""


def opened(url: str, headers: Mapping[str, str], *, timeout: float) -> http.client.HTTPResponse:
    """The answer, its body unread; redirects are followed, to http and https alone.

    timeout: seconds without a byte. Raises DownloadError (no web address, here or in a redirect; redirects without end),
    urllib.error.HTTPError (any other status than 2xx), URLError, OSError and http.client.HTTPException (a connection that failed).
    Reading the body raises the latter two; its length is the reader's to bound.
    """
    at = url
    for _ in range(MOST_REDIRECTS + 1):
        _check(at, url)
        try:
            answer: http.client.HTTPResponse = _opener().open(urllib.request.Request(at, headers=dict(headers)), timeout=timeout)
            return answer
        except urllib.error.HTTPError as e:
            target = e.headers.get("Location") if e.code in _REDIRECTS else None
            if not target:
                raise
            e.close()
            at = _joined(at, target, url)
        except (ValueError, OverflowError, http.client.InvalidURL) as e:  # UnicodeError is a ValueError
            raise DownloadError("an address cannot be opened", where=shown(at), found=message_of(e), remedy=_remedy(at, url)) from e
    expected = f"at most {MOST_REDIRECTS} redirects"
    raise DownloadError("a server leads in a circle", where=url, expected=expected, found="more", remedy=_remedy("", url))


def whole_number(text: str | None) -> int | None:
    """A header's number of bytes; None where it is absent or none."""
    return int(text) if text and len(text) <= 18 and text.isascii() and text.isdigit() else None


def _joined(at: str, target: str, url: str) -> str:
    try:
        return urllib.parse.urljoin(at, urllib.parse.quote(target, encoding="latin-1", safe=string.punctuation))
    except ValueError as e:
        raise DownloadError("a server leads to no address", where=url, found=shown(target), remedy=_remedy(target, url)) from e


def _check(at: str, url: str) -> None:
    try:
        parts = urllib.parse.urlsplit(at)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        fine = False
    if not fine:
        message = "not a web address" if at == url else "a server leads to what is not a web address"
        where = None if at == url else url
        raise DownloadError(message, where=where, expected="http:// or https://", found=shown(repr(at)), remedy=_remedy(at, url))


def _remedy(at: str, url: str) -> str:
    return "mend the address" if at == url else "the address has moved: get the file by other means"


@lru_cache(maxsize=1)
def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    context.sslsocket_class = _TlsSocket
    return context


def _opener() -> urllib.request.OpenerDirector:
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),  # of the environment, which may have changed
        _Http(),
        _Https(context=_tls()),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.HTTPDefaultErrorHandler(),
    ):
        opener.add_handler(handler)
    return opener


class _Pace:
    """What has come over one connection; raises TooSlow. Only the time that was waited for the server counts."""

    def __init__(self) -> None:
        self.waited, self.came, self.head = 0.0, 0, 0
        self.in_head = True

    def heard(self, n: int, since: float) -> int:
        self.waited += monotonic() - since
        self.came += n
        if self.in_head:
            self.head += n
            if self.head > MOST_HEAD:
                raise TooSlow(f"more than {MOST_HEAD} bytes of headers")
        if self.waited > WINDOW_S:
            if self.came < LEAST_BYTES:
                raise TooSlow(f"only {self.came} bytes came within {self.waited:.0f} s")
            self.waited, self.came = 0.0, 0
        return n


class _PlainSocket(socket.socket):
    pace: _Pace

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        since = monotonic()
        return self.pace.heard(super().recv_into(buffer, nbytes, flags), since)


class _TlsSocket(ssl.SSLSocket):
    pace: _Pace

    def recv_into(self, buffer: Any, nbytes: int | None = None, flags: int = 0) -> int:
        since = monotonic()
        return self.pace.heard(super().recv_into(buffer, nbytes, flags), since)


class _PlainConnection(http.client.HTTPConnection):
    def connect(self) -> None:
        super().connect()
        limit, bare = self.sock.gettimeout(), self.sock
        patient = _PlainSocket(bare.family, bare.type, bare.proto, fileno=bare.detach())
        patient.settimeout(limit)
        patient.pace = self.pace = _Pace()
        self.sock = patient

    def getresponse(self) -> http.client.HTTPResponse:
        answer = super().getresponse()
        self.pace.in_head = False
        return answer


class _TlsConnection(http.client.HTTPSConnection):
    def connect(self) -> None:
        super().connect()
        patient: Any = self.sock  # of the context's own class
        patient.pace = self.pace = _Pace()

    def getresponse(self) -> http.client.HTTPResponse:
        answer = super().getresponse()
        self.pace.in_head = False
        return answer


class _Http(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_PlainConnection, req)

    http_request = urllib.request.AbstractHTTPHandler.do_request_


class _Https(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_TlsConnection, req, context=_tls())

    https_request = urllib.request.AbstractHTTPHandler.do_request_
