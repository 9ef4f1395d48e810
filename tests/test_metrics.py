"""Each metric against a closed form, and against a library or a double loop that shares no code."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import netinv_lite as nil
from netinv_lite import metrics

pytestmark = pytest.mark.filterwarnings("error")


class Reader(nn.Module):
    """Reads the brightest of the first K pixels; its penultimate features are those pixels."""

    def __init__(self, K=3, scale=5.0):
        super().__init__()
        self.K, self.head = K, nn.Linear(K, K, bias=False)
        self.head.weight.data = scale * torch.eye(K)

    def forward(self, x):
        return self.head(x.flatten(1)[:, : self.K])


class Noisy(nn.Module):
    """Batch normalisation and dropout: whatever train mode could spoil."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.5))
        self.hidden = nn.Linear(4 * 4, 6)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.hidden(self.body(x).flatten(1)))


def one_hot_images(read, K=3):
    """Images (N,1,2,2) that `Reader` takes for the classes `read`."""
    x = torch.zeros(len(read), 4)
    x[torch.arange(len(read)), torch.as_tensor(read)] = 1
    return x.view(-1, 1, 2, 2)


@pytest.fixture
def noisy():
    torch.manual_seed(0)
    model = Noisy().train()
    model.body[3].eval()
    model.head.weight.requires_grad_(False)
    return model


@pytest.fixture
def images():
    return torch.rand(7, 1, 4, 4, generator=torch.Generator().manual_seed(1))


def rows(N, D, seed):
    return torch.randn(N, D, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


sizes = st.tuples(st.integers(2, 12), st.integers(1, 9), st.integers(0, 10_000))


# ---- what a model says ------------------------------------------------------------------------


def test_features_and_logits_are_those_of_eval_mode(noisy, images):
    f, out = metrics.features(noisy, images, batch_size=3), metrics.logits(noisy, images)
    noisy.eval()
    with torch.no_grad():
        expected = noisy.hidden(noisy.body(images).flatten(1))
        torch.testing.assert_close(f, expected)
        torch.testing.assert_close(out, noisy(images))
    assert not f.requires_grad and not out.requires_grad


def test_features_of_a_named_layer(noisy, images):
    f = metrics.features(noisy, images, layer="body.1", batch_size=2)
    assert f.shape == (7, 4 * 2 * 2)
    with pytest.raises(ValueError, match=r"no module 'bodi'.*body"):
        metrics.features(noisy, images, layer="bodi")


@pytest.mark.parametrize(
    "measure",
    [
        lambda m, x, y: metrics.features(m, x, batch_size=2),
        lambda m, x, y: metrics.logits(m, x),
        metrics.inversion_accuracy,
        metrics.judge_accuracy,
        metrics.confidence,
        metrics.confusion,
        lambda m, x, y: metrics.conditional_kl(m, x, torch.eye(3)[y]),
    ],
)
def test_the_model_is_left_as_it_was(noisy, images, measure):
    before = {k: t.clone() for k, t in noisy.state_dict().items()}
    modes = [m.training for m in noisy.modules()]
    flags = [p.requires_grad for p in noisy.parameters()]
    measure(noisy, images, torch.arange(7) % 3)
    assert all(torch.equal(t, before[k]) for k, t in noisy.state_dict().items())
    assert [m.training for m in noisy.modules()] == modes
    assert [p.requires_grad for p in noisy.parameters()] == flags
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in noisy.modules())
    assert all(p.grad is None for p in noisy.parameters())


def test_the_hook_goes_when_the_model_fails(noisy, images):
    noisy.hidden.weight.data.fill_(torch.nan)
    with pytest.raises(ValueError, match="not finite"):
        metrics.features(noisy, images)
    with pytest.raises(ValueError, match="NaN"):
        metrics.logits(noisy, images)
    assert not any(m._forward_hooks for m in noisy.modules()) and noisy.training


def test_accuracy_confidence_and_confusion_in_closed_form():
    read, asked = [0, 0, 1, 1], torch.tensor([0, 0, 1, 0])
    model, x = Reader(), one_hot_images(read)
    assert metrics.inversion_accuracy(model, x, asked) == 0.75
    assert metrics.judge_accuracy(model, x, asked) == 0.75
    top, rest = (math.exp(s) / (math.exp(5) + 2) for s in (5, 0))
    assert metrics.confidence(model, x) == pytest.approx(top)
    assert metrics.confidence(model, x, asked) == pytest.approx((3 * top + rest) / 4)
    expected = torch.tensor([[2 / 3, 1 / 3, 0], [0, 1, 0], [0, 0, 0]])
    torch.testing.assert_close(metrics.confusion(model, x, asked), expected)


def test_confusion_and_accuracy_agree_with_torchmetrics():
    from torchmetrics.functional import classification as tm

    x = torch.rand(60, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    k, read = torch.arange(60) % 3, x.flatten(1)[:, :3].argmax(1)
    ours = metrics.confusion(Reader(), x, k)
    torch.testing.assert_close(ours, tm.multiclass_confusion_matrix(read, k, 3, normalize="true"))
    accuracy = tm.multiclass_accuracy(read, k, 3, average="micro").item()
    assert metrics.judge_accuracy(Reader(), x, k) == pytest.approx(accuracy)


def test_conditional_kl_applies_softmax_once():
    from torchmetrics.functional.regression import kl_divergence

    x = torch.rand(9, 1, 2, 2, generator=torch.Generator().manual_seed(0))
    q = (5 * x.flatten(1)[:, :3]).softmax(1)
    assert metrics.conditional_kl(Reader(), x, q) == pytest.approx(0, abs=1e-6)  # double: .6
    v = torch.rand(9, 3, generator=torch.Generator().manual_seed(1)).softmax(1)
    expected = kl_divergence(v.double(), q.double()).item()
    assert metrics.conditional_kl(Reader(), x, v) == pytest.approx(expected, rel=1e-5)
    hard = torch.eye(3)[q.argmax(1)]  # 0 log 0 = 0, so KL is the cross-entropy
    expected = -q.max(1).values.log().mean().item()
    assert metrics.conditional_kl(Reader(), x, hard) == pytest.approx(expected, rel=1e-5)


def test_numbers_of_a_shipped_network():
    model, data = nil.load_classifier("digits"), nil.load_data("digits")
    x, y = data.x_test, data.y_test
    accuracy = metrics.inversion_accuracy(model, x, y)
    assert accuracy == pytest.approx(model.record["test_accuracy"], abs=0.01)
    assert metrics.confusion(model, x, y).diagonal().mean() == pytest.approx(accuracy, abs=0.01)
    f = metrics.features(model, x)
    assert f.shape == (450, 128)
    assert metrics.intra_class_cosine(f, y) > metrics.inter_class_cosine(f, y) + 0.2
    assert 1 < metrics.vendi_by_class(f, y) < metrics.vendi_score(f) < 450
    with pytest.raises(ValueError, match="input range"):
        metrics.judge_accuracy(model, 255 * x, y)
    with pytest.raises(ValueError, match=r"\(B, 1, 28, 28\)"):
        metrics.judge_accuracy(model, x[..., :14], y)


# ---- cosines and Vendi ------------------------------------------------------------------------


def pairwise(f, labels):
    """Mean cosine within and between classes, by a double loop."""
    f, same, other = f.flatten(1).numpy(), [], []
    for i in range(len(f)):
        for j in range(len(f)):
            cosine = f[i] @ f[j] / np.linalg.norm(f[i]) / np.linalg.norm(f[j])
            if i != j:
                (same if labels[i] == labels[j] else other).append(cosine)
    return np.mean(same), np.mean(other)


@settings(max_examples=40, deadline=None)
@given(sizes)
def test_cosines_are_the_mean_over_pairs(size):
    N, D, seed = size
    f, labels = rows(N + 2, D, seed), torch.arange(N + 2) % 3 % 2
    intra, inter = metrics.intra_class_cosine(f, labels), metrics.inter_class_cosine(f, labels)
    assert (intra, inter) == pytest.approx(pairwise(f, labels), abs=1e-9)
    assert -1 - 1e-9 <= intra <= 1 + 1e-9 and -1 - 1e-9 <= inter <= 1 + 1e-9
    moved = torch.randperm(N + 2, generator=torch.Generator().manual_seed(seed))
    assert metrics.intra_class_cosine(3 * f[moved], labels[moved]) == pytest.approx(intra)


def test_cosines_in_closed_form():
    f = torch.tensor([[1.0, 0], [2, 0], [0, 1], [0, -1]])
    labels = torch.tensor([0, 0, 1, 1])
    assert metrics.intra_class_cosine(f, labels) == pytest.approx(0)  # (1 − 1)/2
    assert metrics.intra_class_cosine(f[:2], labels[:2]) == pytest.approx(1)
    assert metrics.inter_class_cosine(f, labels) == pytest.approx(0)
    assert metrics.inter_class_cosine(f[2:], torch.tensor([4, 9])) == pytest.approx(-1)


@settings(max_examples=40, deadline=None)
@given(sizes)
def test_vendi_is_the_effective_number_of_rows(size):
    N, D, seed = size
    f = rows(N, D, seed)
    score = metrics.vendi_score(f)
    u = f.numpy() / np.linalg.norm(f.numpy(), axis=1, keepdims=True)
    p = np.linalg.svd(u, compute_uv=False) ** 2 / N  # singular values, not a Gram matrix
    assert score == pytest.approx(np.exp(-sum(x * np.log(x) for x in p if x > 0)), rel=1e-8)
    assert 1 - 1e-9 <= score <= min(N, D) + 1e-9
    moved = torch.randperm(N, generator=torch.Generator().manual_seed(seed))
    scale = torch.rand(N, 1, generator=torch.Generator().manual_seed(seed)) + 0.1
    assert metrics.vendi_score((scale * f)[moved]) == pytest.approx(score)
    assert metrics.vendi_score(torch.cat([f, f])) == pytest.approx(score)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 20), st.sampled_from([torch.float32, torch.float64, torch.float16]))
def test_vendi_of_identical_and_of_orthogonal_rows(N, dtype):
    assert metrics.vendi_score(torch.full((N, 5), 0.3, dtype=dtype)) == pytest.approx(1, abs=1e-6)
    assert metrics.vendi_score(torch.eye(N, dtype=dtype)) == pytest.approx(N, rel=1e-6)


def test_vendi_agrees_with_its_authors_package():
    vendi = pytest.importorskip("vendi_score.vendi")
    for N, D in ((30, 8), (8, 30)):
        f = rows(N, D, N)
        assert metrics.vendi_score(f) == pytest.approx(vendi.score_dual(f.numpy()), rel=1e-6)


def test_vendi_by_class_and_its_excess():
    eye = torch.eye(4)
    f = torch.cat([eye[:2], eye[[2, 2]]])  # class 0 has two different rows, class 1 one twice
    labels = torch.tensor([0, 0, 1, 1])
    assert metrics.vendi_by_class(f, labels) == pytest.approx(1.5)
    real = torch.cat([eye[:2], eye[2:], eye[:2]])  # class 1: only its first two rows count
    labels_real = torch.tensor([0, 0, 1, 1, 1, 1])
    assert metrics.excess_vendi(f, real, labels, labels_real) == pytest.approx(0.5)
    assert metrics.excess_vendi(f, f, labels, labels) == pytest.approx(1)
    pixels = f.view(4, 1, 2, 2)
    assert metrics.vendi_by_class(pixels, labels) == pytest.approx(1.5)
    assert metrics.intra_class_cosine(pixels, labels) == pytest.approx(0.5)


def test_huge_and_tiny_rows_keep_their_direction():
    f = torch.tensor([[1e-300, 0.0], [0.0, 1e300]], dtype=torch.float64)
    assert metrics.vendi_score(f) == pytest.approx(2)


# ---- precision, recall, density, coverage -----------------------------------------------------


def brute_prdc(real, fake, k):
    def distance(a, b):
        return np.linalg.norm(a - b)

    def radius(points, i):
        return sorted(distance(points[i], p) for j, p in enumerate(points) if j != i)[k - 1]

    real, fake = real.numpy(), fake.numpy()
    r_real = [radius(real, i) for i in range(len(real))]
    r_fake = [radius(fake, j) for j in range(len(fake))]
    hit = np.array([[distance(x, y) < r for y in fake] for x, r in zip(real, r_real, strict=True)])
    back = np.array([[distance(x, y) < r for y, r in zip(fake, r_fake, strict=True)] for x in real])
    return {
        "precision": hit.any(0).mean(),
        "recall": back.any(1).mean(),
        "density": hit.sum(0).mean() / k,
        "coverage": hit.any(1).mean(),
    }


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 4), st.integers(6, 15), st.integers(6, 15), st.integers(0, 9999))
def test_prdc_is_its_definition(k, N, M, seed):
    real, fake = rows(N, 3, seed), 0.8 * rows(M, 3, seed + 1) + 0.3
    assert metrics.prdc(real, fake, k=k) == pytest.approx(brute_prdc(real, fake, k))


def test_prdc_agrees_with_its_authors_package():
    package = pytest.importorskip("prdc")
    real, fake = rows(200, 16, 0), 0.7 * rows(150, 16, 1)
    expected = package.compute_prdc(real.numpy(), fake.numpy(), nearest_k=5)
    assert metrics.prdc(real, fake) == pytest.approx(expected)


def test_prdc_at_its_ends():
    real = rows(50, 4, 0)
    same = metrics.prdc(real, real.clone())
    assert same["precision"] == same["recall"] == same["coverage"] == 1
    assert set(metrics.prdc(real, real + 1e3).values()) == {0.0}
    collapsed = metrics.prdc(real, real[:1].repeat(20, 1))
    assert collapsed["precision"] == 1 and collapsed["recall"] == 0
    assert collapsed["coverage"] < 0.5


# ---- bad input --------------------------------------------------------------------------------

f, y = rows(6, 3, 0), torch.arange(6) % 2
nan = torch.where(f == f[0, 0], torch.nan, f)
x, k = one_hot_images([0, 1, 2]), torch.arange(3)
bad = {
    "two rows": lambda: metrics.vendi_score(f[:1]),
    "two rows ": lambda: metrics.vendi_by_class(f, torch.arange(6)),
    "NaN": lambda: metrics.vendi_score(nan),
    "NaN ": lambda: metrics.prdc(f, nan),
    "Row 2 is all zeros": lambda: metrics.vendi_score(f * (torch.arange(6) != 2)[:, None]),
    "no pair": lambda: metrics.intra_class_cosine(f, torch.arange(6)),
    "no pair of two": lambda: metrics.inter_class_cosine(f, torch.zeros(6, dtype=torch.int64)),
    "One integer label": lambda: metrics.intra_class_cosine(f, y[:5]),
    "One integer label ": lambda: metrics.intra_class_cosine(f, y.float()),
    "Class 1": lambda: metrics.excess_vendi(f, f[:3], y, torch.zeros(3, dtype=torch.int64)),
    "alike": lambda: metrics.excess_vendi(f, f * 0 + 1, y, y),
    "less than both": lambda: metrics.prdc(f, f, k=6),
    "at least 1": lambda: metrics.prdc(f, f, k=0),
    "equal width": lambda: metrics.prdc(f, f[:, :2], k=2),
    "N ≥ 1": lambda: metrics.judge_accuracy(Reader(), x[:0], k[:0]),
    "N,C,H,W": lambda: metrics.logits(Reader(), x[0]),
    "NaN or infinity": lambda: metrics.logits(Reader(), x / 0),
    "batch_size=0": lambda: metrics.logits(Reader(), x, batch_size=0),
    "3 classes are numbered from 0 to 2. Take labels - 1": lambda: metrics.judge_accuracy(
        Reader(), x, k + 1
    ),
    "One integer": lambda: metrics.judge_accuracy(Reader(), x, k[:2]),
    "logits' shape": lambda: metrics.conditional_kl(Reader(), x, torch.eye(4)[:3]),
    "add to 1": lambda: metrics.conditional_kl(Reader(), x, torch.ones(3, 3)),
    "non-negative": lambda: metrics.conditional_kl(Reader(), x, 2 * torch.eye(3) - 1 / 3),
    "for 3 images it returned": lambda: metrics.logits(nn.Flatten(0), x),
}


@pytest.mark.parametrize("message", bad)
def test_bad_input_is_a_clear_error(message):
    with pytest.raises(ValueError, match=message.strip().replace("..", r"\.\.")):
        bad[message]()


# --- the report -----------------------------------------------------------------------------


def test_a_report_has_a_row_for_each_network_and_chance():
    data = nil.load_data("digits")
    networks = {"classifier": nil.load_classifier("digits"), "judge": nil.load_judge("digits")}
    x, y = data.x_test, data.y_test
    shifted = (y + 1) % 10
    table = metrics.report(networks, x, shifted)
    assert table.index.tolist() == ["classifier", "judge", "chance"]
    assert table["accuracy"].tolist() == [0, 0, 0.1]
    expected = round(metrics.confidence(networks["judge"], x), 3)
    assert table.loc["judge", "when wrong"] == table.loc["judge", "confidence"] == expected
    alone = metrics.report(networks["judge"], {"real": (x, y), "shifted": (x, shifted)})
    assert alone.index.tolist() == [("real", "network"), ("shifted", "network"), ("chance", "")]
    assert np.isnan(alone.loc[("real", "network"), "when wrong"]) == bool(
        metrics.judge_accuracy(networks["judge"], x, y) == 1
    )


def test_a_report_compares_with_real_images():
    data, judge = nil.load_data("digits"), nil.load_judge("digits")
    x, y = data.x_test, data.y_test
    same = torch.stack([x[y == k][0] for k in range(10)]).repeat_interleave(5, 0)
    k = torch.arange(10).repeat_interleave(5)
    table = metrics.report({"judge": judge}, same, k, real=(x, y))
    assert table.index.get_level_values("images").tolist() == [
        "generated",
        "real images",
        "chance",
    ]
    diverse, covered = table["diversity"], table["coverage"]
    assert diverse[("generated", "judge")] < 0.05, "one image a class"
    assert covered[("generated", "judge")] < 0.3
    assert diverse[("real images", "judge")] > 0.8 and covered[("real images", "judge")] > 0.9
    with pytest.raises(ValueError, match="no labels: give"):
        metrics.report(judge, x)
    with pytest.raises(ValueError, match="at least one network"):
        metrics.report({}, x, y)
    assert metrics.report(judge, x, y.tolist()).equals(metrics.report(judge, x, y))
