"""Every chapter as it is stored, without running it; and that each check can fail."""

import ast

import nbformat
import pytest
from PIL import Image

import check
import check_exercises
import execute
from setup_cell import pages
from throwaway import code, picture, save, stored_chapter, stream

PAGES = pages()
CHAPTERS = [path for path in PAGES if path.name[:2].isdigit()]


def test_the_book_has_chapters():
    assert CHAPTERS, "no notebook matches book/NN-name.ipynb"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_stored_page(path):
    complaints = check.complaints(path)
    assert not complaints, "\n".join([path.name, *complaints])


def test_the_chapters_agree():
    notebooks = {path: nbformat.read(path, as_version=4) for path in CHAPTERS}
    complaints = list(check.together(notebooks))
    assert not complaints, "\n".join(complaints)


# --- the checks themselves ------------------------------------------------------------------


def test_a_good_chapter_has_no_complaints(tmp_path):
    assert check.complaints(save(stored_chapter(), tmp_path)) == []


def cells(notebook):
    return check.code_cells(notebook)


def set_source(index, text):
    return lambda notebook: cells(notebook)[index].update(source=text)


def set_outputs(index, *outputs):
    return lambda notebook: cells(notebook)[index].update(outputs=list(outputs))


def set_tags(index, *tags):
    return lambda notebook: cells(notebook)[index].metadata.update(tags=list(tags))


def set_figure(part, key, text):
    return lambda notebook: cells(notebook)[1].metadata.mystnb[part].update({key: text})


def replace(index, old, new):
    def change(notebook):
        cell = notebook.cells[index]
        assert old in cell.source
        cell.source = cell.source.replace(old, new)

    return change


def drop(index):
    return lambda notebook: notebook.cells.pop(index)


def ignore_many(notebook):
    for cell in cells(notebook)[:9]:
        cell.metadata["tags"] = [*cell.metadata.get("tags", []), "nbval-ignore-output"]


def hidden(source):
    def change(notebook):
        cells(notebook)[2].update(source=source, outputs=[])
        set_tags(2, "remove-cell")(notebook)

    return change


def lend(notebook):
    """A cell that readers see gets a name from one that they do not see."""
    hidden("share = 0.9\nassert share > 0.8, 'a reason'")(notebook)
    notebook.cells.append(code("2 * share"))


def enlarge(notebook):
    notebook.cells[0].source += " " * check.SIZE_LIMIT


def forget_cost(notebook):
    del notebook.metadata["netinv"]


def forget_files(notebook):
    del notebook.metadata.netinv["files"]


def lose_file(notebook):
    notebook.metadata.netinv.files = ["weights/*.json", "weights/gone.safetensors"]


def slow(notebook):
    notebook.metadata.netinv.cost.update(seconds=999.0, cpu_seconds=999.0)
    execute.fill_cost(notebook, dict(notebook.metadata.netinv.cost))


WHITE = picture(Image.new("RGB", (64, 64), "white"))
CLEAR = picture(Image.new("RGBA", (64, 64), (0, 0, 0, 0)))
ERROR = nbformat.v4.new_output("error", ename="ValueError", evalue="no", traceback=[])
VIEW = nbformat.v4.new_output("display_data", data={check.WIDGET: {"model_id": "1"}})
GOOD = stored_chapter()
FIRST = cells(GOOD)[1].outputs[0]  # a picture with something on it

# Code cells: 0 set-up, 1 figure, 2 print, then stub, test, solution from 3, 6 and 9.
# All cells: 0 title, 1 to 3 as above, 4 the first exercise's text, 5 to 7 its cells.
BREAKS = {
    "no title": (replace(0, "# A", "A"), "first cell is not"),
    "no aims": (replace(0, "What you will be able to show", "Aims"), "does not say"),
    "no cost": (forget_cost, "no measured cost"),
    "another cost": (replace(0, "1.0 minutes", "0.7 minutes"), "measured cost, 1.0 minutes"),
    "too slow": (slow, "took 999.0 s"),
    "no set-up": (set_tags(0, "nbval-ignore-output"), "tagged `setup`"),
    "set-up compared": (set_tags(0, "setup"), "set-up cell is not tagged"),
    "not run": (lambda n: cells(n)[2].update(execution_count=None), "execution counts"),
    "out of order": (lambda n: cells(n)[2].update(execution_count=9), "execution counts"),
    "edited": (set_source(2, 'print("the sum is", 2)'), "not the code that gave its outputs"),
    "no files": (forget_files, "no record of the files it opens"),
    "a file is gone": (lose_file, "no longer under data/: weights/gone.safetensors"),
    "error": (set_outputs(2, ERROR), "stored error"),
    "stderr": (set_outputs(2, stream("careful\n", "stderr")), "on stderr: 'careful'"),
    "warning": (set_outputs(2, stream("x.py: UserWarning: old\n")), "stored warning"),
    "widget": (set_outputs(2, VIEW), "widget"),
    "path": (set_outputs(2, stream("saved to /tmp/a.png\n")), "'/tmp/'"),
    "address": (set_outputs(2, stream("<object at 0x7f12345678>\n")), "0x7f12345678"),
    "long cell": (set_source(2, "x = 1\n" * 26), "26 lines"),
    "empty cell": (set_source(2, " "), "lines; 1 to 25"),
    "skipped": (set_tags(2, "nbval-skip"), "hides it"),
    "comment mark": (set_source(2, "# NBVAL_IGNORE_OUTPUT\nprint(1)"), "hides it"),
    "claim without reason": (hidden("assert 1 + 1 == 2"), "each with its reason"),
    "hidden, no claim": (hidden("x = 1"), "holds asserts"),
    "hidden, says something": (set_tags(2, "remove-cell"), "prints something"),
    "ignored": (ignore_many, "a third is allowed"),
    "white": (set_outputs(1, WHITE), "blank picture"),
    "transparent": (set_outputs(1, CLEAR), "blank picture"),
    "no picture": (set_outputs(1), "it shows none"),
    "two pictures": (set_outputs(1, FIRST, FIRST), "2 pictures"),
    "no caption": (set_figure("figure", "caption", ""), "no mystnb.figure"),
    "no name": (set_figure("figure", "name", "trial"), "no mystnb.figure"),
    "no alt": (set_figure("image", "alt", " "), "no mystnb.image.alt"),
    "typed number": (set_figure("figure", "caption", "It reads 93 % of them."), "'93 %'"),
    "typed decimal": (set_figure("image", "alt", "A curve that rises up to 0.97."), "'0.97'"),
    "markdown picture": (replace(4, "## Exercise", "![](a.png)"), "markdown picture"),
    "five exercises": (drop(4), "5 exercises"),
    "no solution": (drop(7), "three cells after the text"),
    "a fourth cell": (lambda n: n.cells.insert(8, code("1", "exercise-test")), "19 exercise"),
    "another label": (replace(4, "ex-01-one", "ex-02-one"), "one label"),
    "no minutes": (replace(4, "minutes", "pages"), "`minutes`"),
    "no difficulty": (replace(4, "Difficulty", "Stars"), "`difficulty`"),
    "nothing to see": (replace(4, "you should see", "comes"), "`you should see`"),
    "stub solved": (replace(5, "raise NotImplementedError", "return 2 * x"), "stub's body"),
    "stub helped": (replace(5, "    raise", "    y = 2 * x\n    raise"), "stub's body"),
    "stub undocumented": (replace(5, '"""Twice x."""', "..."), "no docstring"),
    "stub with more": (replace(5, "def", "answer = 4\ndef"), "one function"),
    "mute assert": (replace(6, ', "did you forget to multiply?"', ""), "message that teaches"),
    "no assert": (replace(6, "assert f", "f"), "needs asserts"),
    "test undocumented": (replace(6, '"""one doubles."""', "pass"), "needs a docstring"),
    "stub untried": (replace(6, "_one, one)", "_one, min)"), "with the stub's function"),
    "solution untried": (replace(7, "one_solution)", "one)"), "`…_solution`"),
    "another test": (replace(7, "(test_one,", "(test_two,"), "exercise's own test"),
    "solution shown": (set_tags(5, "exercise-solution"), "not tagged hide-cell"),
    "stub passes": (set_outputs(4, stream("Solved: one doubles.\n")), "not `Not yet: "),
    "solution fails": (set_outputs(5, stream("Not yet: no.\n")), "not `Solved: "),
    "verdict unchecked": (
        set_tags(4, "exercise-test", "nbval-ignore-output"),
        "is not checked again",
    ),
    "broken code": (set_source(4, "def test_one(f:"), "not Python"),
    "a hidden name": (lend, "do not see defines 'share'"),
    "too large": (enlarge, "a chapter may have"),
    "no results": (replace(0, "Results in brief", "Summary"), "no result box"),
    "results at the end": (replace(0, "# A trial chapter", "# A trial\n\n## Begin"), "result box"),
    "typed results": (replace(0, '<!--= f"{1 + 1}" -->2<!--/-->', "2"), "no number that a cell"),
    "a typed number": (replace(0, "-->2<", "-->3<"), "no run has filled in"),
    "a field first": (replace(0, "They did.", "It is\n<!--= 1 -->1<!--/--> or so."), "is shown as"),
    "a verdict": (set_outputs(2, stream("more than half: True\n")), "a verdict is no result"),
    "one table": (lambda n: cells(n)[-1].update(outputs=[]), "1 tables"),
    "wide": (set_source(2, f'print("the sum is", {"1 + " * 20}1)'), "76 are seen"),
    "wide stub": (replace(5, "Twice x.", "Twice x, " * 10), "76 are seen"),
    "long": (lambda n: n.cells.extend(code("x = 1\n" * 25) for _ in range(15)), "visible code"),
    "wordy": (replace(0, "They did.", "They did. " * 2500), "words; 4500"),
    "private": (replace(0, "They did.", "It was read as asked."), "does not use: as asked"),
    "two call-outs": (replace(0, "{admonition} Recap", "{math}"), "2 call-outs"),
}


@pytest.mark.parametrize("name", BREAKS)
def test_each_check_can_fail(name, tmp_path):
    change, expected = BREAKS[name]
    notebook = nbformat.from_dict(stored_chapter())
    change(notebook)
    complaints = check.complaints(save(notebook, tmp_path))
    assert any(expected in complaint for complaint in complaints), complaints


def test_a_hidden_claim_with_a_reason_is_fine(tmp_path):
    notebook = stored_chapter()
    hidden("share = 0.9\nassert share > 0.8, 'the point of the section'")(notebook)
    complaints = check.complaints(save(notebook, tmp_path))
    assert not [what for what in complaints if "readers do not see" in what]


def test_a_progress_bar_on_stderr_is_no_warning(tmp_path):
    notebook = stored_chapter()
    bar = "invert: 100%|████████| 400/400 [00:05<00:00, 75.12step/s]\n"
    set_outputs(2, stream(bar, "stderr"))(notebook)
    assert check.complaints(save(notebook, tmp_path)) == []


def test_another_address_in_the_set_up_cell_is_no_edit(tmp_path):
    notebook = stored_chapter()
    cells(notebook)[0].source += "\nADDRESS = 'https://example.org/book'"
    assert check.complaints(save(notebook, tmp_path)) == []


def test_folded_code_may_be_wide(tmp_path):
    notebook = stored_chapter()
    set_source(1, "x = 1" + " + 1" * 20)(notebook)
    set_tags(1, "hide-input")(notebook)
    complaints = check.complaints(save(notebook, tmp_path))
    assert not [what for what in complaints if "columns" in what]


def test_a_study_needs_fewer_exercises(tmp_path):
    notebook = stored_chapter()
    notebook.cells = notebook.cells[:16] + notebook.cells[28:]
    path = save(notebook, tmp_path, "18-study.ipynb")
    assert not [what for what in check.complaints(path) if "are wanted" in what]


def test_dots_are_an_empty_stub():
    assert not list(
        check_exercises.stub_complaints(ast.parse('def f(x):\n    """Twice x."""\n    ...'))
    )


@pytest.mark.parametrize(
    "change, expected",
    [
        (lambda n: None, "also used in"),  # the same labels, names and alternative texts
        (set_source(0, "import torch"), "set-up cells differ"),
    ],
)
def test_chapters_that_repeat_or_differ_are_found(change, expected, tmp_path):
    other = stored_chapter()
    change(other)
    pair = {tmp_path / "01-a.ipynb": stored_chapter(), tmp_path / "02-b.ipynb": other}
    assert any(expected in complaint for complaint in check.together(pair))


def test_a_missing_number_is_found(tmp_path):
    assert list(check.together({tmp_path / "02-b.ipynb": stored_chapter()}))
    assert not list(check.together({tmp_path / "01-b.ipynb": stored_chapter()}))


def test_the_command_says_what_is_wrong(tmp_path, capsys):
    notebook = stored_chapter()
    good = save(notebook, tmp_path)
    set_source(2, "x = 1\n" * 26)(notebook)
    bad = save(notebook, tmp_path, "02-bad.ipynb")
    assert check.main([str(good)]) == 0
    assert check.main([str(bad)]) == 1
    assert "02-bad.ipynb: code cell 3: 26 lines" in capsys.readouterr().out
