"""The study of direct ascent on ImageNet: the lot, its rows, and what one of them holds."""

from collections import Counter
from dataclasses import replace

import pytest
import torch
from torch import nn

from netinv_lite.baselines import PRESETS, AscentConfig
from netinv_lite.studies import synthesis
from netinv_lite.studies.registry import EXPERIMENTS

LOT = [305, 631, 752, 424, 277]  # a table of other classes would be another study's


class Brightest(nn.Module):
    """Logits of a thousand classes: the mean pixels of as many patches of an image."""

    image_shape, input_range, num_classes = (3, 20, 50), (0.0, 1.0), 1000

    def forward(self, x):
        return 9 * x.mean(1).flatten(1)


@pytest.fixture
def few_steps(monkeypatch):
    monkeypatch.setattr(synthesis, "_networks", lambda: (Brightest().eval(),) * 3)
    monkeypatch.setitem(
        PRESETS, "das", replace(PRESETS["das"], steps=30, lr=0.1, jitter=0.0, zoom=0.0)
    )


def test_the_lot_was_drawn_once():
    assert synthesis.lot(5) == LOT and len(set(synthesis.lot(50))) == 50
    assert synthesis.lot(50)[:10] == synthesis.lot(10)


def test_fifty_classes_and_every_variant_on_ten_of_them_with_three_seeds():
    study = EXPERIMENTS["synthesis"]
    runs = study.settings(study.datasets, study.seeds)
    many = [run for run in runs if run["images"] == 2]
    assert len(many) == 50 and {run["variant"] for run in many} == {"das"}
    counts = Counter((run["variant"], run["seed"]) for run in runs if run["images"] == 1)
    assert set(counts.values()) == {10} and len(counts) == 3 * (len(synthesis.VARIANTS) + 1)


def test_every_variant_changes_one_thing_of_the_preset():
    das = PRESETS["das"]
    for name, change in synthesis.VARIANTS.items():
        assert len(change) == (name != "das"), name
        assert all(getattr(das, field) != value for field, value in change.items()), name
    assert isinstance(synthesis.config_of("plain"), AscentConfig)


def test_a_row_says_who_reads_the_class(few_steps):
    row = synthesis.synthesis("imagenet", 0, "das", 510, 2)
    assert row["classifier"] == row["judge"] == row["referee5"] == 1
    assert row["steps"] == 30 and row["cpu_seconds"] > 0 and 0 < row["confidence"] <= 1
    first = synthesis.synthesis("imagenet", 0, "plain", 510, 1)
    assert first["classifier"] == 1


def test_among_the_first():
    logits = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0]])
    assert synthesis.top(logits, torch.tensor([1, 2]), 1) == 0.5
    assert synthesis.top(logits, torch.tensor([1, 2]), 2) == 1
