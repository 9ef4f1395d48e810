"""Exercises: run a test on a reader's function and print the outcome in one line."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from typing import Any

__all__ = ["attempt"]


def attempt(test: Callable, function: Callable) -> None:
    """Print `Solved: <what the test shows>` or `Not yet: <what to look at>`; never a traceback.

    KeyboardInterrupt passes, so that an endless attempt can be stopped.

    Args:
        test: takes the reader's function and asserts what it must do; the first line of its
            docstring says what a passed test shows, the messages of its asserts what is missing.
        function: the reader's.

    Example:
        >>> import netinv_lite as nil
        >>> def test_square(square):
        ...     "square(x) is x times x"
        ...     assert square(3) == 9, "square(3) should be 9"
        >>> nil.attempt(test_square, lambda x: 2 * x)
        Not yet: square(3) should be 9
        >>> nil.attempt(test_square, lambda x: x * x)
        Solved: square(x) is x times x
    """
    name: str = getattr(function, "__name__", repr(function))
    results: list[object] = []

    @functools.wraps(function)
    def watched(*args: Any, **kwargs: Any) -> Any:
        results.append(function(*args, **kwargs))
        return results[-1]

    shows = (test.__doc__ or test.__name__).strip().splitlines()[0]
    try:
        test(watched)
    except NotImplementedError:
        print(f"Not yet: {name} is still empty.")
    except AssertionError as error:
        print(f"Not yet: {str(error) or shows}")
    except Exception as error:
        if results and results[-1] is None:  # the usual reason: `...`, or no return
            print(f"Not yet: {name} returned None; did you forget to write or return the result?")
        else:
            print(f"Not yet: {type(error).__name__}{_where(error, name)}: {_first_line(error)}")
    else:
        print(f"Solved: {shows}")


def _where(error: Exception, name: str) -> str:
    """The line of the reader's own function in which the error arose, if it arose there."""
    frames = traceback.extract_tb(error.__traceback__, None)
    lines = [frame.lineno for frame in frames if frame.name == name]
    return f" in line {lines[-1]} of {name}" if lines else ""


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["no message"])[0]
