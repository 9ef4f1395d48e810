"""Vectors on the simplex with their law, the hot matrix by brute force, soft targets."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import netinv_lite as nil
from helpers import SCHEMES
from netinv_lite.conditioning import (
    balanced_classes,
    check_simplex,
    hot_matrix,
    one_hot,
    scheme,
    simplex_vectors,
)

seeds = st.integers(0, 2**31)
quick = settings(max_examples=40, deadline=None)


def random(seed):
    return torch.Generator().manual_seed(seed)


@quick
@given(st.integers(2, 120), st.floats(0.05, 8), st.integers(1, 60), seeds)
def test_v_lies_on_the_simplex_with_its_largest_entry_at_k(K, scale, n, seed):
    k = torch.randint(K, (n,), generator=random(seed))
    v = simplex_vectors(k, K, scale, generator=random(seed + 1))
    assert v.shape == (n, K) and v.dtype == torch.float32
    assert (v >= 0).all() and v.sum(1).allclose(torch.ones(n))
    assert torch.equal(v.gather(1, k[:, None]).squeeze(1), v.amax(1))


@quick
@given(
    st.sampled_from(["label", "matrix", "vector", "vector-matrix"]),
    st.integers(2, 12),
    st.integers(1, 80),
    seeds,
)
def test_every_scheme_draws_its_classes_equally_often(name, K, n, seed):
    conditioning = scheme(name, K, 4.0)
    condition = conditioning.draw(n, generator=random(seed))
    counts = condition.k.bincount(minlength=K)
    assert counts.max() - counts.min() <= 1 and counts.sum() == n
    assert torch.equal(condition.v.argmax(1), condition.k)
    assert torch.equal(condition.y, one_hot(condition.k, K))
    again = conditioning.draw(n, generator=random(seed))
    assert torch.equal(condition.v, again.v) and torch.equal(condition.y, again.y)


def test_which_class_gets_the_odd_image_is_left_to_chance():
    odd = {int(balanced_classes(5, 4, generator=random(s)).bincount().argmax()) for s in range(40)}
    assert odd == {0, 1, 2, 3}


def test_label_and_matrix_conditions_are_one_hot_and_vectors_are_not():
    k = torch.arange(5)
    for conditioning in (nil.Label(5), nil.Matrix(5)):
        assert torch.equal(conditioning.of(k).v, torch.eye(5))
    for conditioning in (nil.Vector(5, scale=1.0), nil.VectorMatrix(5, scale=1.0)):
        assert conditioning.of(k, generator=random(0)).v.amax() < 0.99


@pytest.mark.parametrize(
    ("K", "s", "largest", "tied"),
    [(10, 1, 0.32, 0.136), (100, 1, 0.08, 0.56), (100, 4, 0.56, 0.04)],
)
def test_the_law_of_v_is_that_of_a_softmax_of_gaussians(K, s, largest, tied):
    v = simplex_vectors(torch.arange(20_000) % K, K, s, generator=random(0))
    top = v.topk(2).values
    assert top[:, 0].mean().item() == pytest.approx(largest, abs=0.01)
    assert (top[:, 0] - top[:, 1] < 0.02).double().mean().item() == pytest.approx(tied, abs=0.015)
    n = np.exp(s * np.random.default_rng(0).normal(size=(20_000, K)))
    expected = np.sort(n / n.sum(1, keepdims=True), 1)[:, ::-1]
    ordered = v.sort(1, descending=True).values.double().numpy()
    np.testing.assert_allclose(ordered.mean(0)[:5], expected.mean(0)[:5], rtol=0.03)
    np.testing.assert_allclose(ordered.std(0)[:5], expected.std(0)[:5], rtol=0.05)


def test_the_classes_that_were_not_asked_for_are_exchangeable():
    v = simplex_vectors(torch.full((20_000,), 3), 6, 1.0, generator=random(0))
    others = v[:, [0, 1, 2, 4, 5]].mean(0)
    assert others.max() / others.min() < 1.03
    assert v[:, 3].mean() > 2 * others.max()


@quick
@given(st.integers(2, 14), seeds)
def test_hot_matrix_by_brute_force(K, seed):
    k = torch.randint(K, (6,), generator=random(seed))
    M = hot_matrix(one_hot(k, K))
    assert M.shape == (6, 1, K, K)
    for b in range(6):
        for i in range(K):
            for j in range(K):
                assert M[b, 0, i, j] == float(i == k[b] or j == k[b])
    assert torch.equal(M, M.transpose(2, 3))
    assert (M.sum((1, 2, 3)) == 2 * K - 1).all()


@quick
@given(st.integers(1, 5), st.integers(2, 9), seeds)
def test_hot_matrix_of_soft_rows_is_the_larger_of_row_and_column(B, K, seed):
    r = torch.rand(B, K, generator=random(seed))
    M = hot_matrix(r)
    for i in range(K):
        for j in range(K):
            assert torch.equal(M[:, 0, i, j], torch.maximum(r[:, i], r[:, j]))


@quick
@given(st.integers(2, 10), st.integers(0, 12), st.integers(0, 12))
def test_hot_matrix_on_another_grid_keeps_every_class_apart(K, more_rows, more_columns):
    g, h = K + more_rows, K + more_columns
    M = hot_matrix(torch.eye(K), (g, h))
    assert M.shape == (K, 1, g, h)
    rows, columns = (M[:, 0] == 1).all(2), (M[:, 0] == 1).all(1)  # (K, g), (K, h)
    assert torch.equal(M[:, 0], (rows[:, :, None] | columns[:, None, :]).float())
    assert (rows.sum(0) == 1).all() and (columns.sum(0) == 1).all()  # one class each
    for width, size in ((rows.sum(1), g), (columns.sum(1), h)):
        assert width.min() >= size // K and width.max() <= -(-size // K)
    assert (rows.float().argmax(1).diff() > 0).all()  # in the order of the classes


def test_hot_matrix_costs_the_grid_and_not_the_classes():
    assert hot_matrix(torch.eye(1000)[:2], (16, 16)).shape == (2, 1, 16, 16)


def test_soft_targets_come_as_the_caller_wrote_them():
    v = torch.tensor([[0, 0.5, 0.5], [1, 0, 0]])
    soft = nil.SoftTargets(3, v)
    condition = soft.draw(10, generator=random(0))
    assert torch.equal(condition.v, condition.y)
    rows = [tuple(row) for row in condition.v.tolist()]
    assert rows.count((0, 0.5, 0.5)) == rows.count((1, 0, 0)) == 5
    assert torch.equal(soft.of(torch.tensor([1, 0])).v, v[[1, 0]])
    with pytest.raises(ValueError, match=r"0\.\.1, not 2\.\.2"):
        soft.of(torch.tensor([2]))


def test_a_condition_is_met_by_any_class_that_it_asks_for_most():
    y = torch.tensor([[0, 0.5, 0.5], [0, 0.5, 0.5], [0, 0.5, 0.5], [0.6, 0.4, 0]])
    logits = torch.tensor([[0.0, 1, 2], [0, 2, 1], [3, 2, 1], [0, 1, 0]])
    assert nil.Condition(y, y).met_by(logits).tolist() == [True, True, False, False]


@quick
@given(st.integers(2, 8), st.integers(1, 5), seeds)
def test_the_simplex_is_recognised(K, T, seed):
    v = torch.rand(T, K, generator=random(seed)).softmax(1)
    assert torch.equal(check_simplex(v, K), v)
    for wrong in (2 * v, v - 0.5, v.log(), v[0], v[:, :-1], v[:0]):
        with pytest.raises(ValueError, match="Soft targets of shape|non-negative and sum to 1"):
            check_simplex(wrong, K)


def test_classes_and_scales_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"0\.\.2, not 1\.\.3"):
        one_hot(torch.tensor([1, 3]), 3)
    with pytest.raises(ValueError, match=r"0\.\.2, not -1\.\.0"):
        one_hot(torch.tensor([-1, 0]), 3)
    for scale in (0, -1, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="positive and finite"):
            nil.VectorMatrix(3, scale=scale)
    with pytest.raises(ValueError, match="Did you mean 'vector-matrix'"):
        scheme("vectormatrix", 3, 1.0)


def test_conditions_are_told_in_a_sentence():
    v = torch.tensor([[0, 0.25, 0.75], [1, 0, 0]])
    soft = nil.SoftTargets(3, v)
    assert repr(soft) == "SoftTargets(2 targets, K=3: 0.75 of 2 and 0.25 of 1; 1 of 0)"
    assert repr(nil.SoftTargets(12, torch.eye(12))).endswith("1 of 3; …)")
    assert repr(soft.of(torch.tensor([1, 0, 1]))) == (
        "Condition(3 images of K=3 classes, asked for 0, 2)"
    )
    assert len(repr(nil.Label(1000).draw(2000))) < 100


@pytest.mark.parametrize("name", ["label", "matrix", "vector", "vector-matrix", "soft-targets"])
def test_conditions_are_of_the_default_type(name):
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        rows = torch.eye(4, dtype=torch.float32)
        given = nil.SoftTargets(4, rows) if name == "soft-targets" else scheme(name, 4, 2.0)
        condition = given.draw(8)
    finally:
        torch.set_default_dtype(before)
    assert condition.v.dtype == condition.y.dtype == torch.float64
    single = condition.to(torch.float32)
    assert single.v.dtype == torch.float32 and torch.equal(single.k, condition.k)


@pytest.mark.parametrize("name", SCHEMES)
def test_some_of_the_classes_are_drawn_equally_often(name):
    some = replace(scheme(name, 1000, 4.0), classes=[7, 999, 3])
    counted = some.draw(31).k.bincount(minlength=1000)
    assert counted.nonzero().flatten().tolist() == [3, 7, 999]
    assert counted.max() - counted[counted > 0].min() <= 1
    assert some.of(torch.tensor([5])).k.tolist() == [5], "others can still be named"


@pytest.mark.parametrize(
    ("classes", "said"), [([], "at least one"), ([10], "0..9"), ("3", "at least one")]
)
def test_classes_that_do_not_exist_are_refused(classes, said):
    with pytest.raises(ValueError, match=said):
        nil.VectorMatrix(10, classes=classes)


def test_an_inversion_of_some_classes_samples_saves_and_draws_these(tmp_path):
    classifier = nil.load_classifier("digits")
    quick = nil.InversionConfig(steps=60, batch_size=32)
    conditioning = nil.VectorMatrix(10, classes=[8, 3])
    inversion = nil.invert(classifier, conditioning=conditioning, config=quick, progress=False)
    assert inversion.sample(2)[1].tolist() == [8, 8, 3, 3]
    assert inversion.sample(1, classes=[3])[1].tolist() == [3]
    assert inversion.accuracy(100) > 0.9
    again = nil.Inversion.load(inversion.save(tmp_path / "some.safetensors"), classifier)
    assert again.conditioning == conditioning
    assert again.sample(2)[1].tolist() == [8, 8, 3, 3]
    assert "2 of 10 classes" in inversion.plot(2).alt


def test_soft_targets_take_no_classes_beside_them():
    with pytest.raises(ValueError, match="leave `classes` out"):
        nil.SoftTargets(3, torch.eye(3), classes=[1])
