"""`attempt`: every way an exercise can go, in one line each."""

import pytest

from netinv_lite.exercises import attempt


def doubles(f):
    """Your function doubles.

    More is not printed.
    """
    if f(2) + 0 != 4:  # not `assert`: pytest, unlike a kernel, would add to its message
        raise AssertionError("f(2) must be 4; did you forget to multiply?")


def right(x):
    return 2 * x


def wrong(x):
    return x


def empty(x):
    raise NotImplementedError


def dots(x): ...


def text(x):
    return "4"


def crash(x):
    return x.nowhere


def endless(x):
    raise KeyboardInterrupt


CRASH_LINE = crash.__code__.co_firstlineno + 1
CASES = [
    (right, "Solved: Your function doubles.\n"),
    (wrong, "Not yet: f(2) must be 4; did you forget to multiply?\n"),
    (empty, "Not yet: empty is still empty.\n"),
    (dots, "Not yet: dots returned None; did you forget to write or return the result?\n"),
    (text, "Not yet: TypeError: can only concatenate str"),
    (crash, f"Not yet: AttributeError in line {CRASH_LINE} of crash: 'int' object has no"),
    (..., "Not yet: TypeError: 'ellipsis' object is not callable"),
]


NAMES = [getattr(function, "__name__", "dots_only") for function, _ in CASES]


@pytest.mark.parametrize("function, expected", CASES, ids=NAMES)
def test_every_outcome_is_one_line_on_stdout(function, expected, capsys):
    assert attempt(doubles, function) is None
    out, err = capsys.readouterr()
    assert out.startswith(expected)
    assert out.count("\n") == 1 and not err


def test_an_assert_without_message_names_what_the_test_shows(capsys):
    def bare(f):
        """f gives 5."""
        if f(2) != 5:
            raise AssertionError

    attempt(bare, right)
    assert capsys.readouterr().out == "Not yet: f gives 5.\n"


def test_a_test_without_docstring_is_named(capsys):
    attempt(lambda f: f(1), right)
    assert capsys.readouterr().out == "Solved: <lambda>\n"


def test_several_results_may_be_none_when_they_pass(capsys):
    def nothing(f):
        """f may return nothing."""
        f(1)

    attempt(nothing, dots)
    assert capsys.readouterr().out == "Solved: f may return nothing.\n"


def test_ctrl_c_is_let_through():
    with pytest.raises(KeyboardInterrupt):
        attempt(doubles, endless)
