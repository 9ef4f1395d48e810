"""Every chapter, run again as a reader would and compared with what it stores.

Each is one test, which conftest.py shares between the workers one by one; inside it a
pytest of its own runs nbval, offline, on one thread and without NETINV_DATA. Some run in this
checkout, the others as self-contained notebooks: no chapter runs twice.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import check
import elsewhere
import execute
import recorded
import standalone
from fresh_machine import fresh_environment
from netinv_lite.models import imagenet
from setup_cell import ROOT, pages
from throwaway import code, save, stored_chapter, stream

# Those that open most kinds of shipped files: judges, referees, the deep network, generators.
SELF_CONTAINED = ("01", "08", "10", "11", "16", "17")
CHAPTERS = [path for path in pages() if path.name[:2] not in SELF_CONTAINED]
COPIED = [path for path in pages() if path.name[:2] in SELF_CONTAINED]
# Without the extra `imagenet` they run on smaller networks, and store what comes of it with.
OF_THE_EXTRA = ("26",)
LONGEST = 900  # seconds for one chapter, on a busy machine


def run_nbval(path, folder, *, python=sys.executable, root=ROOT):
    """Run nbval on the notebook at `path`; returns the finished process.

    Its attribute `opened` names the shipped files that were opened.
    """
    # An ini file of its own: neither the project's options nor its conftest are meant here.
    ini, home, log = (folder / name for name in ("nbval.ini", "home", "opened"))
    ini.write_text("[pytest]\n")
    home.mkdir()
    command = [python, "-m", "pytest", "-c", str(ini), "--rootdir", str(path.parent)]
    command += ["-p", "no:xdist", "-p", "no:cacheprovider", "-p", "nbval_stderr"]
    command += ["-p", "nbval_numbers"]
    command += ["--noconftest", "--color=no", "-q"]
    command += ["--nbval", "--nbval-current-env", "--nbval-cell-timeout=600", str(path)]
    env = fresh_environment(home, root=root) | recorded.environment(log)
    env["PYTHONPATH"] += os.pathsep + str(Path(__file__).parent)
    result = subprocess.run(
        command,
        cwd=path.parent,
        env=env,
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        timeout=LONGEST,
    )
    result.opened = recorded.opened(log)
    return result


def report(result):
    """The failed cells of an nbval run, with stored and new output, without colours."""
    text = execute.ANSI.sub("", result.stdout + result.stderr)
    failures = text.split("= FAILURES =", 1)[-1]
    return re.sub(r"\n{3,}", "\n\n", "nbval:\n" + failures.strip("=\n"))


def compare(path, folder, **machine):
    """Fail where the notebook at `path` does not give what it stores; else what it opened."""
    result = run_nbval(path, folder, **machine)
    if result.returncode:
        pytest.fail(f"{path.name}\n{report(result)}", pytrace=False)
    return result.opened


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter_gives_what_it_stores(path, tmp_path):
    if path.name[:2] in OF_THE_EXTRA and not imagenet.available():
        pytest.skip(f"needs {imagenet.INSTALL}")
    opened = compare(path, tmp_path)
    try:
        beyond = recorded.beyond(opened, nbformat.read(path, as_version=4))
    except ValueError:
        return  # test_stored_outputs.py says that it has no record
    assert not beyond, "opened and not on record; run book/tools/execute.py"


@pytest.mark.parametrize("path", COPIED, ids=lambda path: path.stem)
def test_self_contained_chapter_gives_what_it_stores(path, tmp_path, capsys):
    """The copy that `standalone.py` writes, alone in a folder, where the module is not."""
    python, alone = elsewhere.interpreter(tmp_path / "env"), tmp_path / "alone"
    if python is None:  # this account may not make links: at least the chapter itself
        compare(path, tmp_path)
        return
    assert standalone.main([path.name[:2], "--out", str(alone)]) == 0, capsys.readouterr().err
    opened = compare(alone / path.name, tmp_path, python=python, root=None)
    assert not opened, "its files are its own, not those of this checkout"


CELL_BY_CELL = """import sys
sys.modules["efficientnet_lite_pytorch"] = None  # as if it were not installed
import nbformat
from IPython.core.interactiveshell import InteractiveShell
for cell in nbformat.read(sys.argv[1], as_version=4).cells:
    if cell.cell_type == "code":
        InteractiveShell.instance().run_cell(cell.source).raise_error()"""


@pytest.mark.parametrize("number", OF_THE_EXTRA)
def test_without_the_extra_a_chapter_says_so_and_runs(number, tmp_path):
    (path,) = (path for path in pages() if path.name[:2] == number)
    command = [sys.executable, "-c", CELL_BY_CELL, str(path)]
    env = fresh_environment(tmp_path) | {"MPLBACKEND": "agg"}
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=LONGEST)
    assert result.returncode == 0, execute.ANSI.sub("", result.stdout[-3000:] + result.stderr)
    assert imagenet.INSTALL in result.stdout and "Until then: CIFAR-10" in result.stdout


# --- nbval itself, as set up here -----------------------------------------------------------

ENVIRONMENT = """import os, pathlib, socket
import netinv_lite as nil
print("NETINV_DATA" in os.environ, os.environ["OMP_NUM_THREADS"])
print(list(pathlib.Path.home().glob(".cache/*")))
try:
    socket.create_connection(("192.0.2.1", 80), timeout=1)
except OSError as error:
    print(error.strerror)
judge = nil.load_judge("digits")"""
OFFLINE = "False 1\n[]\nnetwork access is blocked in this run ('192.0.2.1')\n"


def stored(*cells):
    """A notebook of (source, what it printed, tag ...) that looks as if it had run."""
    notebook = stored_chapter()
    notebook.cells = [code(source, *tags) for source, _, *tags in cells]
    for number, (_, text, *_) in enumerate(cells, 1):
        notebook.cells[number - 1].execution_count = number
        notebook.cells[number - 1].outputs = [stream(text)] if text else []
    return notebook


def test_a_chapter_runs_offline_without_data_on_one_thread(tmp_path, monkeypatch):
    monkeypatch.setenv("NETINV_DATA", str(tmp_path))
    monkeypatch.setenv("PYTEST_ADDOPTS", "--no-such-option")
    notebook = stored(
        (ENVIRONMENT, OFFLINE), ("print(id(print))", "another\n", "nbval-ignore-output")
    )
    result = run_nbval(save(notebook, tmp_path), tmp_path)
    assert result.returncode == 0, report(result)
    assert "2 passed" in result.stdout
    assert recorded.beyond(result.opened, stored_chapter()) == sorted(result.opened)
    assert recorded.beyond(result.opened, stored_chapter(["weights/*.json"])) == [
        "weights/digits-judge.safetensors"
    ]


def test_changed_outputs_errors_and_downloads_fail_and_are_shown(tmp_path):
    fetch = "import urllib.request\nurllib.request.urlopen('http://192.0.2.1/x')"
    solved = "from netinv_lite import attempt\nattempt(lambda f: f(1), lambda x: x)"
    notebook = stored(
        ("print('accuracy 0.99')", "accuracy 0.98\n"),
        (solved, "Not yet: <lambda> is still empty.\n"),
        (fetch, ""),
        ("1 / 0", "", "nbval-ignore-output"),
        ("import sys\nprint('a remark', file=sys.stderr)", ""),
    )
    result = run_nbval(save(notebook, tmp_path), tmp_path)
    text = report(result)
    assert result.returncode == 1 and "5 failed" in result.stdout
    for words in (
        *("Cell 0", "accuracy 0.98", "accuracy 0.99"),
        *("Cell 1", "Solved: <lambda>"),
        *("Cell 2", "network access is blocked in this run ('192.0.2.1')"),
        *("Cell 3", "ZeroDivisionError"),
        *("Cell 4", "{'stderr'}", "a remark\n"),
    ):
        assert words in text, text
    assert "\x1b" not in text


def test_a_notebook_without_code_does_not_pass(tmp_path):
    notebook = stored_chapter()
    notebook.cells = notebook.cells[:1]
    assert not check.code_cells(notebook)
    assert run_nbval(save(notebook, tmp_path), tmp_path).returncode == 5
