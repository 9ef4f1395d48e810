"""Self-contained notebooks: run where torch is and `netinv_lite` is not, without network.

Whole chapters are run so in test_chapters.py.
"""

import ast
import io
import zipfile

import nbformat
import pytest

import elsewhere
import execute
import recorded
import standalone
from fresh_machine import fresh_environment, run
from throwaway import chapter, code, save, stored_chapter


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """An interpreter that has every package of this one except `netinv_lite`."""
    found = elsewhere.interpreter(tmp_path_factory.mktemp("other") / "env")
    return found or pytest.skip("this account may not make links")


def run_elsewhere(notebook, python, folder):
    """Execute `notebook` with `python` in an empty folder, offline; returns what it printed."""
    home, empty = folder / "home", folder / "empty"
    home.mkdir()
    empty.mkdir()
    env = fresh_environment(home, root=None)
    run(notebook, empty, env=env, python=python)
    streams = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.get("text", "") for output in streams)


LOADS = """import os, subprocess, sys
import netinv_lite as nil
print(os.listdir(), "netinv_lite" in nil.__file__)
print(nil.load_referee("digits").num_classes, len(nil.studies.load_results("losses")) > 0)
judge = "import netinv_lite as nil; print(nil.load_judge('digits').num_classes)"
print(subprocess.run([sys.executable, "-c", judge], capture_output=True, text=True).stdout)"""
FILES = [
    "results/losses.csv",
    "weights/*.json",
    "weights/digits-judge.safetensors",
    "weights/digits-referee.safetensors",
]
MORE = """try:
    nil.load_classifier("digits")
except (OSError, ValueError):
    print("not embedded")"""


def test_what_a_chapter_opened_is_on_record_and_comes_with_the_notebook(python, tmp_path):
    """In the kernel or in another process, a network or a table; and nothing else comes."""
    notebook = chapter()
    notebook.cells = [notebook.cells[0], code(LOADS)]
    path = save(notebook, tmp_path)
    assert execute.main([str(path)]) == 0
    notebook = nbformat.read(path, as_version=4)
    assert notebook.metadata.netinv.files == FILES
    copy = standalone.standalone(notebook)
    copy.cells.append(code(MORE))
    assert run_elsewhere(copy, python, tmp_path) == "[] True\n10 True\n10\n\nnot embedded\n"


def test_without_the_extra_cell_it_does_not_run(python, tmp_path):
    notebook = chapter()
    notebook.cells = [notebook.cells[0], code(LOADS)]
    with pytest.raises(execute.CellExecutionError, match="No module named 'netinv_lite'"):
        run_elsewhere(notebook, python, tmp_path)


# --- what is embedded -----------------------------------------------------------------------


def write_tree(root):
    for name in (
        "netinv_lite/__init__.py",
        "netinv_lite/a/b.py",
        "netinv_lite/a/b.pyc",
        "netinv_lite/__pycache__/x.py",
        "netinv_lite/_data/weights/old.json",
        "data/weights/mnist.json",
        "data/weights/mnist.safetensors",
        "data/weights/svhn.json",
        "data/weights/svhn.safetensors",
        "data/results/speed.csv",
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)


def test_the_bundle_holds_the_sources_and_what_is_on_record_only(tmp_path):
    write_tree(tmp_path)
    notebook = stored_chapter(
        files=["results/speed.csv", "weights/*.json", "weights/mnist.safetensors"]
    )
    files = recorded.needed(notebook, tmp_path / "data")
    data = standalone.bundle(files, tmp_path)
    assert zipfile.ZipFile(io.BytesIO(data)).namelist() == [
        "netinv_lite/__init__.py",
        "netinv_lite/a/b.py",
        "netinv_lite/_data/results/speed.csv",
        "netinv_lite/_data/weights/mnist.json",
        "netinv_lite/_data/weights/mnist.safetensors",
        "netinv_lite/_data/weights/svhn.json",
    ]
    assert standalone.bundle(files, tmp_path) == data


def forget(notebook):
    del notebook.metadata["netinv"]["files"]


def edit(notebook):
    notebook.cells[3].source = "print(1)"


def lose(notebook):
    notebook.metadata["netinv"]["files"] = ["weights/gone.safetensors"]


@pytest.mark.parametrize("change", [forget, edit, lose])
def test_without_a_record_that_holds_nothing_is_written(change, tmp_path, capsys):
    notebook = stored_chapter()
    change(notebook)
    chapter, out = save(notebook, tmp_path), tmp_path / "out"
    out.mkdir()
    assert not standalone.write_copy(chapter, out)
    assert "run book/tools/execute.py" in capsys.readouterr().err
    assert not list(out.iterdir())


def test_the_chapter_itself_is_unchanged_and_its_outputs_stay():
    notebook = stored_chapter()
    before = nbformat.writes(notebook)
    copy = standalone.standalone(notebook)
    assert nbformat.writes(notebook) == before
    nbformat.validate(copy)
    assert copy.cells.pop(1).id == "netinv-lite-bundle"
    assert nbformat.writes(copy) == before


def test_the_extra_cell_is_python_and_its_lines_are_not_endless():
    cell = standalone.standalone(stored_chapter()).cells[1]
    ast.parse(cell.source)
    assert max(map(len, cell.source.splitlines())) <= standalone.LINE


def test_an_unknown_chapter_is_an_error(tmp_path, capsys):
    with pytest.raises(SystemExit):
        standalone.main(["99", "--out", str(tmp_path)])
    assert "no chapter 99; there are: " in capsys.readouterr().err
