"""The API page names what the module offers, and the docstrings become valid reStructuredText."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import io
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import FunctionType

import pytest
from docutils.core import publish_doctree

import netinv_lite as nil
from netinv_lite import arguments, losses, metrics, plot

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "book" / "api.md").read_text(encoding="utf-8")


def extension():
    """book/_ext/api.py, which Sphinx finds and Python does not."""
    spec = importlib.util.spec_from_file_location("book_api", ROOT / "book" / "_ext" / "api.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


api = extension()
PAGE = api.listed()


def exported() -> list[str]:
    """What `netinv_lite/__init__.py` imports from its modules."""
    tree = ast.parse(Path(nil.__file__).read_text(encoding="utf-8"))
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.level]
    return [alias.name for node in imports for alias in node.names]


def public(module) -> list[str]:
    """The functions that a module defines or names in `__all__`."""
    own = [
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    ]
    return list(getattr(module, "__all__", own))


# --- the page -------------------------------------------------------------------------------


def test_every_public_name_is_on_the_page_once():
    wanted = [f"netinv_lite.{name}" for name in exported()]
    for module in (metrics, plot, losses):
        wanted += [f"{module.__name__}.{name}" for name in public(module)]
    assert len(wanted) > 50 and "netinv_lite.plot.confusion" in wanted
    count = Counter(PAGE)
    assert {name: count[name] for name in wanted if count[name] != 1} == {}
    assert max(count.values()) == 1


def test_names_on_the_page_exist_and_are_the_shortest():
    found = {name: api.resolve(name) for name in PAGE}
    assert len({id(value) for value in found.values()}) == len(found), "one object, two names"
    short = {id(getattr(nil, name)): f"netinv_lite.{name}" for name in exported()}
    longer = {name for name, value in found.items() if short.get(id(value), name) != name}
    assert not longer
    for name in re.findall(r"\bnil\.([\w.]*\w)", TEXT):
        assert api.resolve(f"netinv_lite.{name}") is not None


def test_every_object_has_a_docstring_that_sphinx_can_read():
    missing = []
    for name in PAGE:
        found = api.resolve(name)
        if name == "netinv_lite.PRESETS":  # a dict has none of its own: the page says what it is
            continue
        said = found.__doc__ or ""
        # What @dataclass writes by itself begins with a signature.
        if not said or said.startswith(f"{found.__name__}("):
            missing.append(name)
        members = vars(found).values() if inspect.isclass(found) else ()
        docs = [m.__doc__ for m in members if isinstance(m, (property, classmethod, FunctionType))]
        for docstring in (said, *filter(None, docs)):
            read(docstring)
    assert not missing


def test_the_commands_are_those_of_the_parser():
    listed = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)
    assert listed == arguments._parser()[1]


# --- the converter --------------------------------------------------------------------------


def parsed(lines: list[str]):
    """The document that docutils reads; any warning is a failure."""
    said = io.StringIO()
    settings = {"warning_stream": said, "report_level": 1, "smart_quotes": False}
    document = publish_doctree("\n".join(lines), settings_overrides=settings)
    assert not said.getvalue(), said.getvalue() + "\n".join(lines)
    return document


def read(docstring: str):
    return parsed(api.convert(inspect.cleandoc(docstring).splitlines()))


def kinds(document) -> list[str]:
    return [node.tagname for node in document.children]


@pytest.mark.parametrize(
    "line",
    [
        "L = α·KL(P‖Q) + β·CE(k, Q) + γ L_cos, weights ≥ 0.",
        "1/(N(N−1)) Σ_{i≠j} cos(f_i, f_j) at cost O(N·D)",
        "mean |x − b| in units of |b|, *args and **kwargs_, a*b*c",
        "‖UUᵀ‖_F = ‖UᵀU‖_F, x_ and _y_ and |z|_ [1]_",
        "a backslash \\ and a lone ` tick",
        "- is no bullet here",
        "+ c Σ_j is the second half of a line",
        "(a) is no list",
        "3. is no list either",
        "A. Author is a name",
        ":name: is no field",
        ".. note:: is no directive",
        ">>> is no doctest",
        "====",
        "this ends like a literal block::",
    ],
)
def test_plain_text_stays_what_it_was(line):
    document = read(f"Summary.\n\n{line}")
    assert kinds(document) == ["paragraph", "paragraph"]
    assert document.astext() == f"Summary.\n\n{line}"


def test_arrows_are_drawn():
    assert read("x (B,C,H,W) -> logits (B,K)").astext() == "x (B,C,H,W) → logits (B,K)"


def test_names_strings_and_errors_are_code():
    document = read("As `a_b`s (`c|d`), \"mnist-robust\" or '`e`'; raises ValueError, *not* NaN.")
    code = [node.astext() for node in document.findall() if node.tagname == "literal"]
    assert code == ["a_b", "c|d", '"mnist-robust"', "e", "ValueError"]
    assert [n.astext() for n in document.findall() if n.tagname == "emphasis"] == ["not"]
    assert "As a_bs (c|d)" in document.astext()


def test_items_become_a_definition_list():
    document = read(
        """Summary.

        x_1, y: the first, of |x|
            and more of it: with a colon.
        z (B,K): another `name`
        that goes on here.
        The text goes on. Raises ValueError for `x_1`.
        Source: Someone et al. 2020.

        Names: this is prose, and so is this:
        see a and b: no item.
        """
    )
    assert kinds(document) == ["paragraph", "definition_list", *["paragraph"] * 4]
    items = document.children[1].children
    assert [item.children[0].astext() for item in items] == ["x_1, y", "z (B,K)"]
    assert items[0].children[1].astext() == "the first, of |x| and more of it: with a colon."
    assert items[1].children[1].astext() == "another name that goes on here."
    assert [p.astext() for p in document.children[2:5]] == [
        "The text goes on.", "Raises ValueError for x_1.", "Source: Someone et al. 2020."
    ]  # fmt: skip


def test_an_item_may_follow_another_on_its_line():
    document = read(
        "Summary.\n\njobs: at a time; n: so many. cluster: an address,\nof a scheduler."
    )
    items = document.children[1].children
    assert [item.children[0].astext() for item in items] == ["jobs", "n", "cluster"]
    assert items[2].children[1].astext() == "an address, of a scheduler."


def test_names_on_the_page_are_links_but_not_an_objects_own():
    page = ["netinv_lite.invert", "netinv_lite.losses.margin", "netinv_lite.plot.losses"]
    name = "netinv_lite.losses.kl"
    assert api.target("invert", name, set(), page) == "netinv_lite.invert"
    assert api.target("margin", name, set(), page) == "netinv_lite.losses.margin"
    assert api.target("plot.losses", name, set(), page) == "netinv_lite.plot.losses"
    assert api.target("margin", name, {"margin"}, page) is None
    assert api.target("nothing", name, set(), page) is None
    lines = api.convert(["See `invert`."], lambda word: api.target(word, name, set(), page))
    assert lines[0] == "See :py:obj:`invert <netinv_lite.invert>`\\ ."
    assert "per_class" in api.own_words(
        "method", "netinv_lite.Inversion.sample", nil.Inversion.sample
    )


def test_settings_are_told_by_what_differs():
    assert api.brief(nil.InversionConfig()) == "InversionConfig()"
    assert api.brief(nil.InversionConfig(steps=9, lr=0.1)) == "InversionConfig(steps=9, lr=0.1)"

    @dataclass
    class Outer:
        inner: nil.InversionConfig = field(default_factory=lambda: nil.InversionConfig(steps=3))

    def told(signature: str, obj=Outer) -> str:
        return api.clear_signature(None, "class", "Outer", obj, None, signature, None)[0]

    assert told("(inner=<factory>)") == "(inner=InversionConfig(steps=3))"
    given = "(a: ~torch.Tensor, b: ~torch._C.Generator, c: str | ~torch.device = 'cpu')"
    clear = "(a: ~torch.Tensor, b: torch.Generator, c: str | torch.device = 'cpu')"
    assert told(given, nil.fit) == clear
    assert told("(f: ~typing.Callable[[...], dict])", nil.fit) == "(f: ~typing.Callable[..., dict])"
