"""Numbers of a stored output may differ within a tolerance; nothing else, and no more than that."""

import nbformat
import pandas as pd
import pytest

from nbval_numbers import alike, alike_html
from test_chapters import report, run_nbval, stored
from throwaway import save

TABLE = pd.DataFrame(
    {"accuracy": [0.991, 0.412], "images": [2000, 2000]},
    index=pd.Index(["classifier", "judge"], name="network"),
)


@pytest.mark.parametrize(
    ("new", "was", "tolerance"),
    [
        ("accuracy 0.9911 of 10", "accuracy 0.9910 of 10", {}),
        ("12.3 dB, −4.5", "12.1 dB, −4.4", {"rel": 0.05}),
        ("  -0.01   .5", " 0.01   .5", {"abs": 0.03}),
        ("1,999 steps", "2,000 steps", {"rel": 0.01, "whole": True}),
        ("p = 1.2e-05", "p = 1.3e-05", {"rel": 0.1}),
        ("tensor([0.10, 2.00])", "tensor([0.11, 2.01])", {"abs": 0.02}),
    ],
)
def test_numbers_within_the_tolerance_are_alike(new, was, tolerance):
    assert alike(new, was, **tolerance)


@pytest.mark.parametrize(
    ("new", "was", "tolerance"),
    [
        ("accuracy 0.99", "accuracy 0.98", {}),  # a changed number
        ("accuracy 0.90", "accuracy 0.98", {"abs": 0.05}),
        ("seed 1: 0.5", "seed 2: 0.5", {"abs": 2}),  # a whole number is a label or a count
        ("judge 0.5", "classifier 0.5", {"abs": 1}),  # a changed word
        ("a 0.5\nb 0.7", "a 0.5", {"abs": 1}),  # a line more
        ("0.5 0.7", "0.5", {"abs": 1}),
        ("nan", "0.5", {"abs": 1}),
        ("inf", "0.5", {"rel": 1}),
        ("conv3", "conv4", {"abs": 1, "whole": True}),  # a digit of a name
        ("CIFAR-10 0.5", "CIFAR-100 0.5", {"abs": 1}),
        ("-5.0", "5.0", {"rel": 0.5}),
        ("True", "False", {"abs": 1}),
    ],
)
def test_anything_else_is_not(new, was, tolerance):
    assert not alike(new, was, **tolerance)


def test_tables_of_html():
    def html(table):
        return table.to_html()

    was, loose = html(TABLE), {"abs": 0.01}
    near, far, swapped = TABLE.copy(), TABLE.copy(), TABLE.rename(index={"judge": "referee"})
    near["accuracy"] += 0.004
    far["accuracy"] += 0.04
    assert alike_html(html(near), was, **loose)
    assert not alike_html(html(far), was, **loose)
    assert not alike_html(html(near), was), "without a tolerance of its own"
    assert not alike_html(html(TABLE.iloc[:1]), was, **loose), "a lost row"
    assert not alike_html(html(swapped), was, **loose), "another label"
    assert not alike_html(html(TABLE.iloc[::-1]), was, **loose), "rows in another order"
    assert not alike_html(html(TABLE.rename(columns={"images": "n"})), was, **loose)
    assert not alike_html(was.replace('border="1"', 'border="2"'), was, abs=5, whole=True)


SHOW = """import pandas as pd
pd.DataFrame({"accuracy": [%s]}, index=["judge"])"""


def frame(number):
    """What a cell with `SHOW` stores."""
    table = pd.DataFrame({"accuracy": [number]}, index=["judge"])
    data = {"text/plain": repr(table), "text/html": table._repr_html_()}
    return nbformat.v4.new_output("execute_result", data, execution_count=1)


@pytest.mark.parametrize(
    ("tolerance", "passes"), [({"abs": 0.02}, True), ({"abs": 0.001}, False), ({}, False)]
)
def test_a_chapters_cell_sets_its_own(tmp_path, tolerance, passes):
    notebook = stored((SHOW % 0.51, ""), ("print('judge', 0.51)", "judge 0.50\n"))
    notebook.cells[0].outputs = [frame(0.5)]
    for cell in notebook.cells:
        cell.metadata["netinv"] = {"tolerance": tolerance}
    result = run_nbval(save(notebook, tmp_path), tmp_path)
    assert ("2 passed" if passes else "2 failed") in result.stdout, report(result)
