"""The command line: python -m netinv_lite invert, direct, fit, experiment, benchmark, weights."""

from __future__ import annotations

import shlex
import sys
import warnings

from . import cli
from .arguments import PROGRAM, parse
from .weights import about

# What a bad argument, a damaged file or an unwritable folder raises; anything else is a defect
# of this program and keeps its traceback.
EXPECTED = (ValueError, OSError, RuntimeError, ArithmeticError, ImportError, MemoryError)


def main(argv: list[str] | None = None) -> int:
    """Run one command; 0 done, 1 damaged weights or failed runs, 2 error, 130 Ctrl-C."""
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
            return getattr(cli, args.command)(args)
    except KeyboardInterrupt as stop:
        detail = f"; {_one_line(stop)}" if str(stop) else "; to start anew:"
        _say("stopped", f"Ctrl-C{detail} {PROGRAM} {shlex.join(argv)}")
        return 130
    except EXPECTED as error:
        if "--debug" in argv:
            raise
        _say("error", error)
        return 2


def _say(kind: str, what) -> None:
    print(f"{kind}: {_one_line(what)}", file=sys.stderr, flush=True)


def _one_line(what) -> str:
    return " ".join(str(what).split()) or type(what).__name__


if __name__ == "__main__":
    sys.exit(main())
