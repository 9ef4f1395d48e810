"""Where a message ends to say what is wrong and begins to say what to do."""

from __future__ import annotations

import re

from message_templates import Message, Slot, text_of

# How advice begins, after a full stop, a colon or a semicolon.
_VERBS = (
    "add|apply|ask|call|check|choose|convert|copy|correct|cut|delete|divide|download|draw|fetch"
    "|get|give|hand|install|keep|leave|let|load|lower|make|map|move|name|pass|permute|pick|put"
    "|raise|remove|rename|replace|rescale|reshape|restore|return|rewrite|run|sample|save|say|set"
    "|shorten|split|stack|start|state|take|train|try|turn|unset|use|wrap|write"
)
_BEGINS = re.compile(rf"(?:(?:or|and|please|instead|then|first) )?(?:{_VERBS})\b", re.IGNORECASE)
# What is asked of a value is advice, too: "per_class=0: at least 1 is needed."
_ASKS = re.compile(
    r"\b(?:needed|needs?|required|expected|must|should|is meant|at least|at most|for example"
    r"|of one shape|is loaded with|did you mean|known:|it has:|belong together|lies? from"
    r"|is saved as|are (?:whole )?number(?:s|ed)|(?:is|are) the least|a multiple of|a fraction of"
    r"|have one|take no|see:|so far|keeps what|pip install|python -m|may help|ways out|is now"
    r"|this makes)\b",
    re.IGNORECASE,
)
# A sentence ends before a capital, an identifier in code or a bracket; "e.g." does not end one.
_ENDS = re.compile(r"(?<=[.?!]) (?=[A-Z`(‹\"'])|(?<=[.?!]) (?=torch\.|\w+=)|(?<=[:;]) ")


def split(message: Message) -> tuple[Message, Message]:
    """(what is wrong, what to do); the second is empty where the message does not say it."""
    text = text_of(message)
    ends = [m for m in _ENDS.finditer(text) if _balanced(text[: m.start()])]
    for end in ends:
        said = text[: end.start()]
        # The first full stop divides by itself; a colon only where something is said before it.
        advice = _BEGINS.match if said[-1] == ";" else advises
        if said[-1] in ".?!" or (_says_something(said) and advice(text[end.end() :])):
            return _cut(message, end.start(), end.end())
    return message, ()


def _says_something(text: str) -> bool:
    return "=" in text or len(re.sub(r"‹[^›]*›", "", text).split()) > 1


def advises(text: str) -> bool:
    """Whether a clause begins as advice does, or asks for something."""
    clause = re.split(r"[;:.] ", text)[0]
    return bool(_BEGINS.match(text) or _ASKS.search(clause) or clause.endswith("?"))


def says_what_to_do(message: Message) -> bool:
    """Whether a message helps: by advice of its own, or by what it asks for."""
    problem, advice = split(message)
    text = text_of(problem)
    return bool(advice) or bool(_BEGINS.match(text) or _ASKS.search(text))


def _balanced(text: str) -> bool:
    """Whether no bracket is open at the end."""
    return text.count("(") <= text.count(")") and text.count("[") <= text.count("]")


def _cut(message: Message, end: int, start: int) -> tuple[Message, Message]:
    """The parts up to `end` and those from `start` on, counted in the text of the message."""
    before, after, place = [], [], 0
    for part in message:
        if isinstance(part, Slot):
            (before if place < end else after).append(part)
        else:
            before.append(part[: max(0, end - place)])
            after.append(part[max(0, start - place) :])
        place += len(str(part))
    return tuple(filter(None, before)), tuple(filter(None, after))
