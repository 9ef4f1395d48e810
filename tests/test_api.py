"""The API page names what the module offers, and Sphinx reads the docstrings without a warning."""

from __future__ import annotations

import inspect
import io
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from types import FunctionType

import pytest
from docutils.core import publish_doctree
from sphinx.ext.napoleon import Config, GoogleDocstring

import netinv_lite as nil
from netinv_lite import losses, metrics, plot
from netinv_lite.__main__ import main

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "book" / "api.md").read_text(encoding="utf-8")


sys.path.insert(0, str(ROOT / "book" / "_ext"))  # where Sphinx finds it and Python does not
api = import_module("api")
PAGE = api.listed()


def exported() -> list[str]:
    """The functions, classes and constants of the package itself; its rooms are modules."""
    return [name for name in nil.__all__ if not inspect.ismodule(getattr(nil, name))]


def public(module) -> list[str]:
    """The functions that a module defines or names in `__all__`."""
    own = [
        name
        for name, value in vars(module).items()
        if inspect.isfunction(value)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    ]
    named = [n for n in getattr(module, "__all__", own) if callable(getattr(module, n))]
    return named


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
        members = [m for m in members if isinstance(m, (property, classmethod, FunctionType))]
        # What matplotlib adds to a figure by itself is not on the page.
        docs = [
            m.__doc__ for m in members if "matplotlib" not in (inspect.getmodule(m) or nil).__name__
        ]
        for docstring in (said, *filter(None, docs)):
            read(docstring)
    assert not missing


def test_the_commands_are_those_of_the_parser(capsys):
    listed = re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)
    assert main([]) == 0
    helped = re.findall(r"^    (\w+)(?:  |$)", capsys.readouterr().out, re.MULTILINE)
    assert listed == helped and "invert" in listed


# --- docstrings -----------------------------------------------------------------------------


def parsed(lines: list[str]):
    """The document that docutils reads; any warning is a failure."""
    said = io.StringIO()
    settings = {"warning_stream": said, "report_level": 1, "smart_quotes": False}
    document = publish_doctree("\n".join(lines), settings_overrides=settings)
    assert not said.getvalue(), said.getvalue() + "\n".join(lines)
    return document


def read(docstring: str, *own: str):
    """The document of a docstring, by way of this extension and napoleon."""
    config = Config(napoleon_use_ivar=True, napoleon_use_rtype=False)
    lines = api.plain(inspect.cleandoc(docstring).splitlines(), frozenset(own))
    return parsed(str(GoogleDocstring(lines, config)).splitlines())


def tagged(document, tag: str) -> list[str]:
    return [node.astext() for node in document.findall() if node.tagname == tag]


@pytest.mark.parametrize(
    "line",
    [
        "L = α·KL(P‖Q) + β·CE(k, Q) + γ L_cos, weights ≥ 0.",
        "1/(N(N−1)) Σ_{i≠j} cos(f_i, f_j) at cost O(N·D)",
        "mean |x − b| in units of |b|, *args and **kwargs_, a*b*c",
        "‖UUᵀ‖_F = ‖UᵀU‖_F, x_ and _y_ and |z|_ [1]_",
        "a backslash \\ and a lone ` tick",
        "K.",
        "(a) is no list",
        "3. is no list either",
    ],
)
def test_plain_text_stays_what_it_was(line):
    assert read(f"Summary.\n\n{line}").astext() == f"Summary.\n\n{line}"
    document = read(f"Summary.\n\nArgs:\n    x: {line}\n\nReturns:\n    One.")
    assert [text.split(" – ")[-1] for text in tagged(document, "field_body")] == [line, "One."]


def test_names_and_strings_are_code_but_an_own_argument_is_no_link():
    document = read("As `a_b`s (`c|d`), \"mnist-robust\" or '`e`', *not* ``f``.", "e")
    assert tagged(document, "title_reference") == ["a_b", "c|d"]  # the role that Sphinx links
    assert tagged(document, "literal") == ['"mnist-robust"', "e", "f"]
    assert tagged(document, "emphasis") == ["not"]
    assert "As a_bs (c|d)" in document.astext()


GOOGLE = """Summary.

Args:
    x: images (B,C,H,W), |x| ≤ 1,
        and more of it: `y`.
    **kwargs: for `invert`.

Returns:
    Logits (B,K).

Raises:
    ValueError: x_ is no tensor.

Example:
    >>> print("a|b", 2 * 3)
    a|b 6

Source: Someone et al. 2020."""


def test_sections_become_fields_and_examples_stay_as_they_are():
    document = read(GOOGLE)
    assert tagged(document, "field_name") == [
        "param x",
        "param **kwargs",
        "returns",
        "raises ValueError",
    ]
    assert tagged(document, "field_body")[0] == "images (B,C,H,W), |x| ≤ 1,\nand more of it: y."
    assert tagged(document, "doctest_block") == ['>>> print("a|b", 2 * 3)\na|b 6']
    assert document.children[-1].astext() == "Source: Someone et al. 2020."


def test_without_sections_each_argument_is_a_paragraph():
    document = read("""Summary.

        x_1, y: the first, of |x|
            and more of it.
        z (B,K): another
        that goes on here.
        Source: Someone et al. 2020.""")
    assert [" ".join(p.split()) for p in tagged(document, "paragraph")] == [
        "Summary.",
        "x_1, y: the first, of |x| and more of it.",
        "z (B,K): another that goes on here.",
        "Source: Someone et al. 2020.",
    ]


# --- signatures and presets -----------------------------------------------------------------


def test_settings_are_told_by_what_differs():
    assert api.brief(nil.InversionConfig()) == "InversionConfig()"
    assert api.brief(nil.InversionConfig(steps=9, lr=0.1)) == "InversionConfig(steps=9, lr=0.1)"

    @dataclass
    class Outer:
        inner: nil.InversionConfig = field(default_factory=lambda: nil.InversionConfig(steps=3))
        other: dict = field(default_factory=dict)

    def told(signature: str, obj=Outer) -> str:
        return api.on_signature(None, "class", "Outer", obj, None, signature, None)[0]

    given = "(inner=<factory>, other=<factory>)"
    assert told(given) == "(inner=InversionConfig(steps=3), other={})"
    given = "(a: ~torch.Tensor, b: ~torch._C.Generator, c: str | ~torch.device = 'cpu')"
    clear = "(a: ~torch.Tensor, b: torch.Generator, c: str | torch.device = 'cpu')"
    assert told(given, nil.fit) == clear
