"""Which names a cell defines and needs: a reader's page must hold all that its cells need."""

from __future__ import annotations

import ast
import re

from read_cells import code_cells, tags

MAGIC = re.compile(r"^([ \t]*)[%!].*", re.MULTILINE)  # of IPython


def names(notebook, path):
    """No cell that readers see needs a name that only cells they do not see define."""
    seen, unseen = set(), set()
    for number, cell in enumerate(code_cells(notebook), 1):
        defined, needed = _names(cell.source)
        if "remove-cell" in tags(cell):
            unseen |= defined
            continue
        seen |= defined
        for name in sorted((needed - seen) & unseen):
            yield f"code cell {number}: only a cell that readers do not see defines {name!r}"


def _names(source: str) -> tuple[set[str], set[str]]:
    """(what a cell defines, what it reads); magics are left out."""
    text = MAGIC.sub(r"\1pass", source)
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except SyntaxError:  # `check.faults` says so
        return set(), set()
    read = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    defined = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    defined |= {n.name for n in nodes if isinstance(n, (ast.FunctionDef, ast.ClassDef))}
    defined |= {n.arg for n in nodes if isinstance(n, ast.arg)}
    imports = [n for n in nodes if isinstance(n, (ast.Import, ast.ImportFrom))]
    defined |= {(a.asname or a.name).split(".")[0] for n in imports for a in n.names}
    return defined, read
