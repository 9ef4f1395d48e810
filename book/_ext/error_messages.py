"""Every error and warning that a package can raise, collected from its sources.

Nothing is imported or run: the sources are read, so that the list is whole and cannot drift.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from message_names import Names, Source, last_name, read_package, visited
from message_templates import Message, messages_of, text_of
from message_wrappers import Wrappers, raised, wrapped

# What the reader did by himself, with Ctrl-C, and what Python says of every module.
LEFT_OUT = {"KeyboardInterrupt", "AttributeError", "SystemExit", "NotImplementedError"}


@dataclass(frozen=True)
class Entry:
    """One message, at one place."""

    kind: str  # ValueError, UserWarning …
    message: Message
    module: str
    scope: str  # the function or method that raises it, "" at the top of a module
    line: int

    @property
    def text(self) -> str:
        return text_of(self.message)


@lru_cache(maxsize=4)
def collected(folder: Path) -> tuple[Entry, ...]:
    """Every message of the package in `folder`, in the order of the sources."""
    sources = read_package(folder)
    names = Names(sources)
    return tuple(entry for source in sources.values() for entry in _of_module(source, names))


def _of_module(source: Source, names: Names) -> list[Entry]:
    found, wrappers = [], Wrappers(source)

    def messages(node: ast.AST) -> tuple[str, list[Message]]:
        """The kind of an error or a warning, and all that it can say."""
        kind, expression = said_by(node)
        if expression is None:
            return kind, []

        def lookup(name: str) -> list[ast.expr]:
            return names.lookup(source, wrappers.function[node], node.lineno, name)

        return kind, messages_of(expression, lookup)

    for node, _, scope in visited(source.tree):
        kind, said = messages(node)
        handler = wrappers.around(node, kind) if said and isinstance(node, ast.Raise) else None
        if handler is not None:  # what is said inside is part of what a reader sees
            inner = kind
            kind, wholes = messages(raised(handler))
            said = [wrapped(whole, handler, inner, m) for whole in wholes for m in said]
        found += [Entry(kind, message, source.name, scope, node.lineno) for message in said]
    return sorted(found, key=lambda entry: entry.line)


def said_by(node: ast.AST) -> tuple[str, ast.expr | None]:
    """The class of what a statement raises or warns of, and the expression of its message."""
    if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
        kind = last_name(node.exc.func)
        return kind, None if kind in LEFT_OUT else _message(node.exc.args)
    if isinstance(node, ast.Call) and last_name(node.func) == "warn" and node.args:
        given = [*node.args[1:2], *(k.value for k in node.keywords if k.arg == "category")]
        return last_name(given[0]) if given else "UserWarning", node.args[0]
    return "", None


def _message(arguments: list[ast.expr]) -> ast.expr | None:
    """The argument that is the message: the last one, unless another is plainly text."""
    texts = [a for a in arguments if isinstance(a, (ast.JoinedStr, ast.Constant, ast.IfExp))]
    return next(iter(texts), arguments[-1] if arguments else None)
