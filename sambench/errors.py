"""Every error a user can meet, each with its remedy.

A :class:`SambenchError` says what was expected, what was found, where, and what to do about it; the command line prints it
without a traceback and exits with :attr:`SambenchError.exit_code`. Anything else that reaches the top is a bug of ours.
"""

from __future__ import annotations

import difflib
import errno
import re
import sys
from collections.abc import Iterable
from typing import Any

# Control characters reach terminals and break paths; lone surrogates (of arguments that are no UTF-8) cannot be written anywhere.
UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
UTF8_REMEDY = "set PYTHONUTF8=1, or LC_ALL=C.UTF-8, and issue the same command again"
_NEAR = 0.6  # of a name that was written and one that is known, from 0 to 1: below it one word is suggested for another
_SHOWN = 200  # characters of a value that an error shows


class SambenchError(Exception):
    """Base of all errors that are the input's, not ours. Arguments other than `message` are optional parts of the report.

    message: one line, what is wrong. expected / found: what should have been there, and what was. where: file, card, flag or
    row. remedy: what to do next, as an instruction.
    """

    exit_code = 2

    def __init__(
        self,
        message: str,
        *,
        expected: object = None,
        found: object = None,
        where: object = None,
        remedy: str | None = None,
    ) -> None:
        self.message = message
        self.expected = expected
        self.found = found
        self.where = where
        self.remedy = remedy
        super().__init__(message)

    def __str__(self) -> str:
        parts = [self.message]
        for label, value in (
            ("where", self.where),
            ("expected", self.expected),
            ("found", self.found),
            ("what to do", self.advice()),
        ):
            if value is not None:
                parts.append(f"  {label}: {value}")
        return "\n".join(parts)

    def advice(self) -> str | None:
        """What to do next, or None."""
        return self.remedy

    def one_line(self) -> str:
        """The same on one line, for rows and logs."""
        return "; ".join(part.strip() for part in str(self).splitlines())


class UsageError(SambenchError):
    """A flag, a name or a configuration value that does not exist or does not fit."""


class CardError(SambenchError):
    """A card that does not parse, does not validate, or clashes with another."""


class DataError(SambenchError):
    """A dataset whose files are absent, in another layout, or broken.

    of_release: what to do where the files are a release that others have too, as "unpack the archive again"; `remedy` is for
    anybody's files. A reader knows the file and not whose it is: `sambench.loaders.guard` leaves out what does not apply.
    """

    def __init__(self, message: str, *, of_release: str | None = None, **report: Any) -> None:
        super().__init__(message, **report)
        self.of_release = of_release

    def advice(self) -> str | None:
        return ", or ".join(filter(None, (self.of_release, self.remedy))) or None


class DataMissingError(DataError):
    """A dataset that is not on this machine; the remedy says how to get it."""


class ModelError(SambenchError):
    """A model that cannot be built, or breaks the Segmenter contract."""


class TaskError(SambenchError):
    """A plug-in's task that cannot be used."""


class PluginError(SambenchError):
    """A plug-in that cannot be used."""


class CheckpointError(ModelError):
    """A weights file that is absent, damaged, refused, or of another architecture."""


class DownloadError(SambenchError):
    """A download that failed, or whose bytes are not the expected ones."""


class RunError(SambenchError):
    """A run directory that cannot be used, or a run that could not be completed."""


def shown(value: object) -> str:
    """A value from outside for an error message: control characters escaped, at most 200 characters, and never an exception."""
    try:
        text = str(value)
    except Exception as e:  # noqa: BLE001 - its `__str__` is anyone's
        text = f"a {type(value).__name__} that cannot be printed ({type(e).__name__})"
    text = UNPRINTABLE.sub(lambda m: ascii(m.group())[1:-1], text)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}... ({len(text)} characters)"


def message_of(error: BaseException) -> str:
    """The name and message of an exception of code that is not ours, for an error message."""
    message = shown(error)
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


_SYSTEM = {
    errno.ENAMETOOLONG: "give a shorter name or path: most file systems take 255 bytes a name",
    errno.EACCES: "mend its permissions, or choose another file or folder",
    errno.EPERM: "mend its permissions, or choose another file or folder",
    errno.EROFS: "choose a folder that can be written",
    errno.ENOSPC: "free some space, and issue the same command again",
    errno.EDQUOT: "free some of your quota, and issue the same command again",
    errno.EMFILE: "raise the limit of open files (ulimit -n), or use fewer --workers",
    errno.ENOENT: "check the path; was it moved or removed?",
    errno.ENOTDIR: "a part of that path is a file: choose another",
    errno.EISDIR: "name a file, not a folder",
    errno.ELOOP: "mend the links on that path: they lead in a circle",
    errno.EPROTO: "check the address, the network, and what the store wants of who asks (credentials, endpoint, region)",
}


def system_error(e: OSError) -> RunError:
    """What the operating system refused, as an error with the path and what to do."""
    paths = [str(p) for p in (e.filename, e.filename2) if p is not None]
    shown = [p if len(p) <= 200 else f"{p[:120]}… ({len(p)} characters)" for p in paths]
    return RunError(
        "a file or folder cannot be used",
        where=" and ".join(shown) or None,
        found=e.strerror or repr(e),
        remedy=_SYSTEM.get(e.errno or 0, "check the path and its permissions; SAMBENCH_DEBUG=1 shows where it was used"),
    )


def install(extra: str) -> str:
    """The command that installs an optional part, an extra of `pyproject.toml`, in the checkout that sambench came from."""
    return f"in sambench's checkout: pip install -c constraints.txt -e '.[{extra}]'"


def encoding_error(e: UnicodeError) -> RunError:
    """A file's name that cannot be used, because Python was told to take names for something else than UTF-8."""
    return RunError(
        "the name of a file cannot be used in this locale",
        expected="UTF-8",
        found=f"{sys.getfilesystemencoding()}: {shown(e)}",
        remedy=UTF8_REMEDY,
    )


def near_names(name: str, known: Iterable[str], n: int = 3) -> list[str]:
    """The names in `known` that look most like `name`, best first (case ignored)."""
    by_lower: dict[str, str] = {}
    for k in known:
        by_lower.setdefault(k.lower(), k)
    close = difflib.get_close_matches(name.lower(), list(by_lower), n=n, cutoff=_NEAR)
    starts = [k for k in by_lower if k.startswith(name.lower()) and k not in close]
    return [by_lower[k] for k in [*close, *sorted(starts)][:n]]


def unknown_name(kind: str, name: str, known: Iterable[str], *, where: object = None) -> UsageError:
    """The error for a name that is not among `known`, with the nearest ones."""
    known = sorted(known)
    near = near_names(name, known)
    remedy = f"did you mean {' or '.join(repr(k) for k in near)}?" if near else f"choose one of: {', '.join(known)}"
    return UsageError(
        f"unknown {kind} {name!r}", where=where, expected=f"one of {len(known)} known names", found=repr(name), remedy=remedy
    )
