"""The house: few doors at the top, and imports that lead one way only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "netinv_lite"
# Who may know whom: a room knows those of the rows above, and itself.
ROWS = (
    ("_core",),
    ("data", "conditioning", "exercises"),
    ("generator", "losses", "metrics"),
    ("presets", "models", "plot"),
    ("saving",),
    ("inversion",),
    ("ensemble", "baselines", "direct"),
    ("applications", "live"),
    ("studies",),
    ("cli",),
    ("__main__",),
)
RANK = {room: rank for rank, rooms in enumerate(ROWS) for room in rooms}
SOURCES = sorted(p for p in PACKAGE.rglob("*.py") if "_data" not in p.parts)


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def used(tree: ast.AST):
    """Every node but those that only a type checker reads."""
    yield tree
    for child in ast.iter_child_nodes(tree):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from used(child)


def imported(path: Path) -> set[str]:
    """The rooms that a file imports from, anywhere in it."""
    parents = path.relative_to(PACKAGE).parts[:-1]
    found = set()
    for node in used(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = parents[: len(parents) - (node.level - 1)]
            module = [*base, *(node.module or "").split(".")] if node.module else list(base)
            found |= {module[0]} if module else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("netinv_lite"):
            parts = node.module.split(".")[1:]
            found |= {parts[0]} if parts else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            names = [a.name.split(".") for a in node.names]
            found |= {n[1] for n in names if n[0] == "netinv_lite" and len(n) > 1}
    return found & {*RANK}


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_lead_one_way(path):
    if path == PACKAGE / "__init__.py":
        return
    mine = room_of(path)
    above = {room for room in imported(path) - {mine} if RANK[room] >= RANK[mine]}
    assert not above, f"{mine} may not know {', '.join(sorted(above))}"


def test_the_rule_sees_an_import_that_leads_up():
    assert "inversion" in imported(PACKAGE / "baselines" / "dafl.py")
    assert "plot" in imported(PACKAGE / "inversion.py"), "one inside a function counts, too"
    assert "studies" not in imported(PACKAGE / "applications" / "ood.py")


def test_the_top_has_at_most_twelve_modules_and_every_room_a_row():
    modules = {p.stem for p in PACKAGE.glob("*.py")}
    assert len(modules) <= 12, sorted(modules)
    wings = {p.parent.name for p in PACKAGE.glob("*/__init__.py")}
    assert modules - {"__init__"} | wings == {*RANK}


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_the_tree_is_drawn_with_a_line_a_room(page):
    text = (PACKAGE.parent / page).read_text(encoding="utf-8")
    for room in {*RANK} - {"__main__"}:
        name = f"{room}/" if (PACKAGE / room).is_dir() else f"{room}.py"
        assert name in text, f"{page} says nothing of {name}"
