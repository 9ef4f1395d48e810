"""The form of exercises: what `check.py` asks of each text, stub, test and solution."""

from __future__ import annotations

import ast
import re

from read_cells import tags, text_of

KINDS = ("exercise-stub", "exercise-test", "exercise-solution")
EXERCISE = re.compile(r"^(:{3,}|`{3,})\{exercise\}", re.MULTILINE)
LABEL = re.compile(r"^:label: *(\S+)", re.MULTILINE)


def exercises(notebook, path):
    """At least three; each a text, then a stub, a test and a hidden solution, in that order."""
    starts = [i for i, cell in enumerate(notebook.cells) if _is_exercise(cell)]
    if len(starts) < 3:
        yield f"{len(starts)} exercises; at least 3 are wanted"
    for i in starts:
        label = (LABEL.findall(notebook.cells[i].source) or ["without a label"])[0]
        for complaint in exercise(notebook.cells[i : i + 5], path.name[:2]):
            yield f"exercise {label}: {complaint}"
    tagged = sum(bool(tags(cell) & set(KINDS)) for cell in notebook.cells)
    if tagged != 3 * len(starts):
        yield f"{tagged} exercise cells for {len(starts)} exercises; each has exactly three"


def _is_exercise(cell) -> bool:
    return cell.cell_type == "markdown" and bool(EXERCISE.search(cell.source))


def exercise(block, number: str):
    """Complaints about one exercise: the text cell and the three code cells after it."""
    text = block[0].source
    labels = LABEL.findall(text)
    if len(labels) != 1 or not labels[0].startswith(f"ex-{number}-"):
        yield f"one label is wanted, `ex-{number}-…`"
    for words in ("difficulty", "minutes", "you should see"):
        if words not in text.lower():
            yield f"the text does not give `{words}`"
    kinds = [tags(cell) & set(KINDS) for cell in block[1:4]]
    if kinds != [{kind} for kind in KINDS]:
        yield f"the three cells after the text must be {', '.join(KINDS)}"
        return
    try:
        stub, test, solution = (ast.parse(cell.source) for cell in block[1:4])
    except SyntaxError as error:
        yield f"a cell that is not Python: {error}"
        return
    yield from stub_complaints(stub)
    yield from test_complaints(test, functions(stub), block[2])
    yield from solution_complaints(solution, functions(test), block[3])


def functions(tree) -> list:
    return [node for node in tree.body if isinstance(node, ast.FunctionDef)]


def stub_complaints(tree):
    """A stub is a signature and a docstring, and gives nothing of the solution away."""
    found = functions(tree)
    others = [
        n for n in tree.body if not isinstance(n, ast.FunctionDef | ast.Import | ast.ImportFrom)
    ]
    if len(found) != 1 or others:
        yield "the stub cell must hold one function and nothing else but imports"
    for function in found:
        if not ast.get_docstring(function):
            yield "the stub has no docstring"
        body = function.body[1:] if ast.get_docstring(function) else function.body
        if not body or not all(_is_empty(statement) for statement in body):
            yield "the stub's body must be `...` or `raise NotImplementedError`"


def _is_empty(statement) -> bool:
    if isinstance(statement, ast.Raise):
        return "NotImplementedError" in ast.dump(statement)
    return isinstance(statement, ast.Expr) and getattr(statement.value, "value", None) is ...


def test_complaints(tree, stubs, cell):
    """A test asserts, says what may be missing, and is stored as not yet passed."""
    asserts = [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]
    if not asserts or any(node.msg is None for node in asserts):
        yield "the test needs asserts, each with a message that teaches"
    if not functions(tree) or not all(ast.get_docstring(f) for f in functions(tree)):
        yield "the test function needs a docstring; its first line is printed when solved"
    called = attempts(tree)
    if len(called) != 1 or not stubs or called[0][1] != stubs[0].name:
        yield "the test cell must call nil.attempt once, with the stub's function"
    yield from stored(cell, "Not yet: ", "Solved: ")


def solution_complaints(tree, tests, cell):
    """A solution is hidden, has a name of its own and passes the same test."""
    if "hide-cell" not in tags(cell):
        yield "the solution is not tagged hide-cell"
    names = {function.name for function in functions(tree)}
    called = attempts(tree)
    if len(called) != 1 or called[0][1] not in names or not called[0][1].endswith("_solution"):
        yield "the solution cell must define `…_solution` and call nil.attempt once with it"
    elif called[0][0] not in {function.name for function in tests}:
        yield "the solution is not put to the exercise's own test"
    yield from stored(cell, "Solved: ", "Not yet: ")


def attempts(tree) -> list[tuple[str, str]]:
    """(test, function) of every call of `attempt` in a cell."""
    calls = []
    for node in ast.walk(tree):
        name = getattr(
            getattr(node, "func", None), "attr", getattr(getattr(node, "func", None), "id", "")
        )
        if isinstance(node, ast.Call) and name == "attempt" and len(node.args) == 2:
            calls.append(tuple(getattr(argument, "id", "") for argument in node.args))
    return calls


def stored(cell, wanted: str, unwanted: str):
    """Complaints about the stored verdict of `nil.attempt`, which nbval compares on every run."""
    text = text_of(cell, "stdout")
    if not any(line.startswith(wanted) for line in text.split("\n")) or unwanted in text:
        yield f"the stored output is not `{wanted}…` but {text!r}"
    if "nbval-ignore-output" in tags(cell):
        yield "a verdict tagged nbval-ignore-output is not checked again"
