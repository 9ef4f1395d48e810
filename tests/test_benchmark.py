"""The study of what things cost: its numbers are times, its row is whole, its design is met."""

import math
from functools import partial

import pytest

import netinv_lite as nil
from netinv_lite.studies import benchmark
from netinv_lite.studies.registry import EXPERIMENTS
from netinv_lite.studies.runner import attempt

STUDY = EXPERIMENTS["benchmark"]
# What a method has no number for; whether .95 is reached in a few steps is another question.
ABSENT = {
    "paper generator": {"train_seconds", "image_ms", "image_floors", "accuracy"},
    "ascent from noise": {"train_seconds"},
    "ascent from black": {"train_seconds"},
}
MAY_BE_ABSENT = {"steps_to_95", "seconds_to_95"}


@pytest.fixture
def few(monkeypatch):
    """Few rounds of small batches, and a short training."""
    monkeypatch.setattr(benchmark, "WARM_UP", 1)
    monkeypatch.setattr(benchmark, "ROUNDS", 2)
    monkeypatch.setattr(benchmark, "BATCH", 8)
    quick = partial(nil.InversionConfig, steps=40, batch_size=32)
    monkeypatch.setattr(benchmark, "InversionConfig", quick)


@pytest.mark.filterwarnings("ignore:The generator has collapsed")
@pytest.mark.parametrize("method", benchmark.METHODS)
def test_a_row_of_every_method(few, method):
    settings = {"dataset": "digits", "seed": 0, "network": "plain", "method": method}
    (row,) = attempt(STUDY, [settings])
    assert not row["error"], row["error"]
    measured = {name: row[name] for name in (*benchmark.NOTHING, "image_floors")}
    absent = {name for name, value in measured.items() if math.isnan(value)}
    assert absent - MAY_BE_ABSENT == ABSENT.get(method, set())
    assert row["step_ms"] > 0 and row["floor_ms"] > 0
    assert row["floors"] == pytest.approx(row["step_ms"] / row["floor_ms"], rel=1e-4)
    if "image_ms" not in absent:
        expected = row["image_ms"] * 8 / row["floor_ms"]
        assert row["image_floors"] == pytest.approx(expected, rel=1e-4)
        assert 0 <= row["accuracy"] <= 1


@pytest.mark.filterwarnings("ignore:The generator has collapsed")
def test_an_ascent_is_measured_at_the_steps_that_it_needs(few):
    row = benchmark.benchmark("digits", 0, "plain", "ascent from black")
    assert row["accuracy"] > 0.9 and 1 <= row["steps_to_95"] <= 20


def test_the_crossing_is_where_five_batches_are_right_on_average():
    assert benchmark.crossing([0.0] * 3 + [1.0] * 10) == 8
    assert benchmark.crossing([0.95] * 5) == 5
    assert benchmark.crossing([1.0] * 4) is None and benchmark.crossing([0.9] * 50) is None


def test_the_floor_and_a_step_are_timed_in_turns(few):
    seen = []

    def run(on_step):
        for step in range(benchmark.WARM_UP + benchmark.ROUNDS):
            on_step(step + 1, {}, None)
            seen.append(step)

    row = benchmark.in_turns(run, nil.load_classifier("digits"))
    assert len(seen) == 3 and row["floor_ms"] > row["step_ms"] >= 0


def test_the_papers_generator_is_measured_where_it_fits():
    rows = STUDY.settings(STUDY.datasets, (0,))
    assert len(rows) == 5 * 2 * len(benchmark.METHODS) - 2 * 2
    fits = {row["dataset"] for row in rows if row["method"] == "paper generator"}
    assert fits == {"digits", "mnist", "fashion_mnist"}
