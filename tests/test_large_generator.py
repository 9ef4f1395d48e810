"""The study of one generator for ten classes of ImageNet: its design, and what a row holds."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import netinv_lite as nil
from netinv_lite.baselines import PRESETS as ASCENTS
from netinv_lite.presets import PRESETS
from netinv_lite.studies import evaluation, large_generator
from netinv_lite.studies.registry import EXPERIMENTS
from netinv_lite.studies.synthesis import lot


class Bands(nn.Module):
    """Logits of a thousand classes, from the means of as many patches of an image."""

    image_shape, input_range, num_classes = (3, 40, 50), (0.0, 1.0), 1000

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(1000, 1000)
        self.head.weight.data = 40 * torch.eye(1000)
        self.head.bias.data.zero_()

    def forward(self, x):
        return self.head(nn.functional.avg_pool2d(x.mean(1), (2, 1)).flatten(1))


@pytest.fixture
def few_steps(monkeypatch):
    loss, config = PRESETS["large"]
    quick = nil.Preset(loss, replace(config, steps=60, crop=0.0, deformation=0.0))
    monkeypatch.setitem(PRESETS, "large", quick)
    das = replace(ASCENTS["das"], steps=30, lr=0.1, jitter=0.0, zoom=0.0)
    monkeypatch.setitem(ASCENTS, "das", das)
    monkeypatch.setattr(large_generator, "_networks", lambda: (Bands().eval(),) * 3)


def test_the_classes_are_none_that_settings_were_chosen_on():
    assert len({*large_generator.CLASSES}) == 10
    assert not {*large_generator.CLASSES} & {*lot(10)}


def test_every_variant_changes_at_most_one_thing_of_the_preset():
    loss, config = PRESETS["large"]
    for name, change in large_generator.VARIANTS.items():
        assert len(change) == (name not in ("large", "another network")), name
        new = evaluation.changed("large", **change)
        assert (new != (loss, config)) == bool(change), name
    runs = EXPERIMENTS["large"].settings(("imagenet",), (0, 1, 2))
    assert [run["variant"] for run in runs[:3]] == ["large"] * 3


@pytest.mark.filterwarnings("ignore:The generator has collapsed")
@pytest.mark.parametrize("variant", ["large", "another network", "das"])
def test_a_row_says_who_reads_the_classes_and_what_they_cost(few_steps, variant):
    row = large_generator.large("imagenet", 0, variant)
    assert row["classifier"] == row["judge"] == row["referee5"] > 0.9
    assert 1 <= row["vendi"] <= 5 and row["image_seconds"] > 0
    assert (row["train_seconds"] > 0) == (row["parameters"] > 0) == (variant != "das")
