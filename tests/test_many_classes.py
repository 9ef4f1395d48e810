"""The studies of a hundred classes, of architectures, and of photographs that come back."""

from dataclasses import replace

import pytest
import torch

import netinv_lite as nil
from helpers import tiny_cnn
from netinv_lite.direct import DirectConfig
from netinv_lite.presets import PRESETS
from netinv_lite.studies import architectures, direct_photographs, hundred_classes
from netinv_lite.studies.photographs import Photographs
from netinv_lite.studies.registry import EXPERIMENTS


@pytest.fixture
def few_steps(monkeypatch):
    loss, config = PRESETS["paper"]
    quick = nil.Preset(loss, replace(config, steps=200, batch_size=32))
    monkeypatch.setitem(PRESETS, "paper", quick)


def test_a_hundred_classes_are_measured_beside_ten_with_every_scheme():
    study = EXPERIMENTS["hundred"]
    runs = study.settings(study.datasets, study.seeds)
    papers = [run for run in runs if run["preset"] == "paper"]
    for d, network in (("cifar10", "plain"), ("cifar100", "plain"), ("cifar100", "-vit")):
        mine = [run for run in papers if (run["dataset"], run["network"]) == (d, network)]
        assert len(mine) == 3 * 8  # seeds × label, matrix and two schemes of three scales
    assert {run["steps"] for run in runs if run["dataset"] == "cifar100"} == {800, 900}


def test_a_row_of_many_classes_has_as_many_images_whatever_they_are():
    row = hundred_classes.hundred("digits", 0, "plain", "paper", "vector-matrix", 10.0, 60)
    assert 0.3 < row["accuracy"] <= 1 and row["train_seconds"] > 0
    assert {"judge", "referee", "coverage", "excess_referee"} <= row.keys()


@pytest.mark.parametrize("architecture", ["CNN", "MLP"])
def test_a_row_of_an_architecture_says_how_good_the_network_is(few_steps, architecture):
    row = architectures.architectures("digits", 0, architecture, "paper", "label")
    assert row["network_accuracy"] > 0.8 and row["accuracy"] > 0.5


def test_an_unknown_architecture_is_named():
    with pytest.raises(ValueError, match="ViT"):
        architectures.trained("digits", "vit")


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A network of two blocks for images of 12 pixels, in place of ImageNet's."""
    model = tiny_cnn(4, (3, 12, 12)).eval()
    x = torch.rand(30, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    own = nil.direct.split(model, (3, 12, 12), None, (0.0, 1.0))
    model.image_shape, model.input_range = (3, 12, 12), (0.0, 1.0)
    changes = {
        "_classifier": lambda: model,
        "load_photographs": lambda: Photographs(x, torch.arange(30) % 4),
        "blocks": lambda model, depth: [block.module for block in own[:depth]],
        "SETTINGS": DirectConfig(steps=150, joint=0, batch_size=8, width=16),
        "TAUGHT": 20,
        "SEARCHED": 4,
    }
    for name, change in changes.items():
        monkeypatch.setattr(direct_photographs, name, change)
    monkeypatch.setattr("netinv_lite.studies.direct_losses.load_judge", lambda name: model)
    for kept in (direct_photographs.parts, direct_photographs.inverse_of_depth):
        kept.cache_clear()
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for kept in (direct_photographs.parts, direct_photographs.inverse_of_depth):
        kept.cache_clear()


def test_photographs_come_back_that_no_inverse_has_seen(small):
    unseen, taught = direct_photographs.parts()
    assert len(unseen) == 10 and len(taught) == 20
    assert (torch.cdist(unseen.flatten(1), taught.flatten(1)) > 1).all(), "in one part alone"
    back = direct_photographs.photographs_back
    row = back("imagenet", 0, "photographs", 1, "pass")
    assert row["identified"] > 0.5 and row["photographs"] == 10 and row["agreement"] == row["judge"]
    ways = {way: back("imagenet", 0, "scenes", 2, way) for way in ("pass", "corrected")}
    assert ways["corrected"]["cycle"] < ways["pass"]["cycle"]
    assert (small / "runs" / "depths224-scenes-0-2.safetensors").is_file()


def test_a_search_needs_no_inverse_and_takes_the_first_few(small):
    row = direct_photographs.photographs_back("imagenet", 0, "none", 1, "search")
    assert row["photographs"] == 4 and row["psnr"] > 15


def test_each_depth_has_every_way_back():
    study = EXPERIMENTS["depths224"]
    runs = study.settings(study.datasets, study.seeds)
    assert len(runs) == 10 * (2 * 3 + 1)
    with pytest.raises(ValueError, match="corrected"):
        direct_photographs.photographs_back("imagenet", 0, "scenes", 1, "correct")


@pytest.mark.filterwarnings("ignore:The generator has collapsed")
def test_a_collapse_is_looked_for_in_some_of_a_thousand_classes(monkeypatch):
    classifier = tiny_cnn(num_classes=1000)
    drawn = []
    sample = nil.Inversion.sample

    def counted(self, *args, **settings):
        images, k = sample(self, *args, **settings)
        drawn.append(len(images))
        return images, k

    monkeypatch.setattr(nil.Inversion, "sample", counted)
    quick = nil.InversionConfig(steps=1, batch_size=4)
    nil.invert(classifier, config=quick, progress=False)
    assert drawn == [800]
