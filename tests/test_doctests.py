"""Every example in a docstring runs, and every public function and class has one."""

from __future__ import annotations

import doctest
import inspect
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import netinv_lite as nil
import public_api
from netinv_lite import losses

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
PACKAGE = Path(nil.__file__).parent


def members(module: ModuleType) -> Iterator[tuple[str, object]]:
    """The functions and classes that a module defines; decorated ones, too."""
    for name, value in vars(module).items():
        if public_api.defined(value, module.__name__):
            yield name, value


def examples(module: ModuleType) -> list[doctest.DocTest]:
    """Each test begins with no names at all, so that a reader can paste it."""
    finder, tests = doctest.DocTestFinder(), []
    for name, value in members(module):
        globs = {"__name__": "__main__"}
        tests += finder.find(value, f"{module.__name__}.{name}", module=False, globs=globs)
    return [test for test in tests if test.examples]


def with_examples() -> list[str]:
    """The modules that hold examples; found in the files, so that none is imported for it."""
    files = [p for p in PACKAGE.rglob("*.py") if ">>>" in p.read_text(encoding="utf-8")]
    parts = [p.relative_to(PACKAGE.parent).with_suffix("").parts for p in sorted(files)]
    return [".".join(p).removesuffix(".__init__") for p in parts]


@pytest.fixture(autouse=True)
def terms_of_its_own():
    """An example that registers a loss term leaves no trace."""
    known = dict(losses.TERMS)
    yield
    losses.TERMS.clear()
    losses.TERMS.update(known)


@pytest.mark.filterwarnings("ignore:The generator has collapsed")
@pytest.mark.parametrize("name", with_examples())
def test_examples_run(name):
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    tests = examples(import_module(name))
    assert tests, f"the examples of {name} are not found"
    for test in tests:
        runner.run(test, out=said.append)
    assert not said, "".join(said)


def described() -> dict[str, object]:
    """The functions and classes of the package and of its rooms, by the name a reader uses."""
    return {
        name: value
        for name, value in public_api.public().items()
        if inspect.isclass(value) or callable(value)
    }


def lacking() -> set[str]:
    return {name for name, value in described().items() if ">>>" not in (value.__doc__ or "")}


def test_every_public_name_has_an_example():
    assert len(described()) > 100
    assert not lacking(), "write an `Example:` that runs"
