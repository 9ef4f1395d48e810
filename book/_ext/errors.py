"""The page of errors: `{messages}` lists those of a heading, `{message}` leads to one of them.

The messages are read from the sources of the module, see `error_messages`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path

from api import listed
from docutils import nodes
from error_messages import Entry, collected
from message_callers import Callers, Place
from message_groups import KEYS, OTHER, Said, anchor_of, gathered
from message_names import read_package
from message_templates import Message, Slot
from sphinx import addnodes
from sphinx.util.docutils import SphinxDirective, SphinxRole

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "netinv_lite"
MOST = 3  # public names beside a message


@lru_cache(maxsize=4)
def anchors(folder: Path = PACKAGE) -> dict[tuple[str, str], str]:
    """(heading, problem) -> the anchor of the message; the same words twice are numbered."""
    found: dict[tuple[str, str], str] = {}
    for key in KEYS:
        for said in gathered(collected(folder), key):
            name, used = anchor_of(said.problem), set(found.values())
            numbered = (f"{name}-{n}" for n in range(2, 999))
            found[key, str(said.problem)] = (
                name if name not in used else next(other for other in numbered if other not in used)
            )
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


def place_of(entry: Entry, folder: Path = PACKAGE) -> list[nodes.Node]:
    """Through what a message comes: links to what the API page describes, else name and file."""
    targets = documented_callers(entry, folder)
    if not targets:
        file = nodes.inline("", entry.module.replace(".", "/") + ".py")
        return [nodes.literal("", entry.scope), nodes.Text(" in "), file] if entry.scope else [file]
    out: list[nodes.Node] = []
    for target in targets[:MOST]:
        link = addnodes.pending_xref(
            "",
            nodes.literal("", target.partition(".")[2]),
            refdomain="py",
            reftype="obj",
            reftarget=target,
        )
        out += [nodes.Text(", "), link] if out else [link]
    more = len(targets) - MOST
    return [*out, nodes.Text(f" and {more} more")] if more > 0 else out


def documented_callers(entry: Entry, folder: Path = PACKAGE) -> list[str]:
    """The nearest names of the API page through which a message comes, in the page's order.

    A private room such as `_core` is passed through where that leads to a public one.
    """
    described, start = on_the_page(folder), (entry.module, entry.scope)

    def outside(place: Place) -> bool:
        return "._" not in place[0] and bool(documented(place, described))

    places = callers(folder).above(start, outside) or callers(folder).above(
        start, lambda place: bool(documented(place, described))
    )
    order = [*described.values()]
    targets = {documented(place, described): place for place in places}
    return sorted(targets, key=lambda full: (order.index(_object(targets[full], described)), full))


def documented(place: Place, described: dict[Place, str]) -> str:
    """The name of a function, a class or a public method on the API page; "" if it has none."""
    module, name = place
    owner, _, member = re.sub(r"\.__\w+__$", "", name).partition(".")
    if (module, owner) not in described or member.startswith("_"):
        return ""
    return ".".join(filter(None, [described[module, owner], member]))


def _object(place: Place, described: dict[Place, str]) -> str:
    return described[place[0], place[1].partition(".")[0]]


@lru_cache(maxsize=4)
def callers(folder: Path) -> Callers:
    return Callers(read_package(folder))


@lru_cache(maxsize=4)
def on_the_page(folder: Path) -> dict[Place, str]:
    """What the API page describes, by where it is defined: full names in the page's order."""
    found = {callers(folder).place(full): full for full in listed()}
    return {place: full for place, full in found.items() if place}


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
        link = addnodes.pending_xref(
            "",
            nodes.inline("", words.strip()),
            refdomain="std",
            reftype="ref",
            refexplicit=True,
            reftarget=anchor,
            refdoc=self.env.docname,
            refwarn=True,
        )
        return [link], []


def setup(app):
    app.add_directive("messages", Messages)
    app.add_role("message", MessageRole())
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
