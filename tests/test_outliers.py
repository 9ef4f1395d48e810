"""Outlier scores of a plain classifier, and how well a score separates, against other libraries."""

import pytest
import torch
from sklearn.metrics import average_precision_score, roc_auc_score

import netinv_lite as nil
from helpers import assert_same, snapshot
from netinv_lite.applications.ood_scores import NAMES, Baselines, Pixels, separation


def scores(seed, n, shift, scale=1.0):
    return scale * (torch.randn(n, generator=torch.Generator().manual_seed(seed)) + shift)


@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e9])
def test_separation_is_that_of_other_libraries(scale):
    metrics = pytest.importorskip("pytorch_ood.metrics")
    inside, outside = scores(0, 300, 0, scale), scores(1, 200, 1.5, scale)
    got = separation(inside, outside)
    y, s = [0] * 300 + [1] * 200, torch.cat([inside, outside]).double().numpy()
    assert got["auroc"] == pytest.approx(roc_auc_score(y, s), abs=1e-6)
    assert got["aupr"] == pytest.approx(average_precision_score(y, s), abs=1e-5)
    theirs = metrics.OODMetrics()
    theirs.update(
        torch.cat([inside, outside]).double() / scale, torch.tensor([1] * 300 + [-1] * 200)
    )
    assert got["fpr95"] == pytest.approx(theirs.compute()["FPR95TPR"], abs=0.005)


def test_separation_at_its_ends():
    zeros, ones = torch.zeros(20), torch.ones(20)
    assert separation(zeros, ones) == {"auroc": 1, "aupr": 1, "fpr95": 0, "miss95": 0}
    worst = separation(ones, zeros)
    assert worst["auroc"] == 0 and worst["fpr95"] == worst["miss95"] == 1
    same = separation(zeros, zeros.clone())
    assert same["auroc"] == 0.5 and same["fpr95"] == same["miss95"] == 1
    late = torch.cat([torch.zeros(2), torch.ones(38)])  # 95 of 100 outside score 1: two in 40 miss
    assert separation(torch.full((10,), 0.5), late)["fpr95"] == 0


def test_the_two_rates_fix_opposite_sides():
    inside, outside = torch.arange(20.0), torch.arange(20.0) + 14.5
    got = separation(inside, outside)
    # Nineteen of twenty outside reach 15.5, and so do 16 to 19 of inside. Nineteen of twenty
    # inside do not exceed 18, and neither do 14.5 to 17.5 of outside.
    assert got["fpr95"] == pytest.approx(4 / 20) and got["miss95"] == pytest.approx(4 / 20)
    with_stragglers = torch.cat([inside[:-4], torch.full((4,), 99.0)])
    assert separation(with_stragglers, outside)["miss95"] == 1
    assert separation(with_stragglers, outside)["fpr95"] == pytest.approx(4 / 20)
    mirrored = separation(-outside, -inside)  # who is positive, and which way is up, exchanged
    assert mirrored["fpr95"] == got["miss95"] and mirrored["miss95"] == got["fpr95"]
    assert mirrored["auroc"] == pytest.approx(got["auroc"])


@pytest.mark.parametrize("wrong", [torch.empty(0), torch.tensor([float("nan")]), torch.ones(2, 2)])
def test_scores_are_checked(wrong):
    with pytest.raises(ValueError, match="finite"):
        separation(torch.ones(3), wrong)


def test_the_baselines_tell_noise_from_digits():
    pytest.importorskip("pytorch_ood")
    data, classifier = nil.load_data("digits"), nil.load_classifier("digits")
    before = snapshot(classifier)
    baselines = Baselines(classifier, data.x_train, data.y_train)
    random = torch.Generator().manual_seed(0)
    far = 2 * torch.rand(100, 1, 28, 28, generator=random) - 1
    near, out = baselines(data.x_test[:100]), baselines(far)
    assert tuple(near) == NAMES and all(s.shape == (100,) for s in near.values())
    for name in NAMES:
        assert separation(near[name], out[name])["auroc"] > 0.8, name
    assert len(near["MSP"].unique()) == 100, "sure answers must not tie at 1"
    assert_same(snapshot(classifier), before)
    p = nil.metrics.logits(classifier, far).softmax(1).amax(1)
    assert out["MSP"].tolist() == pytest.approx((-p).tolist(), abs=1e-5) or (
        out["MSP"].tolist() == pytest.approx((1 - p).tolist(), abs=1e-5)
    )


def test_three_numbers_of_the_pixels():
    checks = torch.ones(1, 1, 4, 4)
    checks[..., ::2, ::2] = checks[..., 1::2, 1::2] = -1
    assert Pixels.numbers(checks)[0].tolist() == pytest.approx([0, checks.std().item(), 2])
    data = nil.load_data("digits")
    score = Pixels(data.x_train)
    random = torch.Generator().manual_seed(0)
    far = 2 * torch.rand(50, 1, 28, 28, generator=random) - 1
    assert separation(score(data.x_test), score(far))["auroc"] == 1
    moved = data.x_test.roll(3, 3).flip(2)  # where things are does not matter, but for the edges
    assert abs(separation(score(data.x_test), score(moved))["auroc"] - 0.5) < 0.05
