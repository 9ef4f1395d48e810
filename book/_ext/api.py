"""What autodoc and napoleon leave to do on the API page.

Docstrings are in Google style and otherwise plain text, to be read in a terminal: |x|, f_i and 2*x
are meant as they stand. `plain` escapes what reStructuredText would take for markup, before
napoleon reads the sections; a name between single backticks becomes code, and a link where the page
describes it.
"""

from __future__ import annotations

import inspect
import re
import sys
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from importlib import import_module
from pathlib import Path

from sphinx.util.nodes import make_refnode

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "book" / "api.md"

_OBJECT = re.compile(r"^\.\. (?:auto\w+|py:data):: (\S+)", re.MULTILINE)
_SECTION = re.compile(r"[A-Z][a-z]+( [A-Za-z]+)?:$")
_ITEM = re.compile(r"(?:Source|[a-z_]\w*(?:, [a-z_]\w*)*(?: \([^()]*\))?): ")
_CODE = re.compile(r"""(?P<ticks>`+)(?P<name>[^`]+)(?P=ticks)|(?P<string>"[^"\s]*")""")
_ENUMERATED = re.compile(r"((?:^\s*|: )(?:\(?[A-Za-z]|\d+))([.)])(?=\s|$)")
_STRESSED = re.compile(r"(?<![\w*])\*[^\W\d_]+\*(?![\w*])")


def listed(page: Path = PAGE) -> list[str]:
    """The full names that the page describes, in its order."""
    return _OBJECT.findall(page.read_text(encoding="utf-8"))


def resolve(full: str):
    """The object that a reader calls `full`: attributes first, and modules not yet imported."""
    package, *path = full.split(".")
    found = import_module(package)
    for name in path:
        try:
            found = getattr(found, name)
        except AttributeError:
            found = import_module(f"{found.__name__}.{name}")
    return found


# --- plain text -----------------------------------------------------------------------------


def escaped(text: str, own: frozenset = frozenset()) -> str:
    """A line of plain text as reStructuredText; names in `own` are code and no links."""
    out, end = "", 0
    for token in _CODE.finditer(text):
        name = token["string"] or token["name"]
        literal = token["string"] or name in own or len(token["ticks"] or "") > 1
        out += _text(text[end : token.start()])
        # Inline markup needs a boundary: an escaped blank is one, and is not shown.
        out += "\\ " if out and not out[-1].isspace() else ""
        end = token.end()
        out += f"``{name}``" if literal else f"`{name}`"
        out += "\\ " if text[end : end + 1].strip() else ""
    return out + _text(text[end:])


def _text(text: str) -> str:
    """Text without code: a single *word* may be stressed, all else is meant as it stands."""
    pieces, end = [], 0
    for star in _STRESSED.finditer(text):
        pieces += [_signs(text[end : star.start()]), star.group()]
        end = star.end()
    return "".join([*pieces, _signs(text[end:])])


def _signs(text: str) -> str:
    text = re.sub(r"([\\*|`])", r"\\\1", text)
    text = re.sub(r"_(?!\w)", r"\\_", text)
    return _ENUMERATED.sub(r"\1\\\2", text)  # a sentence such as "x: K." is no list


def plain(lines: list[str], own: frozenset = frozenset()) -> list[str]:
    """The lines of a docstring with markup escaped, examples and sections as they are.

    Outside of a section a line that is set in goes on with the one before, and `name: text` begins
    a paragraph.
    """
    out: list[str] = []
    section = doctest = False
    for line in lines:
        doctest = bool(line.strip()) and (doctest or line.lstrip().startswith(">>>"))
        if not line.startswith(" ") and line:
            section = bool(_SECTION.match(line))
        if doctest or (section and not line.startswith(" ")):
            out.append(line)
        elif section or not line.strip():
            out.append(escaped(line, own))
        else:
            out += [""] if _ITEM.match(line) and out and out[-1] else []
            out.append(escaped(line.strip(), own))
    return out


def on_docstring(app, what, name, obj, options, lines) -> None:
    """autodoc-process-docstring, before napoleon."""
    own = {name.rpartition(".")[2]}
    with suppress(TypeError, ValueError):  # not everything can be called
        own |= set(inspect.signature(obj).parameters)
    lines[:] = plain(lines, frozenset(own))


def on_missing(app, env, node, contnode):
    """missing-reference: a name in backticks that is the end of one full name of the page."""
    if node.get("refdomain") != "py" or node.get("reftype") != "obj":
        return None
    target, domain = node["reftarget"], env.get_domain("py")
    found = [full for full in domain.objects if full.endswith(f".{target}")]
    if "." not in target:  # a method is meant only together with its class
        found = [full for full in found if domain.objects[full].objtype != "method"]
    if len(found) != 1:
        return None
    entry, here = domain.objects[found[0]], node.get("refdoc", env.docname)
    return make_refnode(app.builder, here, entry.docname, entry.node_id, contnode, found[0])


# --- signatures -----------------------------------------------------------------------------


def on_signature(app, what, name, obj, options, signature, annotation):
    """autodoc-process-signature: what a dataclass makes by default in place of `<factory>`.

    Two types keep their module, because arguments are called by their names: torch.device and
    torch.Generator.
    """
    if not signature:
        return None
    signature = re.sub(r"~torch\.(?:_C\.)?(Generator|device)\b", r"torch.\1", signature)
    for field in fields(obj) if is_dataclass(obj) else ():
        if field.default_factory is not MISSING:
            signature = signature.replace("<factory>", brief(field.default_factory()), 1)
    return signature, annotation


def brief(settings) -> str:
    """A dataclass as code, with only what differs from its defaults."""
    if not is_dataclass(settings):
        return repr(settings)
    default = {f.name: f.default for f in fields(settings)}
    values = [(name, getattr(settings, name)) for name in default]
    changed = (f"{n}={v!r}" for n, v in values if v != default[n] and v != {})
    return f"{type(settings).__name__}({', '.join(changed)})"


def setup(app):
    # The page describes the module beside the book, not one that happens to be installed.
    sys.path.insert(0, str(ROOT))
    app.setup_extension("sphinx.ext.napoleon")
    app.connect("autodoc-process-docstring", on_docstring, priority=400)
    app.connect("autodoc-process-signature", on_signature)
    app.connect("missing-reference", on_missing)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
