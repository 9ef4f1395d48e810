"""The public names: frozen with their signatures, alike wherever they are listed, loaded late."""

from __future__ import annotations

import ast
import difflib
import inspect
import subprocess
import sys
from pathlib import Path

import netinv_lite as nil
import public_api

PACKAGE = Path(nil.__file__).parent
STUB = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))


def test_names_and_signatures_are_those_on_file():
    kept = public_api.FILE.read_text(encoding="utf-8").splitlines()
    changed = [
        line
        for line in difflib.unified_diff(kept, public_api.listing().splitlines(), lineterm="", n=0)
        if line[:1] in "+-" and line[:3] not in ("+++", "---")
    ]
    assert not changed, (
        "The public interface has changed:\n" + "\n".join(changed) + "\nIf that is meant, rewrite "
        f"the list with `{public_api.COMMAND}`, commit it, and tell users in CHANGELOG.md; a name "
        "that is gone keeps working for one version, see netinv_lite/_core/moved.py."
    )


def test_the_stub_dir_and_what_can_be_loaded_agree():
    imported = {
        alias.asname or alias.name
        for node in STUB.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    (listed,) = (ast.literal_eval(n.value) for n in STUB.body if isinstance(n, ast.Assign))
    assert len({*listed}) == len(listed)
    assert imported == {*listed} == {*nil.__all__} == {*dir(nil)}
    for name in listed:
        assert getattr(nil, name) is not None


def test_all_that_a_room_lists_can_be_loaded():
    for room, names in public_api.rooms().items():
        module = getattr(nil, room)
        assert inspect.ismodule(module) and names, room
        assert {*names} <= {*dir(module)}, room
        assert all(hasattr(module, name) for name in names), room


def test_an_unknown_name_is_an_attribute_error():
    assert not hasattr(nil, "no_such_name")


def test_the_import_loads_neither_torch_nor_matplotlib():
    heavy = ("torch", "torchvision", "matplotlib", "numpy", "sklearn", "pandas")
    code = f"import sys, netinv_lite; print([name for name in {heavy} if name in sys.modules])"
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, cwd=PACKAGE.parent, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_package_is_marked_as_typed():
    assert (PACKAGE / "py.typed").is_file()
