"""Who calls whom in a package, as far as names tell: through what a reader meets an error."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from message_names import Source, visited

Place = tuple[str, str]  # a module, and a function, class or method of it: ("a.b", "Class.method")
OWN = ("self", "cls")


class Callers:
    """The places of a package, and for each those that name it."""

    def __init__(self, sources: dict[str, Source]):
        self.sources = sources
        self.defined = {name: set(_definitions(source.tree)) for name, source in sources.items()}
        self.methods: dict[str, set[Place]] = {}
        for module, names in self.defined.items():
            for name in names:
                self.methods.setdefault(name.rpartition(".")[2], set()).add((module, name))
        self.up: dict[Place, set[Place]] = {}
        for source in sources.values():
            for node, _, scope in visited(source.tree):
                for place in self._named(node, source, scope):
                    if scope and place != (source.name, scope):
                        self.up.setdefault(place, set()).add((source.name, scope))

    def above(self, start: Place, is_end: Callable[[Place], bool]) -> list[Place]:
        """The nearest places that `is_end` accepts, on every way up from `start`."""
        found, seen, level = [], {start}, [start]
        while level:
            found += [place for place in level if is_end(place)]
            onward = [place for place in level if not is_end(place)]
            level = sorted({up for place in onward for up in self._over(place)} - seen)
            seen |= set(level)
        return found

    def _over(self, place: Place) -> set[Place]:
        """Those that name a place; of a method that nobody names, those that name its class."""
        module, name = place
        owner = name.rpartition(".")[0]
        found = self.up.get(place, set())
        implicit = not found or name.endswith("__")
        return found | {(module, owner)} if owner and implicit else found

    def _named(self, node: ast.AST, source: Source, scope: str) -> Iterator[Place]:
        """The places of the package that a name or an attribute stands for."""
        if isinstance(node, ast.Name):
            found = self._resolved(source.name, node.id)
            if found:
                yield found
        elif isinstance(node, ast.Attribute):
            yield from self._attribute(node, source, scope)

    def _attribute(self, node: ast.Attribute, source: Source, scope: str) -> Iterator[Place]:
        owner = node.value.id if isinstance(node.value, ast.Name) else ""
        if owner in OWN and f"{scope.split('.')[0]}.{node.attr}" in self.defined[source.name]:
            yield source.name, f"{scope.split('.')[0]}.{node.attr}"
            return
        of_module = self._resolved(self._module(*source.imported.get(owner, ("", ""))), node.attr)
        of_class = self._resolved(source.name, owner)
        if of_module:
            yield of_module
        elif of_class:
            yield of_class[0], f"{of_class[1]}.{node.attr}"
        else:  # a method of an unknown object: it is known where only one class has such
            places = [p for p in self.methods.get(node.attr, ()) if "." in p[1]]
            yield from places if len(places) == 1 else ()

    def _resolved(self, module: str, name: str) -> Place | None:
        """Where a name of a module is defined, through its imports."""
        for _ in range(5):
            if name in self.defined.get(module, ()):
                return module, name
            source = self.sources.get(module)
            module, name = source.imported.get(name, ("", "")) if source else ("", "")
        return None

    def place(self, full: str) -> Place | None:
        """Where an object is defined that a reader calls `full`, such as package.room.function."""
        module, *path = full.split(".")
        for name in path[:-1]:
            module = self._module(module, name)
        return self._resolved(module, path[-1]) if path else None

    def _module(self, module: str, name: str) -> str:
        """The module that `name` is in a package: a file of it, or one that it imports."""
        source = self.sources.get(module)
        if f"{module}.{name}" in self.sources or source is None or name not in source.imported:
            return f"{module}.{name}"
        return ".".join(source.imported[name])


def _definitions(node: ast.AST, scope: str = "") -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            name = f"{scope}.{child.name}".lstrip(".")
            yield name
            yield from _definitions(child, name)
        else:
            yield from _definitions(child, scope)
