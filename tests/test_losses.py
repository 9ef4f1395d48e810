"""Each loss against a closed form, a double loop or a library that shares no code with it."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from torch import nn
from torch.nn import functional as F

import netinv_lite as nil
from helpers import Own, assert_same, seeded, snapshot, tiny_cnn
from netinv_lite import losses

sizes = st.tuples(st.integers(2, 12), st.integers(1, 16), st.integers(0, 2**31))
quick = settings(max_examples=40, deadline=None)


def gaussians(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def cosines(f):
    """All cos(f_i, f_j), i ≠ j, by a double loop."""
    f = f.numpy()
    return {
        (i, j): f[i] @ f[j] / (np.linalg.norm(f[i]) * np.linalg.norm(f[j]))
        for i in range(len(f))
        for j in range(len(f))
        if i != j
    }


# ---- KL, cross-entropy, margin ----------------------------------------------------------------


@quick
@given(sizes, st.floats(0.1, 10))
def test_kl_is_that_of_torch_distributions_and_of_scipy(size, scale):
    B, K, seed = size[0], size[1] + 1, size[2]
    logits, v = scale * gaussians(B, K, seed=seed), gaussians(B, K, seed=seed + 1).softmax(1)
    ours = losses.kl(logits, v).item()
    P, Q = torch.distributions.Categorical(v), torch.distributions.Categorical(logits=logits)
    library = torch.distributions.kl_divergence(P, Q).mean().item()
    assert ours == pytest.approx(library, rel=1e-6, abs=1e-9)
    by_scipy = special.rel_entr(v.numpy(), special.softmax(logits.numpy(), 1)).sum(1).mean()
    assert ours == pytest.approx(by_scipy, rel=1e-6, abs=1e-9)
    assert ours >= -1e-12
    assert losses.kl(logits + 7, v).item() == pytest.approx(ours)


def test_softmax_is_applied_once():
    v = gaussians(5, 4).mul(3).softmax(1)
    assert losses.kl(v.log() + 2, v).item() == pytest.approx(0, abs=1e-12)
    assert losses.cross_entropy(30 * torch.eye(4), torch.eye(4)).item() < 1e-6
    assert losses.kl(30 * torch.eye(4), torch.eye(4)).item() < 1e-6
    # The trap: with softmax first, a perfect network is not at the minimum, and the loss of a
    # perfectly wrong one is bounded by 1 + log of about K.
    assert losses.kl(v.log().softmax(1), v).item() > 0.1
    wrong = 50 * torch.eye(4).roll(1, 0)
    assert losses.kl(wrong.softmax(1), torch.eye(4)).item() < 2
    assert losses.kl(wrong, torch.eye(4)).item() == pytest.approx(50)


def test_kl_takes_zeros_in_v():
    logits, v = gaussians(4, 4).requires_grad_(), torch.eye(4, dtype=torch.float64)
    loss = losses.kl(logits, v)
    loss.backward()
    assert loss.item() == pytest.approx(losses.cross_entropy(logits, torch.arange(4)).item())
    assert torch.isfinite(logits.grad).all()


@quick
@given(sizes)
def test_cross_entropy_of_classes_one_hots_and_soft_rows(size):
    B, K, seed = size[0], size[1] + 1, size[2]
    logits, k = gaussians(B, K, seed=seed), torch.arange(B) % K
    log_q = np.log(special.softmax(logits.numpy(), 1))
    expected = -np.mean([log_q[i, k[i]] for i in range(B)])
    assert losses.cross_entropy(logits, k).item() == pytest.approx(expected)
    hot = F.one_hot(k, K).double()
    assert losses.cross_entropy(logits, hot).item() == pytest.approx(expected)
    soft = gaussians(B, K, seed=seed + 1).softmax(1)
    expected = -(soft.numpy() * log_q).sum(1).mean()
    assert losses.cross_entropy(logits, soft).item() == pytest.approx(expected)


@quick
@given(sizes, st.floats(0, 20))
def test_margin_is_the_softplus_of_what_the_log_odds_lack(size, m):
    B, K, seed = size[0], size[1] + 1, size[2]
    logits, k = 3 * gaussians(B, K, seed=seed), torch.arange(B) % K
    p = special.softmax(logits.numpy(), 1)[np.arange(B), k]
    odds = np.log(p / (1 - p))
    expected = np.log1p(np.exp(m - odds)).mean()
    assert losses.margin(logits, k, m).item() == pytest.approx(expected, rel=1e-6)
    at_zero = losses.margin(logits, k, 0).item()
    assert at_zero == pytest.approx(losses.cross_entropy(logits, k).item())


def test_margin_pushes_on_where_cross_entropy_has_stopped():
    def pull(loss, odds):
        logits = torch.tensor([[odds, 0.0]], dtype=torch.float64, requires_grad=True)
        loss(logits).backward()
        return -logits.grad[0, 0].item()

    k = torch.tensor([0])
    for odds in (0.0, 4.0, 8.0, 12.0, 30.0):
        assert pull(lambda x: losses.margin(x, k, 10), odds) == pytest.approx(
            special.expit(10 - odds)
        )
    assert pull(lambda x: losses.cross_entropy(x, k), 8.0) < 1e-3
    assert pull(lambda x: losses.margin(x, k, 10), 8.0) > 0.8
    assert pull(lambda x: losses.margin(x, k, 10), 30.0) < 1e-6  # and stops beyond m


# ---- cosines and orthogonality ----------------------------------------------------------------


@quick
@given(sizes)
def test_cosine_is_the_mean_over_all_pairs(size):
    N, D, seed = size
    f = gaussians(N, D, seed=seed)
    expected = np.mean(list(cosines(f).values()))
    assert losses.cosine(f).item() == pytest.approx(expected, abs=1e-9)


@quick
@given(sizes)
def test_class_cosine_is_the_mean_over_the_pairs_of_one_class(size):
    N, D, seed = size
    f, k = gaussians(N + 4, D, seed=seed), torch.arange(N + 4) % 4 * 3 % 5  # classes 0, 3, 1, 4
    pairs = [c for (i, j), c in cosines(f).items() if k[i] == k[j]]
    assert losses.class_cosine(f, k).item() == pytest.approx(np.mean(pairs), abs=1e-9)


def test_class_cosine_without_a_pair_is_zero():
    f = gaussians(3, 2).requires_grad_()
    loss = losses.class_cosine(f, torch.arange(3))
    assert loss.item() == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("N", "D"), [(4, 9), (9, 4), (6, 6), (2, 1)])
def test_orthogonality_is_the_mean_squared_cosine_in_both_branches(N, D):
    f = gaussians(N, D, seed=N)
    expected = np.mean(np.square(list(cosines(f).values())))
    assert losses.orthogonality(f).item() == pytest.approx(expected)
    u = f / f.norm(dim=1, keepdim=True)
    deviation = (u @ u.T - torch.eye(N)).square().sum() / (N * (N - 1))
    assert losses.orthogonality(f).item() == pytest.approx(deviation.item())


def test_orthogonality_and_cosines_at_their_ends():
    eye, same = torch.eye(5), torch.ones(5, 3)
    assert losses.orthogonality(eye).item() == losses.cosine(eye).item() == 0
    for loss in (losses.orthogonality, losses.cosine):
        assert loss(same).item() == pytest.approx(1)
    assert losses.class_cosine(same, torch.zeros(5, dtype=torch.int64)).item() == pytest.approx(1)
    assert losses.cosine(torch.tensor([[1.0], [-1.0]])).item() == pytest.approx(-1)


@quick
@given(sizes)
def test_the_length_and_the_order_of_the_features_do_not_count(size):
    N, D, seed = size
    f, k = gaussians(N, D, seed=seed), torch.arange(N) % 2
    lengths = gaussians(N, 1, seed=seed + 1).exp()
    order = torch.randperm(N, generator=torch.Generator().manual_seed(seed))
    for loss in (losses.cosine, losses.orthogonality, lambda f: losses.class_cosine(f, k)):
        assert loss(lengths * f).item() == pytest.approx(loss(f).item(), abs=1e-9)
    for loss in (losses.cosine, losses.orthogonality):
        assert loss(f[order]).item() == pytest.approx(loss(f).item(), abs=1e-9)
    together = losses.class_cosine(f[order], k[order]).item()
    assert together == pytest.approx(losses.class_cosine(f, k).item(), abs=1e-9)


def test_cosine_of_a_large_batch_needs_no_square_matrix():
    f = torch.ones(20_000, 4).requires_grad_()  # N×N would be 1.6 GB
    with torch.autograd.graph.saved_tensors_hooks(kept := Kept(), lambda t: t):
        losses.cosine(f).backward()
        losses.orthogonality(f).backward()
    assert max(kept) <= f.numel()


class Kept(list):
    def __call__(self, t):
        self.append(t.numel())
        return t


# ---- priors -----------------------------------------------------------------------------------


@pytest.mark.parametrize("span", [(-1, 1), (0, 1), (0, 255)])
def test_background_is_in_units_of_half_the_range(span):
    low, high = span
    x = low + (high - low) * torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    for level, b in ((0, low), (1, high), (0.25, low + 0.25 * (high - low))):
        expected = np.abs(x.double().numpy() - b).mean() * 2 / (high - low)
        assert losses.background(x, level, span).item() == pytest.approx(expected, rel=1e-5)
    assert losses.background(torch.full((1, 1, 2, 2), float(low)), 0, span).item() == 0
    assert losses.background(torch.full((1, 1, 2, 2), float(high)), 0, span).item() == 2


def test_total_variation_by_a_double_loop():
    x = gaussians(2, 3, 4, 5)
    across = [
        abs(x[b, c, i, j + 1] - x[b, c, i, j])
        for b in range(2)
        for c in range(3)
        for i in range(4)
        for j in range(4)
    ]
    down = [
        abs(x[b, c, i + 1, j] - x[b, c, i, j])
        for b in range(2)
        for c in range(3)
        for i in range(3)
        for j in range(5)
    ]
    expected = np.mean(across) + np.mean(down)
    assert losses.total_variation(x).item() == pytest.approx(expected)
    assert losses.total_variation(3 + 0 * x).item() == 0


# ---- InversionLoss ----------------------------------------------------------------------------

NONE = dict(kl=0, cross_entropy=0, cosine=0)
BATCH = dict(
    x=gaussians(6, 1, 4, 4, dtype=torch.float32).tanh(),
    logits=gaussians(6, 3, seed=1, dtype=torch.float32),
    f=gaussians(6, 5, seed=2, dtype=torch.float32),
    condition=nil.Vector(3, scale=1.0).draw(6, generator=torch.Generator().manual_seed(0)),
    input_range=(-1, 1),
    distances=[torch.tensor(1.0), torch.tensor(4.0)],
    model=seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(16, 3))),
)
WEIGHTS = tuple(losses.TERMS)
USES = {name: (name,) for name in WEIGHTS} | {
    "perturbed_kl": ("perturbed", "kl"),
    "perturbed_cross_entropy": ("perturbed", "cross_entropy"),
}


def test_the_total_is_the_weighted_sum_of_the_terms():
    weights = dict(zip(losses.TERMS, (0.5, 2, 3, 0.25, 1, 4, 0.1, 7, 6, 8, 9, 5, 0.7), strict=True))
    loss = nil.InversionLoss(**weights, log_odds=6, level=0.5, bound=0.3)
    terms = seeded(loss.terms, losses.Batch(**BATCH))
    near = BATCH["model"](seeded(losses.perturbed, BATCH["x"], 0.3, (-1, 1)))
    x, logits, f, c = (BATCH[key] for key in ("x", "logits", "f", "condition"))
    expected = {
        "kl": losses.kl(logits, c.v),
        "cross_entropy": losses.cross_entropy(logits, c.k),
        "margin": losses.margin(logits, c.k, 6),
        "cosine": losses.cosine(f),
        "class_cosine": losses.class_cosine(f, c.k),
        "orthogonality": losses.orthogonality(f),
        "background": losses.background(x, 0.5, (-1, 1)),
        "total_variation": losses.total_variation(x),
        "batch_norm": torch.tensor(2.5),
        "perturbed_kl": losses.kl(near, c.v),
        "perturbed_cross_entropy": losses.cross_entropy(near, c.y),
        "pixel_range": torch.tensor(0.0),
        "gradient": losses.gradient(BATCH["model"], x, c.k),
    }
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(terms[name], value)
    by_hand = sum(weights[name] * value.item() for name, value in expected.items())
    assert loss.total(terms).item() == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.parametrize("name", losses.TERMS)
def test_a_term_of_weight_zero_is_not_computed(name, monkeypatch):
    function = USES[name][0]
    monkeypatch.setattr(losses, function, lambda *_: pytest.fail(f"{name} was computed"))
    others = {term: 1.0 for term in losses.TERMS if function not in USES[term]}
    none = dict.fromkeys(losses.TERMS, 0.0)
    assert (
        nil.InversionLoss(**{**none, **others}).terms(losses.Batch(**BATCH)).keys() == others.keys()
    )
    only_it = nil.InversionLoss(**{**none, name: 1.0})
    with pytest.raises(pytest.fail.Exception, match=name):
        only_it.terms(losses.Batch(**BATCH))


# ---- terms that ask the model again -----------------------------------------------------------


TINY_VIT = nil.ViT((1, 8, 8), 4, patch=4, dim=8, heads=2)


@pytest.mark.parametrize("model", [tiny_cnn(shape=(1, 8, 8)), Own(), TINY_VIT])
def test_the_parameter_gradient_is_that_of_backward_and_can_be_followed(model):
    channels = 3 if isinstance(model, Own) else 1
    model, k = model.eval(), torch.tensor([0, 2, 1])
    x = gaussians(3, channels, 8, 8, dtype=torch.float32).requires_grad_()
    before = snapshot(model)
    norm = losses.gradient(model, x, k)
    norm.backward()
    assert x.grad.abs().max() > 0 and torch.isfinite(x.grad).all()
    assert_same(before, snapshot(model))
    F.cross_entropy(model(x.detach()), k).backward()
    by_hand = sum(p.grad.square().sum() for p in model.parameters() if p.grad is not None)
    assert norm.item() == pytest.approx(by_hand.sqrt().item(), rel=1e-4)
    model.zero_grad()


def test_a_gradient_of_zero_gives_no_nan():
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False))
    x = torch.zeros(2, 1, 2, 2, requires_grad=True)  # nothing comes in: no weight has a gradient
    losses.gradient(model, x, torch.tensor([0, 1])).backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("span", [(-1, 1), (0, 1)])
def test_perturbed_images_are_near_and_in_the_range(span):
    low, high = span
    x = low + (high - low) * torch.rand(50, 1, 8, 8)
    near, half = losses.perturbed(x, 0.2, span), (high - low) / 2
    assert low <= near.min() and near.max() <= high
    far = (near - x).abs() / half
    assert 0.15 < far.max() <= 0.2 + 1e-6 and far.mean() == pytest.approx(0.1, abs=0.01)


def test_the_range_penalty_counts_what_lies_outside():
    x = torch.tensor([[[[-2.0, 0.0, 1.0, 3.0]]]])
    assert losses.pixel_range(x, (-1, 1)).item() == pytest.approx((1 + 2) / 4)
    assert losses.pixel_range(x, (0, 2)).item() == pytest.approx((2 + 1) / 4)
    assert losses.pixel_range(x.clamp(-1, 1), (-1, 1)) == 0


def test_a_term_of_ones_own_in_three_lines():
    @losses.term
    def brightness(batch):
        return batch.x.mean()

    try:
        loss = nil.InversionLoss(kl=0, cosine=0, extra={"brightness": 0.5})
        terms = loss.terms(losses.Batch(**BATCH))
        assert set(terms) == {"cross_entropy", "brightness"}
        expected = terms["cross_entropy"] + 0.5 * BATCH["x"].mean()
        assert loss.total(terms).item() == pytest.approx(expected.item())
    finally:
        losses.TERMS.pop("brightness")
    with pytest.raises(ValueError, match="Unknown loss term 'brightness'"):
        nil.InversionLoss(extra={"brightness": 0.5})


def test_every_weight_is_a_term():
    settings = {"log_odds", "level", "bound", "extra"}
    assert {f.name for f in dataclasses.fields(nil.InversionLoss)} - settings == set(losses.TERMS)


def test_the_papers_defaults():
    assert nil.InversionLoss().terms(losses.Batch(**BATCH)).keys() == {
        "kl",
        "cross_entropy",
        "cosine",
    }


@pytest.mark.parametrize("weight", [-1, math.nan, math.inf])
@pytest.mark.parametrize("name", ["kl", "total_variation", "log_odds"])
def test_weights_are_finite_and_not_negative(name, weight):
    with pytest.raises(ValueError, match=f"{name}=.* finite and not negative"):
        nil.InversionLoss(**{name: weight})


def test_some_weight_is_needed():
    with pytest.raises(ValueError, match="Every weight is 0; give one of kl, cross_entropy"):
        nil.InversionLoss(**NONE)
