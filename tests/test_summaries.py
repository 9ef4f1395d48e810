"""Summaries of studies: the numbers in the text are those of the runs."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from netinv_lite.studies import differences, means

RUNS = pd.DataFrame(
    [
        {"dataset": d, "seed": s, "method": m, "judge": 0.1 * s + shift}
        for d in ("mnist", "svhn")
        for s in (0, 1, 2)
        for m, shift in (("ours", 0.5 + 0.01 * s), ("theirs", 0.2))
    ]
)


def test_means_tell_spread_and_runs():
    table = means(RUNS, ["dataset", "method"], {"judge": "judge accuracy"})
    assert table.loc[("mnist", "ours"), "judge accuracy"] == "0.61 ± 0.11"
    assert table["runs"].tolist() == [3] * 4


def test_the_interval_is_that_of_the_t_distribution():
    shown = means(RUNS, "method", ["judge"], interval=True, digits=4).loc["theirs", "judge"]
    values = RUNS.loc[RUNS["method"] == "theirs", "judge"]
    low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
    assert shown == f"{values.mean():.4f} [{low:.4f}, {high:.4f}]"


def test_one_run_has_no_spread_and_nothing_measured_is_empty():
    some = RUNS.assign(empty=np.nan).query("seed == 0 and dataset == 'mnist'")
    table = means(some, "method", ["judge", "empty"])
    assert table.loc["ours", "judge"] == "0.50" and table.loc["ours", "empty"] == ""
    for interval in (False, True):  # as the ε of a training without privacy
        table = means(RUNS.assign(judge=np.inf), "method", ["judge"], interval=interval)
        assert table.loc["ours", "judge"] == "inf"


@pytest.mark.parametrize("by", ["method", ["method", "dataset"]])
def test_floor_and_ceiling_come_last(by):
    table = means(RUNS, by, {"judge": "J"}, beside={"chance": {"judge": 0.1}})
    assert table["J"].iloc[-1] == "0.10" and table["runs"].iloc[-1] == ""
    assert list(table.index.names) == ([by] if isinstance(by, str) else by)


def test_differences_are_paired():
    whole = differences(RUNS, "method", "ours", "theirs", {"judge": "lead"})
    assert whole.loc["ours − theirs", "lead"].startswith("+0.31 [") and whole["pairs"].item() == 6
    each = differences(RUNS, "method", "ours", "theirs", ["judge"], by="dataset")
    assert each.index.tolist() == ["mnist", "svhn"] and each["pairs"].tolist() == [3, 3]
    two = differences(RUNS, "method", "theirs", "ours", ["judge"], by=["dataset", "seed"])
    assert two.loc[("svhn", 2), "judge"] == "-0.32" and len(two) == 6


def test_no_zero_has_a_minus():
    tiny = RUNS.assign(judge=-1e-4 * (RUNS["method"] == "ours"))
    assert (
        differences(tiny, "method", "ours", "theirs", ["judge"])["judge"]
        .item()
        .startswith("+0.00 [")
    )


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: means(RUNS, "network", ["judge"]), "no column 'network'. Choose from: dataset"),
        (lambda: differences(RUNS, "method", "ours", "nobody", ["judge"]), "No run with method"),
        (
            lambda: differences(RUNS, "method", "ours", "theirs", ["judge"], alike=["dataset"]),
            "Several runs are alike in dataset",
        ),
    ],
)
def test_what_is_missing_is_said(call, says):
    with pytest.raises(ValueError, match=says):
        call()
