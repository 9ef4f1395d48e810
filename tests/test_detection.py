"""The study of detection: its images, its rows, and one training for many of them."""

from collections import Counter
from dataclasses import replace
from itertools import product

import pytest
import torch

import netinv_lite as nil
from netinv_lite.applications import ood
from netinv_lite.applications import ood_scores as outliers
from netinv_lite.studies import ood as detection
from netinv_lite.studies import runner as experiments
from netinv_lite.studies.registry import EXPERIMENTS

STUDY = EXPERIMENTS["detection"]


@pytest.fixture
def tiny(monkeypatch):
    """`digits` stands for every set, and networks train for one short epoch."""
    data = nil.load_data("digits")
    few = replace(
        data,
        x_train=data.x_train[:300],
        y_train=data.y_train[:300],
        x_test=data.x_test[:60],
        y_test=data.y_test[:60],
    )
    colour = replace(
        few,
        x_train=few.x_train.expand(-1, 3, -1, -1),
        name="cifar10",
        x_test=few.x_test.expand(-1, 3, -1, -1),
    )
    sets = {"svhn": colour, "cifar10": colour}
    monkeypatch.setattr(detection, "load_data", lambda name: sets.get(name, few))
    monkeypatch.setattr(detection, "TESTED", 60)
    short = nil.InversionConfig(steps=2, batch_size=16, width=8)
    config = ood.ExclusionConfig(epochs=2, settle=0, excluded=40, inversion=short)
    monkeypatch.setattr(ood, "ExclusionConfig", lambda: config)
    caches = detection.trained, detection.answers, detection.of_network, detection.known
    for cache in caches:
        cache.cache_clear()
    yield few
    for cache in caches:
        cache.cache_clear()


def test_every_pair_is_there_and_every_training_is_one_pack():
    rows = STUDY.settings(detection.SETS, (0, 1, 2))
    pairs = Counter((r["dataset"], r["outside"]) for r in rows)
    assert len(pairs) == 4 * 6 and len(set(pairs.values())) == 1
    assert all(a != b for a, b in pairs)
    packs = experiments._packs(STUDY, dict(enumerate(rows)), 1)
    assert len(packs) == 4 * 3 * (len(ood.GARBAGE) + 2) and sum(map(len, packs)) == len(rows)
    for pack in packs:
        assert len({STUDY.shared(row) for row in pack}) == 1


def test_images_take_the_shape_and_range_of_the_set(tiny):
    for which in detection.OUTSIDE:
        for shape in ((1, 28, 28), (3, 32, 32)):
            x, y = torch.zeros(2, *shape), tiny.y_train[:2]
            like = replace(tiny, x_train=x, y_train=y, x_test=x, y_test=y)
            x = detection.images_of(which, like, 0)
            assert x.shape == (60, *shape), which
            assert -1 <= x.min() < -0.3 and 0.3 < x.max() <= 1, "the whole range is used"
    grey = detection.as_seen_by(torch.tensor([[1.0, -1.0, -1.0]]).view(1, 3, 1, 1), (1, 1, 1))
    assert grey.item() == pytest.approx(2 * 0.299 - 1, abs=1e-3), "red weighs .299"


def test_photographs_are_pieces_of_two_real_ones():
    x = detection.crops(40, seed=0, side=64)
    assert x.shape == (40, 3, 64, 64) and len(x.flatten(1).unique(dim=0)) == 40
    assert torch.equal(x, detection.crops(40, seed=0, side=64))
    assert not torch.equal(x, detection.crops(40, seed=1, side=64))


@pytest.mark.filterwarnings("ignore:The generator has collapsed")
def test_rows_of_one_network_come_from_one_training(tiny, monkeypatch):
    trainings, read, load = [], Counter(), detection.load_data
    monkeypatch.setattr(detection, "load_data", lambda name: (read.update([name]), load(name))[1])
    for module, name in ((ood, "train_with_exclusion"), (detection, "fit")):
        whole = getattr(module, name)

        def counted(*args, whole=whole, **settings):
            trainings.append(1)
            return whole(*args, **settings)

        monkeypatch.setattr(module, name, counted)
    for garbage, scores in (("inverted", ood.SCORES), ("none", outliers.NAMES)):
        pack = [
            {"dataset": "mnist", "seed": 0, "garbage": garbage, "score": score, "outside": o}
            for score in scores
            for o in ("uniform", "cifar10")
        ]
        rows = experiments.attempt(STUDY, pack)
        assert not any(row["error"] for row in rows)
        assert all(0 <= row["auroc"] <= 1 and 0 <= row["fpr95"] <= 1 for row in rows)
        for column in ("share_garbage", "false_garbage", "fooled"):
            assert all((row[column] is None) == (garbage == "none") for row in rows), column
        assert len({row["accuracy"] for row in rows}) == 1
    assert len(trainings) == 2
    assert read == {"mnist": 1, "cifar10": 1}, "a set is read from disk once"


def test_the_control_without_a_network_has_no_accuracy(tiny, monkeypatch):
    monkeypatch.setattr(detection, "fit", None)
    row = STUDY.measure("mnist", 0, "pixels", "pixels", "uniform")
    assert row["auroc"] == 1 and row["accuracy"] is row["share_garbage"] is row["fooled"] is None


@pytest.mark.filterwarnings("ignore:The generator has collapsed")
def test_real_outliers_come_from_the_other_sets(tiny):
    x = detection.exposed("mnist", tiny, n=10)
    assert x.shape == (30, 1, 28, 28)
    row = STUDY.measure("mnist", 0, "outliers", "garbage", "photographs")
    assert row["auroc"] > 0.5


def test_the_controls_of_the_longer_loop_have_the_same_seeds():
    rows = EXPERIMENTS["longer"].settings(("mnist", "svhn"), (0, 1, 2))
    for d, g in product(
        ("mnist", "svhn"), ("none", "inverted", "foreign", "untrained", "synthetic")
    ):
        found = {r["seed"] for r in rows if (r["dataset"], r["garbage"]) == (d, g)}
        assert found == {0, 1, 2}


@pytest.mark.filterwarnings("ignore:The generator has collapsed")
def test_a_longer_loop_excludes_more_often(tiny, monkeypatch):
    study, train, garbage = EXPERIMENTS["longer"], ood._Exclusion.train, []

    def counted(self, *settings):
        train(self, *settings)
        garbage.append(len(self.garbage))

    monkeypatch.setattr(ood._Exclusion, "train", counted)
    rows = study.settings(("mnist",), (0,))
    packs = experiments._packs(study, dict(enumerate(rows)), 1)
    kinds = [pack[0]["garbage"] for pack in packs]
    assert kinds == ["none", "foreign", "synthetic", "untrained", "inverted"]
    for epochs in (2, 3):
        assert not experiments.attempt(study, [{**rows[-1], "epochs": epochs}])[0]["error"]
    assert garbage == [30 + 40, 30 + 80], "a class's worth of noise, then 40 a round"
