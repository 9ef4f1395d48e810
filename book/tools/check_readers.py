"""What a reader must be able to see: results as numbers, code within the page, the answer first."""

from __future__ import annotations

import re

from check_exercises import EXERCISE
from prose_numbers import FIELD
from read_cells import code_cells, tags, text_of

WIDTH = 76  # columns of the page
WORDS, LINES = 4500, 350  # of a chapter's text, and of its visible code
TABLES, CALL_OUTS = 2, 3
EXERCISES, OF_A_STUDY = 6, 3
STUDIES = 18  # the number of the first chapter of the part Studies
RESULTS = ":::{admonition} Results in brief"
FOLDED = {"remove-cell", "remove-input", "hide-input", "hide-cell", "setup"}
EXERCISE_CELLS = {"exercise-stub", "exercise-test", "exercise-solution"}
VERDICT = re.compile(r"\b(True|False)\b")
CALL_OUT = re.compile(r"^:::+\{admonition\}", re.MULTILINE)
NO_PROSE = re.compile(
    r"<!--.*?-->|^```.*?^```|\$\$.*?\$\$|\$[^$]*\$|`[^`]*`|\{[^}]*\}|\]\([^)]*\)",
    re.DOTALL | re.MULTILINE,
)
# Words of our own for things that have a name in the field.
PRIVATE = re.compile(
    r"\b(as asked|asked for|surer|surest|witness(?:es)?|ways? back|whoever|nought|by lot|"
    r"by dealing|drawer|bogey|straggler|mumbles?|whispers?|shouts?|choos(?:y|ier)|in a hundred)\b",
    re.IGNORECASE,
)


def results(notebook, path):
    """The answer stands first; results are tables and figures, and no line is a verdict."""
    _, _, box = _text(notebook).split("\n## ")[0].partition(RESULTS)
    if not box:
        yield f"no result box, `{RESULTS}`, before the first section"
    elif not FIELD.search(box.split("\n:::")[0]):
        yield "the result box holds no number that a cell computes"
    tables = 0
    for number, cell in enumerate(code_cells(notebook), 1):
        if tags(cell) & {"remove-cell", "remove-output", "setup"} or tags(cell) & EXERCISE_CELLS:
            continue
        tables += any("text/html" in output.get("data", {}) for output in cell.outputs)
        verdicts = [line for line in text_of(cell).splitlines() if VERDICT.search(line)]
        if verdicts:
            yield f"code cell {number}: a verdict is no result: {verdicts[0].strip()!r}"
    if tables < TABLES:
        yield f"{tables} tables; at least {TABLES} are wanted"


def code(notebook, path):
    """Code that a reader sees stays within the page, and there is not too much of it."""
    seen = 0
    for number, cell in enumerate(code_cells(notebook), 1):
        if tags(cell) & FOLDED:
            continue
        lines = [line for line in cell.source.splitlines() if line.strip()]
        wide = [line for line in lines if len(line) > WIDTH]
        if wide:
            yield f"code cell {number}: {len(wide[0])} columns, {WIDTH} are seen: {wide[0]!r}"
        seen += 0 if tags(cell) & EXERCISE_CELLS else len(lines)
    if seen > LINES:
        yield f"{seen} lines of visible code; {LINES} are allowed"


def prose(notebook, path):
    """Short enough to be read, in the field's words, with call-outs and exercises on the way."""
    text = _text(notebook)
    words = len(NO_PROSE.sub(" ", text).split())
    if words > WORDS:
        yield f"{words} words; {WORDS} are allowed"
    found = PRIVATE.findall(NO_PROSE.sub(" ", text))
    if found:
        yield f"words that the field does not use: {', '.join(sorted(set(found)))}"
    if len(CALL_OUT.findall(text)) < CALL_OUTS:
        yield f"{len(CALL_OUT.findall(text))} call-outs; at least {CALL_OUTS} are wanted"
    wanted = OF_A_STUDY if int(path.name[:2]) >= STUDIES else EXERCISES
    if len(EXERCISE.findall(text)) < wanted:
        yield f"{len(EXERCISE.findall(text))} exercises; at least {wanted} are wanted"


def _text(notebook) -> str:
    return "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")


CHECKS = (results, code, prose)
