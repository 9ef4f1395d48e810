"""The generator at any number of classes, size and channel count, under every scheme."""

import math
import warnings

import pytest
import torch

import netinv_lite as nil
from helpers import QUICK, SCHEMES, assert_same, invert, seeded, tiny_cnn
from netinv_lite.conditioning import hot_matrix, one_hot, scheme
from netinv_lite.generator import deformed, shaded, smooth


def make(shape, K, name="vector-matrix", seed=0, **settings):
    return seeded(nil.ConditionedGenerator, shape, scheme(name, K, 4.0), seed=seed, **settings)


def batch(generator, K, name="vector-matrix", n=8, seed=0):
    random = torch.Generator().manual_seed(seed)
    z = torch.randn(n, generator.latent_dim, generator=random)
    return z, scheme(name, K, 4.0).draw(n, generator=random)


SIZES = [(C, side, side) for C in (1, 3) for side in (28, 32, 64)]
ODD = [(1, 7, 13), (3, 9, 9), (2, 12, 31), (1, 33, 5), (1, 3, 3), (1, 2, 2), (1, 100, 20)]


@pytest.mark.parametrize("K", [2, 10, 100])
@pytest.mark.parametrize("shape", SIZES + ODD, ids=str)
def test_images_have_the_shape_and_stay_inside_the_range(shape, K):
    generator = make(shape, K, input_range=(-2, 5))
    x = generator(*batch(generator, K, n=3))
    assert x.shape == (3, *shape) and torch.isfinite(x).all()
    with torch.no_grad():
        generator.to_pixels.weight.mul_(1e4)  # as far as tanh goes
        x = generator(*batch(generator, K, n=3))
    assert x.min() >= -2 and x.max() <= 5
    assert x.min() < -1.9 and x.max() > 4.9


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 11, 18)], ids=str)
@pytest.mark.parametrize("K", [2, 10, 100])
def test_gradients_reach_every_parameter(shape, K, name):
    generator = make(shape, K, name, dropout=0.0)
    x = generator(*batch(generator, K, name, n=32))
    (x * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))).sum().backward()
    for parameter_name, p in generator.named_parameters():
        assert p.grad is not None and p.grad.norm() > 0, parameter_name


def test_soft_targets_reach_every_parameter_too():
    soft = nil.SoftTargets(3, torch.tensor([[0.5, 0.5, 0], [0, 0.2, 0.8]]))
    generator = seeded(nil.ConditionedGenerator, (1, 8, 8), soft)
    x = generator(torch.randn(8, 64), soft.draw(8))
    (x * torch.randn_like(x)).sum().backward()
    assert all(p.grad is not None and p.grad.norm() > 0 for p in generator.parameters())


@pytest.mark.parametrize("name", SCHEMES)
def test_the_class_enters_where_the_scheme_says(name):
    K = 5
    generator = make((1, 12, 12), K, name).eval()
    z, (one, two) = torch.randn(K, 64), (torch.eye(K), torch.eye(K).roll(1, 0))

    def differ(v, y):
        x = generator(z, nil.Condition(one, one)), generator(z, nil.Condition(v, y))
        return (x[0] - x[1]).abs().flatten(1).amax(1).min() > 1e-6

    by_vector, by_matrix = differ(two, one), differ(one, two)
    assert by_vector == (name in ("label", "vector", "vector-matrix"))
    assert by_matrix == (name in ("matrix", "vector-matrix"))


def test_modulation_is_the_say_of_z():
    def spread(modulation):
        generator = make((1, 12, 12), 5, dropout=0.0, modulation=modulation)
        z, condition = batch(generator, 5, n=64)
        same = nil.Condition(condition.v[:1].expand(64, -1), condition.y[:1].expand(64, -1))
        x = generator(z, same)  # the pixels' spread about their mean image, by their own scale
        return (x.std(0).mean() / x.std()).item()

    assert spread(0.0) < spread(20.0)
    generator = make((1, 12, 12), 5, modulation=0.0)
    (generator(*batch(generator, 5))).sum().backward()
    assert not generator.modulate.weight.grad.any()


def test_every_place_knows_the_class_by_the_matrix_alone():
    generator = make((1, 28, 28), 10, "matrix", dropout=0.0).eval()
    z, y = torch.zeros(10, 64), torch.eye(10)
    h = generator.joined(torch.zeros(10, generator.lifted, 10, 10), nil.Condition(y, y))
    read = h[:, generator.lifted : -1]  # what is read from M; (10, read, 10, 10)
    differ = (read[:, None] - read).abs().amax(2)  # (10, 10, 10, 10): classes, classes, places
    assert (differ.flatten(2).amin(2) + torch.eye(10) > 1e-4).all()
    assert len(torch.unique(generator(z, nil.Condition(y, y)), dim=0)) == 10


def test_the_hot_matrix_joins_at_k_by_k_where_the_image_allows_it():
    generator = make((1, 28, 28), 10)
    k = torch.arange(10)
    condition = nil.Condition(one_hot(k, 10), one_hot(k, 10))
    assert generator.grid == (10, 10)
    assert torch.equal(generator.matrix(condition), hot_matrix(torch.eye(10)))


@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 12, 20)], ids=str)
def test_a_hundred_classes_enter_by_a_learned_code_that_tells_them_apart(shape):
    generator = make(shape, 100)
    eye = torch.eye(100)
    M = generator.matrix(nil.Condition(eye, eye)).flatten(1)
    assert M.shape[1] == generator.grid[0] * generator.grid[1] < 100**2
    assert torch.pdist(M).min() > 1e-3


@pytest.mark.parametrize("span", [(-1, 1), (0, 1)])
@pytest.mark.parametrize("start", [0.02, 0.3, 0.9])
def test_start_sets_the_brightness_of_the_first_images(start, span):
    generator = make((1, 28, 28), 10, start=start, input_range=span)
    x = generator(*batch(generator, 10, n=32))
    fraction = (x.mean().item() - span[0]) / (span[1] - span[0])
    assert fraction == pytest.approx(start, abs=0.06)
    plain = make((1, 28, 28), 10, input_range=span)
    x = plain(*batch(plain, 10, n=32))
    assert (x.mean().item() - span[0]) / (span[1] - span[0]) == pytest.approx(0.5, abs=0.06)


def test_start_at_the_ends_is_finite():
    for start in (0.0, 1.0):
        bias = make((1, 8, 8), 3, start=start).to_pixels.bias
        assert torch.isfinite(bias).all() and abs(bias[0].item()) == pytest.approx(math.atanh(0.99))


def test_the_same_seed_gives_the_same_tensors():
    a, b, c = (make((1, 12, 12), 4, seed=seed) for seed in (3, 3, 4))
    assert_same(a.state_dict(), b.state_dict())
    assert not torch.equal(a.lift.weight, c.lift.weight)
    with torch.no_grad():
        assert torch.equal(a.eval()(*batch(a, 4)), b.eval()(*batch(b, 4)))


def test_dropout_acts_in_training_only():
    generator = make((1, 12, 12), 4, dropout=0.5)
    z, condition = batch(generator, 4)
    assert not torch.equal(generator(z, condition), generator(z, condition))
    generator.eval()
    assert torch.equal(generator(z, condition), generator(z, condition))


def test_the_last_filter_is_the_binomial_one_and_keeps_no_checkerboard():
    h = torch.randn(2, 3, 6, 7, generator=torch.Generator().manual_seed(0))
    row = torch.tensor([1.0, 2, 1])
    kernel = (row[:, None] * row / 16).expand(3, 1, 3, 3)
    padded = torch.nn.functional.pad(h, (1, 1, 1, 1), mode="replicate")
    expected = torch.nn.functional.conv2d(padded, kernel, groups=3)
    torch.testing.assert_close(smooth(h), expected)
    checkerboard = (torch.arange(8)[:, None] + torch.arange(8)).remainder(2).mul(2.0) - 1
    assert smooth(checkerboard[None, None])[..., 1:-1, 1:-1].abs().max() < 1e-6


def test_a_field_of_zeros_leaves_the_image_as_it_is():
    x = torch.rand(2, 3, 9, 14, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(deformed(x, torch.zeros(2, 18), 0.3), x, atol=1e-5)


def test_equal_vectors_shift_the_image_by_so_many_pixels():
    x = torch.zeros(1, 1, 8, 16)
    x[0, 0, 3, 9] = 1
    across, down = (math.sqrt(2) * torch.erfinv(torch.tensor(u / 3**0.5)) for u in (0.25, -0.5))
    z = torch.cat([across.expand(1, 9), down.expand(1, 9)], 1)
    moved = deformed(x, z, 0.5)  # reads 0.125 of 8 pixels to the right, 0.25 of 4 upwards
    assert moved[0, 0, 4, 8] == pytest.approx(1, abs=1e-4)
    assert moved.sum() == pytest.approx(1, abs=1e-4)


def test_the_field_has_unit_variance_and_no_tails():
    z = torch.randn(20_000, 18, generator=torch.Generator().manual_seed(0))
    x = torch.linspace(-1, 1, 65).expand(1, 1, 65, 65)  # a ramp tells how far one reads
    read = torch.cat([deformed(x.expand(len(b), -1, -1, -1), b, 0.1) for b in z.split(1000)])
    u = (read - x)[:, 0, 32, 32] / 0.1  # at the field's middle vector
    assert u.std().item() == pytest.approx(1, abs=0.03)
    assert u.abs().max() < 3**0.5 * 1.05


def test_deformation_bends_each_image_its_own_way_and_passes_gradients():
    plain = make((1, 28, 28), 10)
    bent = make((1, 28, 28), 10, deformation=0.1)
    z, condition = batch(plain, 10)
    with torch.no_grad():
        x, y = plain.eval()(z, condition), bent.eval()(z, condition)
    assert torch.allclose(deformed(x, z, 0.1), y) and not torch.allclose(x, y, atol=1e-3)
    bent.train()(z, condition).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in bent.parameters())


def test_shading_dims_a_channel_by_a_smooth_field_and_leaves_the_low_end():
    x = torch.tensor([0.5, 2.0]).view(1, 2, 1, 1).expand(1, 2, 5, 5)  # a range from -1
    z = torch.zeros(1, 30)  # two channels: the numbers 4 to 11
    z[0, 4:8] = torch.tensor([-9.0, 9.0, -9.0, 9.0])  # the first is dimmed from left to right
    dimmed = shaded(x, z, 0.8, -1.0)
    assert dimmed[0, 0, :, 0].tolist() == pytest.approx([0.5] * 5)
    assert dimmed[0, 0, :, 4].tolist() == pytest.approx([1.5 * 0.2 - 1] * 5)
    assert dimmed[0, 0, 2, 2].item() == pytest.approx(1.5 * 0.6 - 1)
    assert dimmed[0, 1].flatten().tolist() == pytest.approx([3 * 0.6 - 1] * 25)
    assert torch.equal(shaded(torch.full_like(x, -1.0), z, 0.8, -1.0), torch.full_like(x, -1.0))


def test_shades_and_bends_are_drawn_independently():
    z = torch.randn(2000, 64, generator=torch.Generator().manual_seed(0))
    x = torch.ones(2000, 3, 4, 4)
    dim = 1 - (shaded(x, z, 1.0, -1.0) + 1) / 2
    means = dim.mean((2, 3)).T  # (3, 2000)
    assert means.mean().item() == pytest.approx(0.5, abs=0.02)
    assert 0 <= dim.min() < 0.1 and 0.9 < dim.max() <= 1
    assert (torch.corrcoef(means) - torch.eye(3)).abs().max() < 0.1
    changed = z.clone()
    changed[:, -18:] = 0.0
    assert torch.equal(shaded(x, changed, 0.5, -1.0), shaded(x, z, 0.5, -1.0))


def test_a_generator_shades_what_it_has_bent():
    plain, made = make((3, 16, 16), 6), make((3, 16, 16), 6, deformation=0.1, shading=0.6)
    z, condition = batch(plain, 6)
    with torch.no_grad():
        x, y = plain.eval()(z, condition), made.eval()(z, condition)
    assert torch.allclose(shaded(deformed(x, z, 0.1), z, 0.6, -1.0), y)
    with pytest.raises(ValueError, match="latent_dim=20: the fields of 3 channels need 30"):
        make((3, 16, 16), 6, shading=0.6, latent_dim=20)


# ---- what was stored goes on to be read -------------------------------------------------------

CORE = (
    "lift.weight lift.bias norm.0.weight norm.0.bias norm.0.running_mean norm.0.running_var "
    "norm.0.num_batches_tracked"
)
STAGE = (
    "stages.{0}.0.weight stages.{0}.1.weight stages.{0}.1.bias stages.{0}.1.running_mean "
    "stages.{0}.1.running_var stages.{0}.1.num_batches_tracked"
)
END = "modulate.weight modulate.bias to_pixels.weight to_pixels.bias"
BENT = {"deformation": 0.2, "shading": 0.6, "input_range": (0, 1)}
# The names of the tensors before and after those of the grid, and the mean, spread and two pixels
# of two images, as the first release of the module gave them.
STORED = [
    (
        (1, 28, 28),
        10,
        "vector-matrix",
        {},
        "embed.weight reader.weight reader.bias",
        1,
        [0.51194, 0.04353, 0.49814, 0.49565],
    ),
    (
        (3, 11, 18),
        100,
        "matrix",
        {},
        "reader.weight reader.bias code.weight",
        2,
        [-0.10383, 0.45315, -0.16898, -0.19526],
    ),
    ((2, 9, 8), 3, "label", {}, "embed.weight", 1, [0.10163, 0.34513, 0.06234, 0.49551]),
    (
        (3, 16, 16),
        6,
        "vector-matrix",
        BENT,
        "embed.weight reader.weight reader.bias",
        1,
        [0.40161, 0.17201, 0.41525, 0.60334],
    ),
]


def without_chance(generator):
    """The generator in eval mode with weights that no random number made."""
    with torch.no_grad():
        for i, p in enumerate(generator.parameters()):
            values = (torch.arange(p.numel()) * 0.7 + i).sin().view(p.shape)
            p.copy_(values * 0.8 / math.sqrt(p[0].numel() if p.ndim > 1 else 1))
    return generator.eval()


@pytest.mark.parametrize(("shape", "K", "name", "settings", "first", "stages", "numbers"), STORED)
def test_names_and_numbers_are_those_of_stored_inversions(
    shape, K, name, settings, first, stages, numbers
):
    generator = without_chance(make(shape, K, name, modulation=1.0, **settings))
    names = [first, CORE, *(STAGE.format(i) for i in range(stages)), END]
    assert " ".join(generator.state_dict()) == " ".join(names)
    z, y = (torch.arange(2 * 64) * 1.3).cos().view(2, 64), torch.eye(K)[[0, K - 1]]
    v = (3 * torch.arange(2 * K).sin().view(2, K)).softmax(1)
    with torch.no_grad():
        x = generator(z, nil.Condition(v, y))
    got = x.mean(), x.std(), x[0, 0, 1, 2], x[1, -1, -2, -3]
    assert [number.item() for number in got] == pytest.approx(numbers, abs=2e-4)


@pytest.mark.parametrize("settings", [{}, {"deformation": 0.2, "shading": 0.5}], ids=str)
@pytest.mark.parametrize("name", [*SCHEMES, "soft-targets"])
def test_a_generator_takes_conditions_of_every_type_in_its_own(name, settings):
    v = torch.tensor([[0.5, 0.5, 0], [0, 0.2, 0.8]])
    scheme_ = nil.SoftTargets(3, v) if name == "soft-targets" else scheme(name, 3, 4.0)
    generator = seeded(nil.ConditionedGenerator, (1, 8, 8), scheme_, **settings).eval()
    random = torch.Generator().manual_seed(0)
    z, condition = torch.randn(4, 64, generator=random), scheme_.draw(4, generator=random)
    with torch.no_grad():
        expected = generator(z, condition)
        assert torch.equal(generator(z.double(), condition.to(torch.float64)), expected)
        double = generator.double()(z, condition)
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["vector-matrix", "soft-targets"])
def test_an_inversion_under_double_precision_by_default(name):
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        given = nil.SoftTargets(3, torch.tensor([[0.5, 0.5, 0]])) if name[0] == "s" else name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = invert(tiny_cnn(3), config=QUICK, conditioning=given)
        assert found.sample(2)[0].dtype == torch.float64 and found.accuracy(8) >= 0
        assert found.images(torch.eye(3, dtype=torch.float32)).shape == (3, 1, 12, 12)
    finally:
        torch.set_default_dtype(before)
