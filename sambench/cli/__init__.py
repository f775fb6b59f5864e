"""The command line. Thin: it parses, calls, and prints; everything it does can be done from Python."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading
import time
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from sambench.errors import SambenchError

EXIT_GRACE_S = 10.0  # of threads and exit handlers of models that were used in this process


def main() -> None:
    """Entry point `sambench`, for a process that does nothing else: it ends soon after the command does."""
    try:
        run_command()
    finally:
        _leave_in_time(sys.exc_info()[1])


def _leave_in_time(e: BaseException | None) -> None:
    """The process ends with its exit code, also where something that a model has begun never does."""
    code = e.code if isinstance(e, SystemExit) else 1 if e else 0

    def close() -> None:
        time.sleep(EXIT_GRACE_S)
        sys.stderr.write(f"a thread or an exit handler did not end within {EXIT_GRACE_S:.0f} s, and was closed\n")
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else int(code is not None))

    with contextlib.suppress(OSError, ValueError):  # the reader of our output went away
        sys.stdout.flush()
    threading.Thread(target=close, daemon=True).start()


def run_command() -> None:
    """The command in sys.argv, for a process that may go on. Errors of the input end with their text and exit code 2, never with
    a traceback."""
    from sambench.errors import SambenchError, encoding_error, system_error

    for stream in (sys.stdout, sys.stderr):  # a terminal that knows ASCII alone gets a "?" for a dash, not an error
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    try:
        from sambench.cli.app import app

        try:
            app(prog_name="sambench")
        finally:
            sys.stdout.flush()
    except SystemExit:
        if type(sys.stdout).__name__ == "PacifyFlushWrapper":  # click's, which makes 1 of a closed pipe: that is a failed image
            _reader_left()
        raise
    except SambenchError as e:
        _end(e)
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted; issue the same command again to go on\n")
        sys.exit(130)
    except BrokenPipeError:  # the reader of our output went away, as in `sambench list datasets | head`
        _reader_left()
    except Exception as e:
        if isinstance(e, OSError) and e.errno:  # what the system refused is a matter of paths, permissions and room
            _end(system_error(e), e)
        if isinstance(e, UnicodeError) and sys.getfilesystemencoding() != "utf-8":
            _end(encoding_error(e), e)
        if os.environ.get("SAMBENCH_DEBUG"):
            raise
        from sambench.cli.console import echo

        echo(
            f"sambench met an error of its own, {type(e).__name__}: {e}\n"
            "  what to do: run again with SAMBENCH_DEBUG=1 for the traceback, and report it with the command",
            err=True,
        )
        sys.exit(70)


def _reader_left() -> NoReturn:
    """The one end of every command whose output nobody reads any more: as of a program that the system ends then."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(141)


def _end(e: SambenchError, cause: BaseException | None = None) -> NoReturn:
    """Print an error, with SAMBENCH_DEBUG after the traceback of what caused it, and exit."""
    from sambench.cli.console import echo, print_error

    cause = cause or e.__cause__
    if cause is not None and os.environ.get("SAMBENCH_DEBUG"):
        import traceback

        echo("".join(traceback.format_exception(cause)), err=True, nl=False)
    print_error(e)
    sys.exit(e.exit_code)
