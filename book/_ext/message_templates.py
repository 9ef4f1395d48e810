"""What an error says, read from the expression that makes it, without running any of it.

A message is a list of parts: text as it is written, and a `Slot` where a value goes. Constants of
the package, local names, `+`, implicit concatenation and both branches of a conditional are
followed; whatever cannot be known before the program runs is a slot with a name that says what
will stand there.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product

MOST = 6  # alternatives of one message that are told apart; more are told by a slot
ATTRIBUTES = {"__name__": "", "shape": "shape of ", "dtype": "type of "}
WRAPPERS = {"tuple", "str", "list", "repr", "map", "int", "float", "sorted", "max", "min", "set"}
METHODS = {"min": "least of ", "max": "largest of "}
LIBRARIES = {"np", "torch", "math"}
SIMPLE = (ast.BinOp, ast.Name, ast.Constant, ast.operator, ast.expr_context)


@dataclass(frozen=True)
class Slot:
    """A place in a message where a value will stand, with a name for the reader."""

    name: str

    def __str__(self) -> str:
        return f"‹{self.name}›"


Message = tuple  # of str and Slot
# A name -> the expressions that it may stand for; none where that is not known.
Lookup = Callable[[str], list[ast.expr]]


def messages_of(node: ast.expr, lookup: Lookup, seen: frozenset = frozenset()) -> list[Message]:
    """Every message that an expression can make, a slot for what cannot be known."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (str, int, float)):
        return [_merged([str(node.value)])]
    if isinstance(node, ast.JoinedStr):
        return _joined([_of_part(part, lookup, seen) for part in node.values])
    if isinstance(node, ast.BinOp) and _adds_text(node):
        return _joined([messages_of(side, lookup, seen) for side in (node.left, node.right)])
    if isinstance(node, ast.IfExp):
        branches = (node.body, node.orelse)
        return _unique(m for branch in branches for m in messages_of(branch, lookup, seen))
    if isinstance(node, ast.Name):
        return _of_name(node, lookup, seen)
    return [(Slot(spoken(node)),)]


def _of_name(node: ast.Name, lookup: Lookup, seen: frozenset) -> list[Message]:
    """What a name stands for; nothing new where it is made from itself."""
    if node.id in seen:
        return []
    inside = seen | {node.id}
    found = _unique(m for v in lookup(node.id) for m in messages_of(v, lookup, inside))
    known = any(isinstance(part, str) for m in found for part in m)
    return found if known else [(Slot(spoken(node)),)]


def _adds_text(node: ast.BinOp) -> bool:
    texts = [n for n in ast.walk(node) if isinstance(n, ast.Constant) and isinstance(n.value, str)]
    return isinstance(node.op, ast.Add) and bool(texts)


def _of_part(part: ast.expr, lookup: Lookup, seen: frozenset) -> list[Message]:
    """The alternatives of one part of an f-string."""
    if not isinstance(part, ast.FormattedValue):
        return messages_of(part, lookup, seen)
    found = messages_of(part.value, lookup, seen)
    if part.conversion == ord("r") and len(found) == 1 and isinstance(found[0][0], str):
        return [(repr(text_of(found[0])),)]
    if len(found) == 1 or all(_is_prose(m) or not m for m in found):
        return found
    if any(isinstance(p, Slot) for m in found for p in m):
        return [(Slot(spoken(part.value)),)]
    return [(Slot(" or ".join(filter(None, map(str.strip, map(text_of, found))))),)]


def _is_prose(message: Message) -> bool:
    """Whether it is long enough to be worth a line of its own, and no mere word."""
    return sum(len(part.split()) for part in message if isinstance(part, str)) > 1


def _joined(columns: list[list[Message]]) -> list[Message]:
    """Each choice of one alternative a column; too many of them are a slot."""
    total = 1
    for column in columns:
        total *= len(column)
    if total > MOST:
        columns = [c if len(c) == 1 else [(Slot("…"),)] for c in columns]
    return _unique(_merged(part for m in choice for part in m) for choice in product(*columns))


def _merged(parts: Iterable) -> Message:
    out: list = []
    for part in parts:
        if isinstance(part, str) and out and isinstance(out[-1], str):
            out[-1] += part
        elif part != "":
            out.append(part)
    return tuple(out)


def _unique(found: Iterable[Message]) -> list[Message]:
    return list(dict.fromkeys(found))


def text_of(message: Message) -> str:
    """The message in one line, slots as ‹name›."""
    return "".join(map(str, message))


# --- names for slots ------------------------------------------------------------------------


def spoken(node: ast.expr) -> str:
    """A few words for the value of an expression: `tuple(x.shape)` is "shape of x"."""
    if isinstance(node, ast.Name):
        return node.id.strip("_")
    if isinstance(node, ast.Attribute):
        return _spoken_attribute(node)
    if isinstance(node, ast.Call):
        return _spoken_call(node)
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        return node.slice.value if isinstance(node.slice.value, str) else spoken(node.value)
    if isinstance(node, (ast.Subscript, ast.Starred)):
        return spoken(node.value)
    if isinstance(node, (ast.BoolOp, ast.IfExp)):
        return spoken(node.values[0] if isinstance(node, ast.BoolOp) else node.body)
    if isinstance(node, (ast.GeneratorExp, ast.ListComp)):
        return spoken(node.generators[0].iter)
    if isinstance(node, ast.BinOp) and all(isinstance(n, SIMPLE) for n in ast.walk(node)):
        return ast.unparse(node)
    return "number" if isinstance(node, (ast.BinOp, ast.UnaryOp)) else "…"


def _spoken_attribute(node: ast.Attribute) -> str:
    if node.attr not in ATTRIBUTES:
        return node.attr.strip("_")
    return ATTRIBUTES[node.attr] + spoken(node.value)


def _spoken_call(node: ast.Call) -> str:
    function, args = node.func, node.args
    if isinstance(function, ast.Attribute):
        if function.attr == "join" and args:
            return spoken(args[0])
        owner = spoken(args[0] if args and spoken(function.value) in LIBRARIES else function.value)
        return owner if function.attr not in METHODS else METHODS[function.attr] + owner
    name = function.id if isinstance(function, ast.Name) else "…"
    if name == "getattr" and len(args) > 1:
        return "value" if isinstance(args[1], ast.Name) else spoken(args[1])
    if name in ("len", "type") and args:
        return ("number of " if name == "len" else "type of ") + spoken(args[0])
    return spoken(args[-1]) if name in WRAPPERS and args else name.strip("_").replace("_", " ")
