"""Turn the docstrings of the module into the API page, as Sphinx's autodoc reads them.

Docstrings are plain text, to be read in a terminal: names between single backticks, equations in
unicode, arguments as `name: text` at the start of a line. `convert` writes them as
reStructuredText. Names that the page describes become links.
"""

from __future__ import annotations

import inspect
import re
import sys
from contextlib import suppress
from dataclasses import MISSING, fields, is_dataclass
from functools import partial
from importlib import import_module
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "book" / "api.md"

_ITEM = re.compile(r"([a-z_]\w*(?:, [a-z_]\w*)*)( \([^()]*\))?: (.+)")
# Where a paragraph is divided: before an item that follows a sentence, before errors and source;
# an item also before the next one after a semicolon.
_BREAK = re.compile(r"(?<=\.) (?=[a-z_]\w*: |Raises |Source: )")
_BREAK_ITEM = re.compile(rf"{_BREAK.pattern}|; (?=[a-z_]\w*: )")
_TOKEN = re.compile(
    r"(?P<ticks>`+)(?P<code>[^`]+)(?P=ticks)"
    r'|(?P<string>"[^"\s]*")'
    r"|(?P<error>\b[A-Z]\w*(?:Error|Interrupt)\b)"
    r"|(?<![\w*])\*(?P<stressed>[^\W\d_]+)\*(?![\w*])"
)
# What would make a list, a table, a comment or the like of the beginning of a paragraph.
_LEADING = re.compile(r"(?!:py:obj:`)([!-&'()+-/:-@[\]^{}~])|(\w+)([.)])(?=\s|$)")
_OBJECT = re.compile(r"^\.\. (?:auto\w+|py:data):: (\S+)", re.MULTILINE)


def listed(page: Path = PAGE) -> list[str]:
    """The full names that the page describes, in its order."""
    return _OBJECT.findall(page.read_text(encoding="utf-8"))


def resolve(full: str):
    """The object called `full`, a module's name and attributes."""
    module, path = full, []
    while True:
        try:
            found = import_module(module)
            break
        except ModuleNotFoundError:
            module, _, last = module.rpartition(".")
            path.insert(0, last)
            if not module:
                raise
    for name in path:
        found = getattr(found, name)
    return found


# --- from plain text to reStructuredText ----------------------------------------------------


def chunks(lines: list[str]) -> list[tuple[str, str, str]]:
    """The paragraphs of a docstring, each on one line: (names, shape, text), names "" for prose.

    An item goes on in lines that are indented, or that do not start a sentence of their own.
    """
    found: list[list[str]] = []
    current = None
    indented = False
    for line in lines:
        text = line.strip()
        item = _ITEM.fullmatch(line.rstrip())
        if not text:
            current = None
        elif item or text.startswith(("Source: ", "Raises ")) or _ends(current, line, indented):
            current = [*item.groups("")] if item else ["", "", text]
            found.append(current)
            indented = False
        else:
            current[2] += f" {text}"
            indented = indented or line.startswith(" ")
    return [part for chunk in found for part in _divided(*chunk)]


def _ends(current: list[str] | None, line: str, indented: bool) -> bool:
    """True where `line` does not go on with the chunk before it."""
    if current is None:
        return True
    if not current[0] or line.startswith(" "):
        return False
    return indented or (current[2].endswith(".") and line[0].isupper())


def _divided(names: str, shape: str, text: str) -> list[tuple[str, str, str]]:
    first, *rest = (_BREAK_ITEM if names else _BREAK).split(text)
    return [(names, shape, first), *map(_item_or_prose, rest)]


def _item_or_prose(text: str) -> tuple[str, str, str]:
    item = _ITEM.fullmatch(text)
    return item.groups("") if item else ("", "", text)


def inline(text: str, link=lambda word: None) -> str:
    """`text` with its markup escaped; names, strings and errors as code, or as links."""
    out, end = "", 0
    for token in _TOKEN.finditer(text):
        out += _escaped(text[end : token.start()])
        # Inline markup needs a boundary: an escaped blank is one, and is not shown.
        out += "\\ " if out and not out[-1].isspace() else ""
        end = token.end()
        out += _marked(token, link) + ("\\ " if text[end : end + 1].strip() else "")
    return out + _escaped(text[end:])


def _escaped(text: str) -> str:
    text = text.replace("->", "→").replace("<-", "←")
    return re.sub(r"([\\*_|`])", r"\\\1", text)


def _marked(token: re.Match, link) -> str:
    if token["stressed"]:
        return f"*{token['stressed']}*"
    word = token["string"] or token["error"] or token["code"].strip()
    full = token["code"] and link(word)
    return f":py:obj:`{word} <{full}>`" if full else f"``{word}``"


def paragraph(text: str, link=lambda word: None) -> str:
    """`inline`, and nothing at its beginning that starts a list or another block."""
    text = inline(text, link).lstrip()
    text = re.sub(r"^Source:", "*Source:*", text)
    if _LEADING.match(text):
        text = _LEADING.sub(lambda m: f"{m[2] or ''}\\{m[1] or m[3]}", text, count=1)
    return re.sub(r"::$", r":\\:", text)


def convert(lines: list[str], link=lambda word: None) -> list[str]:
    """The lines of a docstring as reStructuredText; link: name -> the full name, or None."""
    out, item_before = [], False
    for names, shape, text in chunks(lines):
        if not names:
            out += ["", paragraph(text, link)]
        else:
            term = ", ".join(f"``{name}``" for name in names.split(", ")) + _escaped(shape)
            # Without an empty line between them, items are one list.
            out += [*([] if item_before else [""]), term, f"    {paragraph(text, link)}"]
        item_before = bool(names)
    return [*out[1:], ""]


# --- what autodoc asks ----------------------------------------------------------------------


def target(word: str, name: str, own: set[str], page: list[str]) -> str | None:
    """What `word` in the docstring of `name` links to; its arguments and members are `own`."""
    if word in own:
        return None
    home = name.rpartition(".")[0]
    for full in (f"{home}.{word}", f"netinv_lite.{word}"):
        if full in page and full != name:
            return full
    found = [full for full in page if full.endswith(f".{word}") and full != name]
    return found[0] if len(found) == 1 else None


def own_words(what: str, name: str, obj) -> set[str]:
    """The arguments of an object and the members of its class, which are no links."""
    words = {name.rpartition(".")[2]}
    with suppress(TypeError, ValueError):  # not everything can be called
        words |= set(inspect.signature(obj).parameters)
    if what in ("method", "property", "attribute"):
        obj = resolve(name.rpartition(".")[0])
    return words | set(dir(obj)) if inspect.isclass(obj) else words


def translate(app, what, name, obj, options, lines) -> None:
    """autodoc-process-docstring: the converted lines in place of the docstring's."""
    own = own_words(what, name, obj)
    lines[:] = convert(lines, partial(target, name=name, own=own, page=listed()))


def clear_signature(app, what, name, obj, options, signature, annotation):
    """autodoc-process-signature: what a dataclass makes by default in place of `<factory>`.

    Two types keep their module: `Generator` is a class of this package, `device` an argument.
    """
    if not signature:
        return None
    signature = re.sub(r"~torch\.(?:_C\.)?(Generator|device)\b", r"torch.\1", signature)
    signature = signature.replace("Callable[[...], ", "Callable[..., ")  # as it was written
    for field in fields(obj) if is_dataclass(obj) else ():
        if field.default_factory is not MISSING:
            signature = signature.replace("<factory>", brief(field.default_factory()), 1)
    return signature, annotation


def brief(settings) -> str:
    """A dataclass as code, with only what differs from its defaults."""
    if not is_dataclass(settings):
        return repr(settings)
    values = [(f.name, getattr(settings, f.name)) for f in fields(settings)]
    default = {f.name: f.default for f in fields(settings)}
    changed = (f"{name}={value!r}" for name, value in values if value != default[name])
    return f"{type(settings).__name__}({', '.join(changed)})"


class Presets(Directive):
    """`.. presets:: netinv_lite.PRESETS`: lines `name: text`, each followed by its settings.

    An error, and with it no book, where the names are not those of the presets.
    """

    required_arguments = 1
    has_content = True

    def run(self):
        presets = resolve(self.arguments[0])
        entries = re.split(r"\n(?=\S)", "\n".join(self.content))
        said = dict(" ".join(entry.split()).split(": ", 1) for entry in entries)
        if list(said) != list(presets):
            raise self.error(f"the presets are {list(presets)}, not {list(said)}")
        lines = []
        for name, text in said.items():
            settings = " and ".join(f"``{brief(part)}``" for part in presets[name])
            lines += [f'``"{name}"``', f"    {paragraph(text)}", "", f"    {settings}"]
        parent = nodes.Element()
        self.state.nested_parse(StringList(lines, source="presets"), self.content_offset, parent)
        return parent.children


def setup(app):
    # The page describes the module beside the book, not one that happens to be installed.
    sys.path.insert(0, str(ROOT))
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", translate)
    app.connect("autodoc-process-signature", clear_signature)
    app.add_directive("presets", Presets)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
