"""The public names of the package with their signatures, as text.

`python tests/public_api.py` writes them to public_api.txt: commit it where a change is meant.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ForwardRef

import netinv_lite as nil

FILE = Path(__file__).with_suffix(".txt")
COMMAND = "python tests/public_api.py"
METHOD = ("conditioning", "generator", "losses", "presets", "inversion", "ensemble", "metrics")
HELP = ("data", "exercises")
WINGS = ("models", "baselines", "direct", "plot", "live", "studies")
USES = ("distillation", "ood", "ood_scores", "privacy", "reconstruction", "shortcuts")


class Text(str):
    """An annotation that is shown as it is written."""

    __repr__ = str.__str__


def rooms() -> dict[str, list[str]]:
    """The public names of each room: those of its `__all__`, else what it defines."""
    found = {}
    for room in (*METHOD, *HELP, *WINGS, *USES):
        module = getattr(nil, room)
        own = [name for name, value in vars(module).items() if defined(value, module.__name__)]
        names = getattr(module, "__all__", own)
        found[room] = sorted(name for name in names if not name.startswith("_"))
    return found


def defined(value: object, module: str) -> bool:
    """Whether a value is a function or a class of a module; one that keeps its results, too."""
    kept = inspect.isclass(value) or inspect.isfunction(getattr(value, "__wrapped__", value))
    return kept and value.__module__ == module


def public() -> dict[str, object]:
    """Every public object by the shortest name that a reader has for it."""
    found = {f"nil.{name}": getattr(nil, name) for name in sorted(nil.__all__)}
    top = {id(value) for value in found.values()}
    for room, names in rooms().items():
        values = {f"nil.{room}.{name}": getattr(getattr(nil, room), name) for name in names}
        found |= {name: value for name, value in values.items() if id(value) not in top}
    return found


# --- as text --------------------------------------------------------------------------------


def ours(function: object) -> bool:
    return getattr(function, "__module__", "").startswith("netinv_lite")


def signature(function: object) -> str:
    """(arguments) -> type, in one line, alike under every Python."""
    if inspect.isclass(function):  # Figure has that of matplotlib, a protocol none
        making = {"__init__", "__new__"}
        makers = [cls for cls in function.__mro__ if making & {*vars(cls)}]
        if not ours(makers[0]) or getattr(function, "_is_protocol", False):
            return ""
    found = inspect.signature(function)
    arguments = [p.replace(annotation=shown(p.annotation)) for p in found.parameters.values()]
    result = shown(found.return_annotation)
    found = found.replace(parameters=arguments, return_annotation=result)
    return " " + re.sub(r" at 0x[0-9a-f]+", "", str(found))


def shown(annotation: object) -> object:
    text = annotation.__forward_arg__ if isinstance(annotation, ForwardRef) else annotation
    return Text(text) if isinstance(text, str) else annotation


def members(cls: type) -> Iterator[tuple[str, object]]:
    """The public methods and properties that a class of the package defines itself."""
    for name, value in sorted(vars(cls).items()):
        function = getattr(value, "fget", getattr(value, "__func__", value))
        if not name.startswith("_") and inspect.isfunction(function) and ours(function):
            yield name, value


def lines_of(full: str, value: object) -> Iterator[str]:
    """One line for a name; of a class also one for each of its members."""
    if inspect.ismodule(value):
        yield f"{full}: module"
    elif inspect.isclass(value):
        kind = "dataclass" if dataclasses.is_dataclass(value) else "class"
        yield f"{full}: {kind}{signature(value)}"
        for name, member in members(value):
            kind = "property" if isinstance(member, property) else "method"
            function = member.fget if kind == "property" else getattr(value, name)
            yield f"{full}.{name}: {kind}{signature(function)}"
    elif callable(value):
        yield f"{full}: function{signature(value)}"
    else:
        yield f"{full}: constant"


def listing() -> str:
    """Every public name, one a line: the top level first, then room by room."""
    lines = [line for full, value in public().items() for line in lines_of(full, value)]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    FILE.write_text(listing(), encoding="utf-8")
    print(f"written: {FILE}")
