"""The page of errors: `{messages}` lists those of a heading, `{message}` leads to one of them.

The messages are read from the sources of the module, see `error_messages`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from docutils import nodes
from error_messages import Entry, collected
from message_groups import KEYS, OTHER, Said, anchor_of, gathered
from message_templates import Message, Slot
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective, SphinxRole

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "netinv_lite"


@lru_cache(maxsize=4)
def anchors(folder: Path = PACKAGE) -> dict[tuple[str, str], str]:
    """(heading, problem) -> the anchor of the message; the same words twice are numbered."""
    found: dict[tuple[str, str], str] = {}
    for key in KEYS:
        for said in gathered(collected(folder), key):
            name, used = anchor_of(said.problem), set(found.values())
            numbered = (f"{name}-{n}" for n in range(2, 999))
            found[key, str(said.problem)] = name if name not in used else next(
                other for other in numbered if other not in used)  # fmt: skip
    return found


def find(fragment: str, folder: Path = PACKAGE) -> str:
    """The anchor of the first message that holds `fragment`; a ValueError where there is none."""
    known = anchors(folder)
    for key in KEYS:
        for said in gathered(collected(folder), key):
            if any(fragment in entry.text for entry in said.places):
                return known[key, str(said.problem)]
    raise ValueError(f"no message of the module holds {fragment!r}")


# --- nodes ----------------------------------------------------------------------------------


def written(message: Message) -> list[nodes.Node]:
    """The text of a message, letter by letter, slots in italics."""
    out = []
    for part in message:
        kind = nodes.emphasis if isinstance(part, Slot) else nodes.inline
        # As the terminal shows it: straight quotes, dots that are three dots.
        out.append(kind("", str(part), support_smartquotes=False))
    return out


def place_of(entry: Entry) -> list[nodes.Node]:
    """Where a message comes from: links to what the API page describes, else a name and a file."""
    names = [name.removesuffix(".__init__").removesuffix(".__post_init__").removesuffix(".__call__")
             for name in (entry.raised_by or (entry.scope,))[:3] if name]  # fmt: skip
    targets = [documented(entry.module, name) for name in names]
    out: list[nodes.Node] = []
    for name, target in zip(names, targets, strict=True):
        code = nodes.literal("", target.partition(".")[2] if target else name)
        out += [nodes.Text(", ")] if out else []
        out.append(code if target is None else addnodes.pending_xref(
            "", code, refdomain="py", reftype="obj", reftarget=target))  # fmt: skip
    if any(targets):
        return out
    file = entry.module.replace(".", "/") + ".py"
    return [*out, nodes.Text(" in " if out else ""), nodes.inline("", file)]


def documented(module: str, name: str, page: list[str] | None = None) -> str | None:
    """The name under which the API page describes an object of a module, wherever that is."""
    owner, _, member = name.partition(".")
    page = listed() if page is None else page
    found = [full for full in page if full.rpartition(".")[2] == owner]
    if len(found) > 1:  # the names of rooms are told apart by the module's own
        found = [full for full in found if full.split(".")[-2] in module.split(".")]
    return ".".join(filter(None, [found[0], member])) if len(found) == 1 else None


def listed() -> list[str]:
    """The full names that the API page describes."""
    from api import listed as on_the_page

    return on_the_page()


def item(said: Said, anchor: str) -> nodes.definition_list_item:
    """One message: what is wrong, what to do, which error it is and where it comes from."""
    term = nodes.term("", "", *written(said.problem), ids=[anchor])
    body = nodes.definition()
    body += [nodes.paragraph("", "", *written(advice)) for advice in said.advice]
    where: list[nodes.Node] = [nodes.literal("", " or ".join(said.kinds))]
    for entry in said.places:
        where += [nodes.Text(" · "), *place_of(entry)]
    body += nodes.paragraph("", "", *where, classes=["where"])
    return nodes.definition_list_item("", term, body)


class Messages(SphinxDirective):
    """`.. messages:: key`: the messages under one heading."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        key = self.arguments[0]
        if key not in KEYS:
            raise self.error(f"{key!r} is none of {', '.join(KEYS)}")
        for path in PACKAGE.rglob("*.py"):
            self.env.note_dependency(str(path))
        items = []
        for said in gathered(collected(PACKAGE), key):
            anchor = anchors()[key, str(said.problem)]
            domain = self.env.get_domain("std")
            domain.note_hyperlink_target(anchor, self.env.docname, anchor)
            items.append(item(said, anchor))
        if not items:
            return []
        title = [nodes.rubric("", "Everything else")] if key == OTHER else []
        return [*title, nodes.definition_list("", *items, classes=["messages"])]


class MessageRole(SphinxRole):
    """{message}`words <fragment of the message>`: a link to the message; no such, no book."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        words, _, fragment = self.text.rpartition("<")
        try:
            anchor = find(fragment.rstrip(">"))
        except ValueError as error:
            return [], [self.inliner.reporter.error(str(error), line=self.lineno)]
        link = addnodes.pending_xref("", nodes.inline("", words.strip()), refdomain="std",
                                     reftype="ref", refexplicit=True, reftarget=anchor,
                                     refdoc=self.env.docname, refwarn=True)  # fmt: skip
        return [link], []


def setup(app):
    app.add_directive("messages", Messages)
    app.add_role("message", MessageRole())
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
