"""The command line: python -m netinv_lite invert, direct, fit, experiment, weights."""

from __future__ import annotations

import shlex
import sys
import warnings

from .._core.serialization import about
from . import commands
from .parser import PROGRAM, parse

# What a bad argument, a damaged file or an unwritable folder raises; anything else is a defect
# of this program and keeps its traceback.
EXPECTED = (ValueError, OSError, RuntimeError, ArithmeticError, ImportError, MemoryError)


def main(argv: list[str] | None = None) -> int:
    """Run one command; errors are printed as one line.

    Args:
        argv: the words after `python -m netinv_lite`; by default those of this process.

    Returns:
        0 done, 1 damaged weights or failed runs, 2 error, 130 Ctrl-C.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    try:
        args = parse(argv)
        if args.version:
            print(about())
            return 0
        if not args.command:
            print(args.help, end="")
            return 0
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: _say("warning", message)
            return getattr(commands, args.command)(args)
    except KeyboardInterrupt as stop:
        detail = f"; {_one_line(stop)}" if str(stop) else "; to start anew:"
        _say("stopped", f"Ctrl-C{detail} {PROGRAM} {shlex.join(argv)}")
        return 130
    except EXPECTED as error:
        if "--debug" in argv:
            raise
        _say("error", error)
        return 2


def _say(kind: str, what: object) -> None:
    print(f"{kind}: {_one_line(what)}", file=sys.stderr, flush=True)


def _one_line(what: object) -> str:
    return " ".join(str(what).split()) or type(what).__name__
