"""Read stored chapters, without running them, and say what a reader would stumble over.

python book/tools/check.py [book/01-*.ipynb ...]     without a name: every chapter
"""

from __future__ import annotations

import ast
import io
import re
import sys
from pathlib import Path

import nbformat
import numpy as np
from PIL import Image

import check_readers
import prose_numbers
import recorded
from check_exercises import LABEL, exercises
from check_names import names
from execute import SIZE_LIMIT, WIDGET, cost_text, needed
from read_cells import code_cells, description, pictures, tags, text_of
from setup_cell import chapters, pages

LINES = 25  # of a code cell
SECONDS = 180  # of a chapter
FORBIDDEN_TAGS = {"raises-exception", "nbval-skip", "nbval-raises-exception"}
BAR = re.compile(r"\d+%\|.*\|.*\[.*\]|^\d+(it|step|batch)? ?\[.*\]$")
MEASURED = re.compile(r"\d+\.\d+|\d+ *(%|per ?cent)")
MACHINE = re.compile(r"/tmp/|/home/|/root/|/Users/|[A-Z]:\\Users|0x[0-9a-f]{8,}")


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


def record(notebook, path):
    """Its code is what ran, its text says what came out, and what it opened is still there."""
    try:
        recorded.needed(notebook)
    except ValueError as error:
        yield str(error)
    kept = notebook.metadata.get("netinv", {}).get("prose")
    if prose_numbers.fields(notebook) and kept != prose_numbers.digest(notebook):
        yield "its text has numbers that no run has filled in; run book/tools/execute.py"
    for cell in notebook.cells:
        line = re.search(r"^ {0,3}<!--=.*", cell.source, re.MULTILINE)
        if cell.cell_type == "markdown" and line:
            yield f"a line that begins with a number's field is shown as it is: {line[0][:60]!r}"


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
        if "remove-cell" in tags(cell):
            yield from (f"code cell {number}: {what}" for what in claims(cell))
    ignored = sum("nbval-ignore-output" in tags(cell) for cell in code)
    if ignored * 3 > len(code):
        yield f"{ignored} of {len(code)} code cells are nbval-ignore-output; a third is allowed"


def claims(cell):
    """What readers do not see checks a claim of the text, and says nothing."""
    try:
        asserts = [n for n in ast.walk(ast.parse(cell.source)) if isinstance(n, ast.Assert)]
    except SyntaxError:
        asserts = []
    if not asserts or any(node.msg is None for node in asserts):
        yield "a cell that readers do not see holds asserts, each with its reason"
    if cell.outputs:
        yield "a cell that readers do not see prints something"


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


def size(notebook, path):
    """A chapter loads quickly."""
    if path.stat().st_size > SIZE_LIMIT:
        yield f"{path.stat().st_size:,} bytes; a chapter may have {SIZE_LIMIT:,}"


CHECKS = (opening, order, record, faults, cells, names, figures, exercises, size)


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
        yield "the chapters' set-up cells differ; book/tools/setup_cell.py has the one"


def _unique_words(cell) -> list[str]:
    if cell.cell_type == "markdown":
        return LABEL.findall(cell.source)
    return [word for word in description(cell)[1:] if word]


def complaints(path: Path) -> list[str]:
    """Everything that the checks have to say about one chapter."""
    notebook = nbformat.read(path, as_version=4)
    return [complaint for check in checks(path) for complaint in check(notebook, path)]


def checks(path: Path) -> tuple:
    """Those that apply: the page of answers has no aims and no exercises."""
    if path.stem == "answers":
        return (order, record, faults, cells, names, figures, size, check_readers.results)
    return (*CHECKS, *check_readers.CHECKS)


def main(arguments: list[str] | None = None) -> int:
    names = sys.argv[1:] if arguments is None else arguments
    paths = [Path(name) for name in names] or pages()
    found = [f"{path.name}: {complaint}" for path in paths for complaint in complaints(path)]
    if not names:
        found += together({path: nbformat.read(path, as_version=4) for path in chapters()})
    print("\n".join(found) or f"{len(paths)} pages, no complaints")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
