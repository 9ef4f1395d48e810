"""Read stored chapters, without running them, and say what a reader would stumble over.

python book/tools/check.py [book/01-*.ipynb ...]     without a name: every chapter
"""

from __future__ import annotations

import ast
import base64
import io
import re
import sys
from pathlib import Path

import nbformat
import numpy as np
from PIL import Image

from execute import SIZE_LIMIT, WIDGET, chapters, code_digest, cost_text, needed

LINES = 25  # of a code cell
SECONDS = 180  # of a chapter
FORBIDDEN_TAGS = {"raises-exception", "nbval-skip", "remove-cell", "nbval-raises-exception"}
KINDS = ("exercise-stub", "exercise-test", "exercise-solution")
EXERCISE = re.compile(r"^(:{3,}|`{3,})\{exercise\}", re.MULTILINE)
LABEL = re.compile(r"^:label: *(\S+)", re.MULTILINE)
BAR = re.compile(r"\d+%\|.*\|.*\[.*\]|^\d+(it|step|batch)? ?\[.*\]$")
MEASURED = re.compile(r"\d+\.\d+|\d+ *(%|per ?cent)")
MACHINE = re.compile(r"/tmp/|/home/|/root/|/Users/|[A-Z]:\\Users|0x[0-9a-f]{8,}")


def tags(cell) -> set[str]:
    return set(cell.metadata.get("tags", []))


def code_cells(notebook) -> list:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def text_of(cell, stream: str | None = None) -> str:
    """What the cell printed, or with `stream` only what it printed there."""
    texts = []
    for output in cell.outputs:
        if output.output_type == "stream" and stream in (None, output.name):
            texts.append(output.text)
        elif stream is None and output.output_type != "stream":
            data = output.get("data", {})
            texts += [str(value) for kind, value in data.items() if not kind.startswith("image/")]
    return "".join(texts)


def pictures(cell) -> list[bytes]:
    """The PNGs that the cell shows."""
    encoded = [output.get("data", {}).get("image/png") for output in cell.outputs]
    return [base64.b64decode(text) for text in encoded if text]


# --- one chapter: each check yields complaints ----------------------------------------------


def opening(notebook, path):
    """The first cell: title, cost, aims; then the set-up cell."""
    first, cost = notebook.cells[0], notebook.metadata.get("netinv", {}).get("cost")
    if first.cell_type != "markdown" or not re.search(r"^# \S", first.source, re.MULTILINE):
        yield "the first cell is not markdown with a `# Title`"
    if "What you will be able to show" not in first.source:
        yield "the first cell does not say `What you will be able to show`"
    if not cost:
        yield "no measured cost; run book/tools/execute.py"
    elif f"<!-- cost -->{cost_text(cost)}<!-- /cost -->" not in first.source:
        yield f"the first cell does not give the measured cost, {cost_text(cost)}"
    elif needed(cost) > SECONDS:
        yield f"took {needed(cost)} s; a chapter may take {SECONDS}"
    code = code_cells(notebook)
    setups = [cell for cell in code if "setup" in tags(cell)]
    if len(setups) != 1 or setups != code[:1]:
        yield "not exactly one cell is tagged `setup`, or it is not the first code cell"
    elif "nbval-ignore-output" not in tags(setups[0]):
        yield "the set-up cell is not tagged nbval-ignore-output"


def order(notebook, path):
    """Every code cell was run once, from the top, on a fresh kernel."""
    counts = [cell.execution_count for cell in code_cells(notebook)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}, not 1 to {len(counts)}"
    if notebook.metadata.get("netinv", {}).get("code") != code_digest(notebook):
        yield "its code is not the code that gave its outputs; run book/tools/execute.py"


def faults(notebook, path):
    """No stored error, warning, dead widget, nor trace of the machine that ran it."""
    for number, cell in enumerate(code_cells(notebook), 1):
        at = f"code cell {number}"
        if any(output.output_type == "error" for output in cell.outputs):
            yield f"{at}: a stored error"
        stderr = [line for line in text_of(cell, "stderr").split("\n") if line.strip()]
        if any(not BAR.search(line.strip()) for line in stderr):
            yield f"{at}: something other than a progress bar on stderr: {stderr[0]!r}"
        if re.search(r"\b\w*Warning:", text_of(cell)):
            yield f"{at}: a stored warning; catch it and print its message"
        if any(WIDGET in output.get("data", {}) for output in cell.outputs):
            yield f"{at}: a widget is stored, which is dead on a page"
        found = MACHINE.search(text_of(cell))
        if found:
            yield f"{at}: a path or address of one machine, {found.group()!r}"


def cells(notebook, path):
    """Short cells, few of them unchecked, none hidden from the checks."""
    code = code_cells(notebook)
    for number, cell in enumerate(code, 1):
        lines = len(cell.source.splitlines())
        if not cell.source.strip() or lines > LINES:
            yield f"code cell {number}: {lines} lines; 1 to {LINES} are allowed"
        if tags(cell) & FORBIDDEN_TAGS or "NBVAL_" in cell.source:
            yield f"code cell {number}: a mark that hides it from the checks"
    ignored = sum("nbval-ignore-output" in tags(cell) for cell in code)
    if ignored * 3 > len(code):
        yield f"{ignored} of {len(code)} code cells are nbval-ignore-output; a third is allowed"


def figures(notebook, path):
    """Every picture shows something, has a caption, a name and alternative text of its own."""
    alts = set()
    for number, cell in enumerate(code_cells(notebook), 1):
        images, at = pictures(cell), f"code cell {number}"
        for image in images:
            yield from (f"{at}: {complaint}" for complaint in blank(image))
        if not images:
            if cell.metadata.get("mystnb"):
                yield f"{at}: described as a figure, but it shows none"
            continue
        if len(images) > 1:
            yield f"{at}: {len(images)} pictures; one caption and alternative text serve one"
        caption, name, alt = description(cell)
        if not caption or not name.startswith("fig-"):
            yield f"{at}: no mystnb.figure with a caption and a name `fig-…`"
        if len(alt) < 20:
            yield f"{at}: no mystnb.image.alt that says what is seen"
        if alt in alts:
            yield f"{at}: the alternative text of another figure"
        alts.add(alt)
        for words in (caption, alt):
            if MEASURED.search(words):
                yield f"{at}: a typed measured number, {MEASURED.search(words).group()!r}"
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and re.search(r"!\[\s*\]\(|<img(?![^>]*alt=)", cell.source):
            yield "a markdown picture without alternative text"


def description(cell) -> tuple[str, str, str]:
    """Caption, name and alternative text of a figure cell."""
    mystnb = cell.metadata.get("mystnb", {})
    figure, image = mystnb.get("figure", {}), mystnb.get("image", {})
    return figure.get("caption", ""), figure.get("name", ""), image.get("alt", "").strip()


def blank(png: bytes):
    """Complaints about a picture with nothing on it."""
    try:
        image = Image.open(io.BytesIO(png)).convert("RGBA")
    except OSError:
        yield "a picture that cannot be read"
        return
    white = Image.new("RGBA", image.size, "white")
    flat = Image.alpha_composite(white, image).convert("RGB")
    counts = [count for count, _ in flat.getcolors(flat.width * flat.height)]
    contrast = np.asarray(flat.convert("L")).std()
    ground = max(counts) / (flat.width * flat.height)
    if len(counts) < 8 or contrast < 5 or ground > 0.99:
        yield (
            f"a blank picture: {len(counts)} colours, contrast {contrast:.1f}, "
            f"{ground:.1%} of it in one colour"
        )


# --- exercises ------------------------------------------------------------------------------


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


def size(notebook, path):
    """A chapter loads quickly."""
    if path.stat().st_size > SIZE_LIMIT:
        yield f"{path.stat().st_size:,} bytes; a chapter may have {SIZE_LIMIT:,}"


CHECKS = (opening, order, faults, cells, figures, exercises, size)


# --- the chapters together ------------------------------------------------------------------


def together(notebooks: dict[Path, object]):
    """Complaints about what must be unique, or alike, over all chapters."""
    numbers = [int(path.name[:2]) for path in notebooks]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"the chapters' numbers are {numbers}"
    seen, setups = {}, set()
    for path, notebook in notebooks.items():
        for cell in notebook.cells:
            if "setup" in tags(cell):
                setups.add(cell.source)
            for word in _unique_words(cell):
                if word in seen:
                    yield f"{path.name}: {word!r} is also used in {seen[word]}"
                seen[word] = path.name
    if len(setups) > 1:
        yield "the chapters' set-up cells differ; run book/tools/setup_cell.py"


def _unique_words(cell) -> list[str]:
    if cell.cell_type == "markdown":
        return LABEL.findall(cell.source)
    return [word for word in description(cell)[1:] if word]


def complaints(path: Path) -> list[str]:
    """Everything that the checks have to say about one chapter."""
    notebook = nbformat.read(path, as_version=4)
    return [complaint for check in CHECKS for complaint in check(notebook, path)]


def main(arguments: list[str] | None = None) -> int:
    names = sys.argv[1:] if arguments is None else arguments
    paths = [Path(name) for name in names] or chapters()
    found = [f"{path.name}: {complaint}" for path in paths for complaint in complaints(path)]
    if not names:
        found += together({path: nbformat.read(path, as_version=4) for path in paths})
    print("\n".join(found) or f"{len(paths)} chapters, no complaints")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
