"""Numbers in a chapter's text that its own cells compute, filled in when it is executed.

The text says `<!--= f"{accuracy:.0%}" -->96%<!--/-->`: the expression, which is evaluated after the
last cell, and what came out. Readers see the number alone.
"""

from __future__ import annotations

import hashlib
import json
import re

import nbformat

from read_cells import text_of

FIELD = re.compile(r"(<!--=\s*(.+?)\s*-->)(.*?)(<!--/-->)", re.DOTALL)


def fields(notebook) -> list[re.Match]:
    """Every field of the text, in order."""
    texts = [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]
    return [found for text in texts for found in FIELD.finditer(text)]


def question(notebook):
    """A code cell that prints what the fields' expressions come to, to be run after the last."""
    lines = [f"    str({found[2]})," for found in fields(notebook)]
    source = "\n".join(["import json as _json", "print(_json.dumps([", *lines, "]))"])
    return nbformat.v4.new_code_cell(source)


def fill(notebook, values: list[str]) -> None:
    """Put `values` into the fields, in order."""
    left = iter(values)
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = FIELD.sub(lambda m: f"{m[1]}{next(left)}{m[4]}", cell.source)


def digest(notebook) -> str:
    """SHA-256 of the fields and what is in them."""
    return hashlib.sha256("\0".join(found[0] for found in fields(notebook)).encode()).hexdigest()


def values(cell) -> list[str]:
    """What the cell that `question` made has printed."""
    return json.loads(text_of(cell, "stdout"))
