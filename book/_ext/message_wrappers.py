"""What is said of an error by the handler that catches it and raises it again in a sentence."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator

from message_names import Source, last_name, visited
from message_templates import Message, Slot


class Wrappers:
    """The handlers of a module that raise what they catch as an error of more words."""

    def __init__(self, source: Source):
        self.tries = dict(_inside(source.tree))
        self.function = {node: function for node, function, _ in visited(source.tree)}

    def around(self, node: ast.AST, kind: str) -> ast.ExceptHandler | None:
        """The handler through which every reader meets the error that a statement raises, or None.

        It stands around the statement, or around all calls of the private function that it is in.
        """
        handler, name = self._catching(node, kind), getattr(self.function[node], "name", "")
        if handler is not None or not name.startswith("_"):
            return handler
        found = {self._catching(call, kind) for call in self._calls(name)}
        return found.pop() if len(found) == 1 else None

    def _calls(self, name: str) -> Iterator[ast.Call]:
        """All calls of a function, without its own."""
        for node, function in self.function.items():
            outside = getattr(function, "name", "") != name
            if outside and isinstance(node, ast.Call) and last_name(node.func) == name:
                yield node

    def _catching(self, node: ast.AST, kind: str) -> ast.ExceptHandler | None:
        """The first handler around a node that catches a kind, if it raises again what it says."""
        handlers = [h for attempt in self.tries.get(node, ()) for h in attempt.handlers]
        first = next((h for h in handlers if _catches(h, kind)), None)
        return first if first is not None and raised(first) is not None else None


def raised(handler: ast.ExceptHandler) -> ast.Raise | None:
    """The statement with which a handler says the error that it has caught."""
    for node in ast.walk(handler):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            said = [n.id for n in ast.walk(node.exc) if isinstance(n, ast.Name)]
            if handler.name in said:
                return node
    return None


def wrapped(whole: Message, handler: ast.ExceptHandler, kind: str, said: Message) -> Message:
    """The message of a handler, with the words of the error that it catches."""
    words = {Slot(handler.name): said, Slot(f"type of {handler.name}"): (kind,)}
    return tuple(part for place in whole for part in words.get(place, (place,)))


def _inside(node: ast.AST, tries: tuple[ast.Try, ...] = ()) -> Iterator[tuple]:
    """(a node, the `try` statements around it in its function, from the inside out)."""
    for name, value in ast.iter_fields(node):
        for child in value if isinstance(value, list) else [value]:
            if not isinstance(child, ast.AST):
                continue
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                around = ()
            else:
                around = (node, *tries) if isinstance(node, ast.Try) and name == "body" else tries
            yield child, around
            yield from _inside(child, around)


def _catches(handler: ast.ExceptHandler, kind: str) -> bool:
    """Whether a handler catches errors of a kind, as far as names tell."""
    if handler.type is None:
        return True
    types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    names = [last_name(t) for t in types]
    return kind in names or any(
        issubclass(*classes)
        for classes in ((getattr(builtins, kind, None), getattr(builtins, n, None)) for n in names)
        if all(isinstance(c, type) for c in classes)
    )
