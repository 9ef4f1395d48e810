"""What the names in a message stand for: the sources of a package, and what they assign."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Source:
    """One module: its tree, and its place in the package."""

    path: Path
    name: str  # as in an import: netinv_lite.metrics
    tree: ast.Module
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)  # name -> (module, name)

    @property
    def functions(self) -> list[ast.AST]:
        kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
        return [node for node in ast.walk(self.tree) if isinstance(node, kinds)]


def read_package(folder: Path) -> dict[str, Source]:
    """The modules of the package in `folder`, by name."""
    sources = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        tree = ast.parse(path.read_text(encoding="utf-8"))
        source = Source(path, name, tree, _imported(tree, name, path.stem == "__init__"))
        stub = path.with_suffix(".pyi")
        if stub.is_file():  # what a package loads when it is first used
            lazy = ast.parse(stub.read_text(encoding="utf-8"))
            source.imported |= _imported(lazy, name, path.stem == "__init__")
        sources[name] = source
    return sources


def _imported(tree: ast.Module, name: str, is_package: bool) -> dict[str, tuple[str, str]]:
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            up = node.level - is_package
            base = name.split(".")[: -up or None] if node.level else []
            module = ".".join([*base, *filter(None, [node.module])])
            for alias in node.names:
                found[alias.asname or alias.name] = (module, alias.name)
        elif isinstance(node, ast.keyword) and node.arg == "submod_attrs":  # of lazy_loader.attach
            for module, names in ast.literal_eval(node.value).items():
                found |= {attribute: (f"{name}.{module}", attribute) for attribute in names}
    return found


# --- what a name stands for -----------------------------------------------------------------


class Names:
    """Finds what a name in a message stands for: a local, an argument, a constant."""

    def __init__(self, sources: dict[str, Source]):
        self.sources = sources
        self.calls: dict[str, list[tuple[ast.Call, Source, ast.AST | None]]] = {}
        for source in sources.values():
            for node, function, _ in visited(source.tree):
                if isinstance(node, ast.Call):
                    self.calls.setdefault(last_name(node.func), []).append((node, source, function))

    def lookup(self, source: Source, function, line: int, name: str) -> list[ast.expr]:
        """The expressions that `name` may stand for at a line of a function, or none."""
        if function is not None:
            local = [node for node in _assigned(function, name) if node.lineno <= line]
            if local:
                return local if all(map(_says_something, local)) else []
            if name in [a.arg for a in _arguments(function)]:
                return self._given(source, function, name)
        return self._constant(source.name, name)

    def _constant(self, module: str, name: str) -> list[ast.expr]:
        """A constant of a module, or of the one that it is imported from."""
        for _ in range(5):  # through as many re-exports
            source = self.sources.get(module)
            if source is None:
                return []
            for node in source.tree.body:
                if name in _targets(node) and _says_something(node.value):
                    return [node.value]
            module, name = source.imported.get(name, ("", name))
        return []

    def _given(self, own: Source, function, name: str) -> list[ast.expr]:
        """The texts that the calls in the package give to an argument, its default among them."""
        names = [a.arg for a in _arguments(function)]
        place = names.index(name) - (names[:1] in (["self"], ["cls"]))
        given: list[ast.expr] = []
        for call, source, caller in self.calls.get(function.name, []):
            if function.name.startswith("_") and source is not own:
                continue  # another function of that name
            values = [k.value for k in call.keywords if k.arg == name]
            for value in values or call.args[place : place + 1]:
                passed_on = isinstance(value, ast.Name) and caller is not function
                found = passed_on and self.lookup(source, caller, call.lineno, value.id)
                given += found or [value]
        if given and (default := _default(function, name)) is not None:
            given.insert(0, default)
        known = all(isinstance(v, ast.Constant) and isinstance(v.value, str) for v in given)
        return given if known and len({v.value for v in given}) <= 4 else []


def _says_something(node: ast.expr | None) -> bool:
    """Whether an expression can be a text, or a number that is known."""
    if isinstance(node, ast.Constant):
        return isinstance(node.value, (str, int, float)) and not isinstance(node.value, bool)
    if isinstance(node, ast.IfExp):
        return _says_something(node.body) and _says_something(node.orelse)
    return isinstance(node, (ast.JoinedStr, ast.Name)) or (
        isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add)
    )


def _targets(node: ast.AST) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [t.id for t in targets if isinstance(t, ast.Name)] if hasattr(node, "value") else []


def _assigned(function, name: str) -> list[ast.expr]:
    """What is assigned to a local name; an expression that cannot be text where it is a loop's."""
    found = []
    for node in ast.walk(function):
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)):
            if name in _targets(node):
                found.append(node.value)
            elif name in _unpacked(node):
                found.append(ast.copy_location(ast.Tuple([], ast.Load()), node))
        elif isinstance(node, (ast.For, ast.comprehension)) and name in _names(node.target):
            found.append(ast.copy_location(ast.Tuple([], ast.Load()), node.iter))
    return found


def _unpacked(node: ast.AST) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else []
    return [n for t in targets if isinstance(t, ast.Tuple) for n in _names(t)]


def _names(node: ast.AST) -> list[str]:
    return [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]


def _arguments(function) -> list[ast.arg]:
    return [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]


def _default(function, name: str) -> ast.expr | None:
    args = function.args
    plain = [*args.posonlyargs, *args.args]
    pairs = [
        *zip(plain[::-1], args.defaults[::-1], strict=False),
        *zip(args.kwonlyargs, args.kw_defaults, strict=True),
    ]
    return next((value for arg, value in pairs if arg.arg == name), None)


def last_name(node: ast.expr) -> str:
    """`c` of a.b.c."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def visited(node: ast.AST, function=None, scope: str = ""):
    """(node, the function around it, its name with that of its class) of all below a node."""
    for child in ast.iter_child_nodes(node):
        yield child, function, scope
        name = getattr(child, "name", "")
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from visited(child, child, f"{scope}.{name}".lstrip("."))
        elif isinstance(child, ast.ClassDef):
            yield from visited(child, function, f"{scope}.{name}".lstrip("."))
        else:
            yield from visited(child, function, scope)
