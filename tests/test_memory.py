"""What a network remembers: the design, the ends of the scale, and the control that turns round."""

import sys

import pytest
import torch

import netinv_lite as nil
from netinv_lite.studies import memorisation as memory
from netinv_lite.studies import small_networks as learners
from netinv_lite.studies.registry import EXPERIMENTS
from netinv_lite.studies.runner import _packs, key

STUDY = EXPERIMENTS["memory"]
BASE = {"dataset": "digits", "seed": 0, "swapped": False, **memory.BASE}


@pytest.fixture
def tiny(monkeypatch):
    """Networks and searches of a few steps, so that a row costs a blink."""
    monkeypatch.setattr(learners, "WIDTH", 20)
    monkeypatch.setattr(learners, "STEPS", {"least": 20, "most": 20, "private": 3})
    monkeypatch.setattr(memory, "STEPS", {"search": 2, "generator": 2})
    monkeypatch.setattr(memory, "PER_CLASS", 2)
    learners.trained.cache_clear()
    yield
    learners.trained.cache_clear()


# ---- the design -----------------------------------------------------------------------------


def test_every_row_is_another_one_and_a_network_is_trained_once():
    rows = STUDY.settings(STUDY.datasets, STUDY.seeds)
    assert len({key(row) for row in rows}) == len(rows) <= 150
    assert {row["method"] for row in rows} == set(memory.METHODS)
    packs = _packs(STUDY, dict(enumerate(rows)), 1)
    networks = [key({k: v for k, v in row.items() if k != "method"}) for row in rows]
    assert len(packs) == len(set(networks)) and sum(map(len, packs)) == len(rows)


def test_one_thing_is_changed_at_a_time_on_digits():
    base = {**memory.BASE, "swapped": False}
    for row in STUDY.settings(("digits",), (0,)):
        changed = {k for k, v in base.items() if row[k] != v} - {"swapped", "size"}
        assert len(changed) <= 1, row


# ---- rows -----------------------------------------------------------------------------------

KINDS = [
    {"method": "stationary"},
    {"method": "stationary", "architecture": "relu", "swapped": True},
    {"method": "stationary", "architecture": "cnn", "decay": 0.0},
    {"method": "stationary", "architecture": "vit", "size": 20},
    {"method": "stationary", "defence": "early stopping"},
    {"method": "generator"},
    {"method": "paper", "architecture": "cnn", "size": 120},
    {"method": "bold"},
    {"method": "copy"},
    {"method": "unseen"},
    {"method": "means", "size": 20},
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: "-".join(map(str, kind.values())))
def test_rows_of_every_kind(tiny, kind):
    row = memory.memory(**{**BASE, **kind})
    assert 0 <= row["auc_low"] <= row["auc"] <= row["auc_high"] <= 1
    assert -1 <= row["mean_ssim"] <= row["best_ssim"] <= 1 and 0 <= row["membership"] <= 1
    assert (row["residual"] >= 0) == (kind["method"] == "stationary"), "NaN without a search"
    assert (row["unexplained"] >= 0) == (kind.get("decay") != 0.0), "NaN without decay"
    assert 0 <= row["train_accuracy"] <= 1 and row["epsilon"] == float("inf")
    assert set(row) == set(memory.memory(**{**BASE, "method": "copy"})), "one set of columns"


def test_the_pixel_range_does_nothing_and_the_gradient_something(tiny):
    model, _ = learners.trained("digits", 0, False, **memory.BASE)
    full, free, blind = (
        memory.generated(model, method, 0)
        for method in ("generator", "without pixel range", "without gradient")
    )
    assert full.shape == (20, 1, 14, 14)
    assert torch.equal(full, free) and not torch.equal(full, blind)


def test_copies_are_the_ceiling_and_unseen_images_the_floor(monkeypatch):
    monkeypatch.setitem(memory.SCORED, "ssim", 25)  # a pair takes its time
    first, second, _, data = learners.halves("digits", 0, 100)
    copies = memory.scores(first, first, second)
    assert copies["auc"] == 1 and copies["auc_low"] > 0.99 and copies["share_above"] == 1
    assert copies["mean_ssim"] > 0.99 > copies["unseen_ssim"]
    assert copies["shape_auc"] == copies["copies"] == 1 and copies["unseen_copies"] < 0.1
    unseen = memory.scores(learners.halved(data.x_test[:100]), first, second)
    assert unseen["auc_low"] <= 0.5 <= unseen["auc_high"] and 0.4 < unseen["auc"] < 0.6
    assert unseen["shape_low"] <= 0.5 <= unseen["shape_high"]
    assert abs(unseen["mean_ssim"] - unseen["unseen_ssim"]) < 0.1
    assert abs(unseen["correlation"] - unseen["unseen_correlation"]) < 0.05


def test_a_dimmed_copy_is_a_copy_of_the_shape_and_not_of_the_pixels():
    first, second, *_ = learners.halves("digits", 0, 10)
    dim = memory.scores(0.1 * memory.standardised(first), first, second)
    assert dim["shape_auc"] == dim["copies"] == 1 and dim["correlation"] > 0.999
    assert dim["auc"] < 0.9 and dim["best_ssim"] < 0.4
    flat = memory.standardised(torch.full((2, 1, 4, 4), 0.3))
    assert (flat.abs() < 1e-3).all(), "an even sheet has no shape, and no NaN"


def test_class_means_are_nearer_to_their_own_images_by_as_much_as_theory_says():
    first, second, y, data = learners.halves("digits", 0, 20)
    mean = memory.reference("means", first, y, data)
    assert mean.shape == (10, 1, 14, 14)
    own, other = ((x - mean[y]).square().sum() for x in (first, second))
    assert abs(own / other - 1 / 3) < 0.1, "(n - 1) to (n + 1) with n = 2"
    assert memory.scores(mean, first, second)["shape_auc"] > 0.7


def test_with_the_halves_swapped_everything_turns_round(monkeypatch):
    monkeypatch.setattr(learners, "WIDTH", 100)
    monkeypatch.setattr(learners, "STEPS", {"least": 1500, "most": 1500})
    monkeypatch.setattr(memory, "STEPS", {"search": 1200})
    learners.trained.cache_clear()
    row, swapped = (
        memory.memory(**{**BASE, "method": "stationary", "swapped": side}) for side in (False, True)
    )
    learners.trained.cache_clear()
    assert row["unexplained"] < 0.01 and swapped["unexplained"] < 0.01, "both are at rest"
    assert row["auc"] > 0.65 and swapped["auc"] < 0.35
    assert row["shape_auc"] > 0.8 and swapped["shape_auc"] < 0.2
    assert row["correlation"] > row["unseen_correlation"] + 0.05
    assert swapped["correlation"] < swapped["unseen_correlation"] - 0.05
    assert row["membership"] > 0.9 and swapped["membership"] < 0.1


# ---- the halves, the networks, the defences ------------------------------------------------------


def test_the_halves_share_no_image_and_hold_as_many_of_each_class():
    first, second, k, _ = learners.halves("digits", 3, 40)
    assert first.shape == second.shape == (40, 1, 14, 14)
    assert k.tolist() == [c for c in range(10) for _ in range(4)]
    both = torch.cat([first, second]).flatten(1)
    assert torch.cdist(both, both).fill_diagonal_(1).min() > 0.1
    assert not torch.equal(first, learners.halves("digits", 4, 40)[0]), "another seed, another lot"


def test_early_stopping_stops_early(tiny, monkeypatch):
    monkeypatch.setattr(learners, "STEPS", {"least": 500, "most": 500})
    early = {**memory.BASE, "defence": "early stopping"}
    (a, about), (b, whole) = (
        learners.trained("digits", 0, False, **settings) for settings in (early, memory.BASE)
    )
    assert about["train_accuracy"] == 1 and about["unexplained"] > 10 * whole["unexplained"]
    assert not torch.equal(a[1].weight, b[1].weight)


def test_private_training_promises_more_the_more_noise(tiny):
    pytest.importorskip("opacus")
    promised = []
    for noise in ("0", "0.5", "5"):
        model, about = learners.trained(
            "digits", 0, False, **{**memory.BASE, "defence": f"dp-sgd {noise}"}
        )
        promised.append(about["epsilon"])
        assert not any(m._forward_hooks or m._backward_hooks for m in model.modules())
        assert not any(hasattr(p, "grad_sample") for p in model.parameters())
    assert promised[0] == float("inf") and promised[1] > promised[2] > 0
    again, _ = learners.trained.__wrapped__(
        "digits", 0, False, **{**memory.BASE, "defence": "dp-sgd 5"}
    )
    assert torch.equal(again[1].weight, model[1].weight), "its noise is drawn by the seed"


def test_errors_say_what_to_do(tiny, monkeypatch):
    with pytest.raises(ValueError, match="multiple of 10"):
        learners.halves("digits", 0, 15)
    with pytest.raises(ValueError, match="need 200"):
        learners.halves("digits", 0, 1000)
    for wrong in ({"method": "magic"}, {"architecture": "rnn"}, {"defence": "prayer"}):
        with pytest.raises(ValueError, match="Unknown"):
            memory.memory(**{**BASE, "method": "copy", **wrong})
    monkeypatch.setitem(sys.modules, "opacus", None)
    with pytest.raises(ImportError, match="pip install opacus"):
        memory.memory(**{**BASE, "method": "copy", "defence": "dp-sgd 1"})


def test_nothing_of_the_caller_is_changed(tiny):
    state = torch.get_rng_state()
    learners.trained("digits", 0, False, **{**memory.BASE, "architecture": "vit"})
    assert torch.equal(state, torch.get_rng_state())
    assert nil.studies.memorisation is memory and nil.studies.small_networks is learners
