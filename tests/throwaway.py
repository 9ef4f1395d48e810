"""A chapter in the book's form that tests may run and break."""

import base64
import io
from pathlib import Path

import nbformat
import pandas as pd  # noqa: F401 - the cells that are read here use it
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

import check
import execute

FIGURE = {
    "figure": {"caption": "A parabola.", "name": "fig-trial"},
    "image": {"alt": "A curve that falls to its lowest point and rises again."},
}
TITLE = """# A trial chapter

<!-- cost -->not measured<!-- /cost -->

**What you will be able to show**: that the tools work.

:::{admonition} Results in brief
| Question | Result |
| --- | --- |
| What is 1 + 1? | <!--= f"{1 + 1}" -->2<!--/--> |
:::

:::{admonition} Key idea
Cells compute what the text says.
:::

:::{admonition} Recap
They did.
:::"""
TABLE = """pd.DataFrame({{"judge": [{}]}}, index=["mnist"])"""
TABLES = 0.5, 0.25
SETUP = "import matplotlib.pyplot as plt\nimport netinv_lite as nil\nimport pandas as pd"
PLOT = "plt.plot([x * x for x in range(-9, 10)])\nplt.show()"
TEXT = """## Exercise
:::{{exercise}} Double it
:label: ex-01-{name}
Difficulty: 1 of 5. About 5 minutes. What you should see: `Solved`.
:::"""
STUB = 'def {name}(x):\n    """Twice x."""\n    raise NotImplementedError'
TEST = """def test_{name}(f):
    \"\"\"{name} doubles.\"\"\"
    assert f(2) == 4, "did you forget to multiply?"


nil.attempt(test_{name}, {name})"""
SOLUTION = """def {name}_solution(x):
    return 2 * x


nil.attempt(test_{name}, {name}_solution)"""


def code(source, *tags, **metadata):
    """A code cell with tags."""
    return new_code_cell(source, metadata={"tags": list(tags), **metadata})


def chapter():
    """A whole chapter, not yet executed: a figure, six exercises, two tables."""
    cells = [
        new_markdown_cell(TITLE),
        code(SETUP, "setup", "nbval-ignore-output"),
        code(PLOT, mystnb=FIGURE),
        code('print("the sum is", 1 + 1)'),
    ]
    for name in ("one", "two", "three", "four", "five", "six"):
        cells.append(new_markdown_cell(TEXT.format(name=name)))
        cells.append(code(STUB.format(name=name), "exercise-stub"))
        cells.append(code(TEST.format(name=name), "exercise-test"))
        cells.append(code(SOLUTION.format(name=name), "exercise-solution", "hide-cell"))
    cells += [code(TABLE.format(value)) for value in TABLES]
    return new_notebook(cells=cells)


def stored_chapter(files=()):
    """The same chapter with the outputs that a run gives it, made without a kernel.

    `files` are the shipped files that it opened when it ran, or so it says.
    """
    notebook = chapter()
    for number, cell in enumerate(check.code_cells(notebook), 1):
        cell.execution_count = number
        if "nil.attempt" in cell.source:
            name = cell.source.split("nil.attempt(test_")[1].split(",")[0]
            solved = f"Solved: {name} doubles.\n", f"Not yet: {name} is still empty.\n"
            cell.outputs = [stream(solved["exercise-test" in cell.metadata.tags])]
        elif "DataFrame" in cell.source:
            table = eval(cell.source)
            data = {"text/html": table._repr_html_(), "text/plain": repr(table)}
            cell.outputs = [new_output("execute_result", data=data, execution_count=number)]
        elif "print" in cell.source:
            cell.outputs = [stream("the sum is 2\n")]
        elif "plt.show" in cell.source:
            cell.outputs = [picture(gradient())]
    execute.tidy(notebook)
    cost = {"seconds": 61.0, "cpu_seconds": 60.0, "memory_mb": 312, "threads": 1}
    execute.keep_record(notebook, cost, list(files))
    return notebook


def stream(text, name="stdout"):
    return new_output("stream", name=name, text=text)


def picture(image):
    """An output that shows a Pillow image."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    encoded = base64.b64encode(buffer.getvalue()).decode()
    data = {"image/png": encoded, "text/plain": "<Figure size 640x480 with 1 Axes>"}
    return new_output("display_data", data=data)


def gradient(size=64):
    return Image.linear_gradient("L").resize((size, size)).convert("RGB")


def save(notebook, folder, name="01-trial.ipynb"):
    """Write `notebook` into `folder`; its path."""
    path = Path(folder) / name
    nbformat.write(notebook, path)
    return path
