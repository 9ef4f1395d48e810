"""Networks as users bring them: each is inverted, or refused in a sentence before the training."""

import copy
from collections import OrderedDict
from dataclasses import replace

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

import netinv_lite as nil
from helpers import assert_same, seeded, snapshot
from netinv_lite.direct import stages
from netinv_lite.direct.cost import estimate
from netinv_lite.direct.partition import split
from netinv_lite.direct.stages import Training
from netinv_lite.direct.training import DirectConfig, LayerwiseInverse, inverse_of, invert_layers

SHAPE, K = (3, 16, 16), 3
QUICK = DirectConfig(steps=2, joint=2, batch_size=4, width=4)
pytestmark = pytest.mark.filterwarnings("ignore:The stage .* brought nothing")


def train(model, config=QUICK, image_shape=SHAPE, **settings):
    return invert_layers(
        model, config=config, image_shape=image_shape, device="cpu", progress=False, **settings
    )


def images(n=3, shape=SHAPE):
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """Two convolutions, a view, two linear layers."""

    def __init__(self, conv=nn.Conv2d, linear=nn.Linear, norm=nn.BatchNorm2d):
        super().__init__()
        self.conv1, self.norm = conv(3, 4, 3, stride=2, padding=1), norm(4)
        self.conv2 = conv(4, 6, 3, stride=2, padding=1)
        self.fc, self.head = linear(6 * 4 * 4, 8), linear(8, K)

    def forward(self, x):
        h = torch.relu(self.norm(self.conv1(x)))
        h = torch.relu(self.conv2(h))
        return self.head(torch.relu(self.fc(h.view(h.size(0), -1))))


def whole(model, x, image_shape=SHAPE, cut=None):
    """What the chain of a model's blocks makes of images, and how many blocks there are."""
    blocks = split(model, image_shape, cut)
    with torch.no_grad():
        for block in blocks:
            x = block(x)
            assert tuple(x.shape[1:]) == block.shape
    return x, blocks


def works(model, image_shape=SHAPE, **settings):
    """All that is done with an inverse works, at every depth, and leaves the model as it was."""
    before = snapshot(model)
    inverse = train(model, image_shape=image_shape, **settings)
    x = images(shape=image_shape)
    for depth, a in enumerate(inverse.representations(x), 1):
        for made in (
            inverse(a, depth),
            inverse.corrected(a, depth, steps=1),
            inverse.refined(a, depth, steps=1),
        ):
            assert made.shape == x.shape and made.dtype == torch.float32
            assert torch.isfinite(made).all() and 0 <= made.min() and made.max() <= 1
    table = inverse.report(n=4)
    assert table[["psnr", "cycle", "agreement"]].notna().all(axis=None)
    assert len(estimate(model, settings.get("cut"), image_shape=image_shape, config=QUICK)) == len(
        inverse.blocks
    ) + (QUICK.joint > 0)
    assert_same(snapshot(model), before)
    return inverse


# ---- the forward pass ---------------------------------------------------------------------------


def test_images_and_representations_are_contiguous_where_a_model_takes_a_view():
    inverse = works(seeded(Net).eval())
    assert [b.name for b in inverse.blocks] == ["conv1", "conv2", "fc"]


class BatchFirst(Net):
    """Asks for the number of images first, as torchvision's ViT and ports of EfficientNet do."""

    def forward(self, x):
        batch, _, side, _ = x.shape
        scale = torch.full((batch, 1, 1, 1), 1.0 / side) * side
        h = torch.relu(self.norm(self.conv1(x))) * scale
        h = torch.relu(self.conv2(h)).reshape(batch, -1)
        return self.head(torch.relu(self.fc(h)).view(batch, 8))


class Asking(Net):
    """Decides by shapes, and has arguments that are not given."""

    def forward(self, x, mask=None, *, deep=True):
        if x.dim() != 4 or x.shape[1] != 3:
            raise ValueError("images, please")
        h = torch.relu(self.norm(self.conv1(x)))
        h = torch.relu(self.conv2(h)) if deep else h
        h = h if mask is None else h * mask
        return self.head(torch.relu(self.fc(torch.flatten(h, 1))))


@pytest.mark.parametrize("kind", [BatchFirst, Asking])
def test_sizes_are_no_branches(kind):
    model = seeded(kind).eval()
    with torch.no_grad():
        for n in (1, 2, 5):
            a, blocks = whole(model, images(n))
            assert torch.allclose(a, nil.metrics.features(model, images(n)), atol=1e-6)
    assert [b.name for b in blocks] == ["conv1", "conv2", "fc"]
    works(model)


class Measuring(Net):
    """Decides by what an image shows, behind a number."""

    def forward(self, x):
        h = torch.relu(self.conv1(x))
        most = h.max().item()
        return self.head(torch.relu(self.fc(torch.relu(self.conv2(h)).flatten(1) * most)))


def test_a_number_of_what_an_image_shows_is_not_taken_for_a_size():
    with pytest.raises(ValueError, match=r"depends on its data \(item .*Give the blocks yourself"):
        split(seeded(Measuring).eval(), SHAPE)


class Shared(nn.Module):
    """Divides by a size, of which a float holds no exact inverse."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 10, 3), nn.Linear(10, K)

    def forward(self, x):
        h = self.conv(x)
        return self.head((h * (1 / h.shape[1])).sum((2, 3)))


def test_a_number_that_is_alike_for_all_images_is_not_rounded():
    model, x = seeded(Shared).eval(), images()
    a, _ = whole(model, x)
    with torch.no_grad():
        assert torch.equal(model.head(a), model(x))


class Doubled(torch.autograd.Function):
    """What cannot be traced, as the memory-saving activations of some ports."""

    @staticmethod
    def forward(ctx, x):
        return 2 * x.clamp_min(0)

    @staticmethod
    def backward(ctx, g):
        return 2 * g


class Activation(nn.Module):
    def forward(self, x):
        return Doubled.apply(x)


class Routed(nn.Module):
    """Goes one of two ways by what it sees, inside a part of a model."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        return self.inner(x) if x.mean() > -1e9 else x


def test_a_part_that_cannot_be_traced_is_one_block():
    first, second = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 5, 3, 2, 1)
    layers = [first, Activation(), Routed(), second, Activation(), nn.Flatten(), nn.Linear(80, K)]
    model = nn.Sequential(*layers).eval()
    a, blocks = whole(model, images())
    assert [(b.name, b.shape) for b in blocks] == [
        ("0", (4, 8, 8)), ("2", (4, 8, 8)), ("3", (5, 4, 4)), ("5", (80,))
    ]  # fmt: skip
    with torch.no_grad():
        assert torch.allclose(model[-1](a), model(images()), atol=1e-6)
    works(model)


class Standardised(nn.Conv2d):
    """A convolution with standardised weights, as of networks with group normalisation."""

    def forward(self, x):
        w = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        if w.norm() > 0:
            w = w / w.norm()
        return self._conv_forward(x, w, self.bias)


class OwnLinear(nn.Linear):
    def forward(self, x):
        return F.linear(x, 2 * self.weight, self.bias) if len(x) else x


@pytest.mark.parametrize("layers", [{"conv": Standardised}, {"linear": OwnLinear}])
def test_subclasses_of_layers_are_layers(layers):
    model = seeded(Net, **layers).eval()
    a, blocks = whole(model, images())
    assert [b.name for b in blocks] == ["conv1", "conv2", "fc"]
    with torch.no_grad():
        assert torch.allclose(model.head(a), model(images()), atol=1e-6)


class Functional(nn.Module):
    """Its own kind of layers."""

    def __init__(self):
        super().__init__()
        self.w, self.v = (nn.Parameter(0.2 * torch.randn(*s)) for s in ((4, 3, 3, 3), (K, 4 * 64)))

    def forward(self, x):
        h = F.max_pool2d(torch.relu(F.conv2d(x, self.w, padding=1)), 2)
        return F.linear(h.flatten(1), self.v)


def test_functions_are_layers():
    model = seeded(Functional)
    a, blocks = whole(model, images())
    assert [b.shape for b in blocks] == [(4, 16, 16), (4, 8, 8), (256,)]
    with torch.no_grad():
        assert torch.allclose(F.linear(a, model.v), model(images()), atol=1e-6)


class Squeezed(nn.Module):
    """Ends in a convolution and a pooling, as SqueezeNet does."""

    def __init__(self, last):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Conv2d(4, 5, 3, padding=1)
        )
        self.last = last

    def forward(self, x):
        return self.last(torch.relu(self.body(x))).flatten(1)


def test_without_a_linear_layer_it_is_cut_before_the_last_convolution_or_pooling():
    conv = nn.Sequential(nn.Dropout(), nn.Conv2d(5, K, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
    inverse = works(seeded(Squeezed, conv).eval())
    assert [b.shape for b in inverse.blocks] == [(4, 8, 8), (5, 8, 8)]
    pooled = nn.Sequential(
        nn.Conv2d(3, K, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    assert [b.shape for b in split(pooled, SHAPE)] == [(K, 8, 8)]
    squeezenet = seeded(torchvision.models.squeezenet1_1, weights=None).eval()
    assert split(squeezenet, (3, 64, 64))[-1].shape == (512, 3, 3)
    with pytest.raises(ValueError, match="no linear layer, convolution or pooling .*name a cut"):
        split(nn.Sequential(nn.Flatten(), nn.Softmax(1)), SHAPE)


def test_a_linear_layer_inside_a_branch_is_not_the_last():
    """Squeeze and excitation with linear layers, in a network whose head is a convolution."""

    class Excited(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.gate, self.head = (
                nn.Conv2d(3, 4, 3),
                nn.Linear(4, 4),
                nn.Conv2d(4, K, 1),
            )

        def forward(self, x):
            h = torch.relu(self.conv(x))
            h = h * self.gate(h.mean((2, 3)))[:, :, None, None]
            return self.head(h).mean((2, 3))

    blocks = split(seeded(Excited), SHAPE)
    assert [b.shape for b in blocks] == 2 * [(4, 14, 14)], "the gate is a block of its own"


# ---- tokens -------------------------------------------------------------------------------------


def vit():
    return torchvision.models.VisionTransformer(
        image_size=32,
        patch_size=8,
        num_layers=2,
        num_heads=2,
        hidden_dim=16,
        mlp_dim=32,
        num_classes=K,
    )


VITS = {
    "torchvision": (vit, "encoder.layers.encoder_layer_{}", (17, 16)),
    "nil": (lambda: nil.ViT(LARGER, K, patch=8, dim=16, heads=2), "encoder.layers.{}", (16, 16)),
}
LARGER = (3, 32, 32)


@pytest.mark.parametrize("name", VITS)
def test_tokens_are_representations(name):
    build, cut, tokens = VITS[name]
    model, x = seeded(build).eval(), images(shape=LARGER)
    a, blocks = whole(model, x, LARGER)
    assert torch.allclose(a, nil.metrics.features(model, x), atol=1e-5)
    assert blocks[0].shape == tokens and len(blocks) >= 3
    for layer in range(2):
        assert split(model, LARGER, cut.format(layer))[-1].shape == tokens
    works(model, LARGER)


@pytest.mark.slow
@pytest.mark.parametrize("name", VITS)
def test_images_come_back_from_tokens(name):
    build, cut, _ = VITS[name]
    config = DirectConfig(steps=40, joint=0, batch_size=8, width=16, keep_best=False, answer=0.0)
    inverses = (
        train(seeded(build).eval(), replace(config, steps=n), LARGER, cut=cut.format(0))
        for n in (1, 40)
    )
    before, after = (inverse.report(n=32)["psnr"] for inverse in inverses)
    assert (after > before + 2).all()


@pytest.mark.parametrize(
    "after, before",
    [
        ((17, 8), (3, 32, 32)),
        ((16, 8), (3, 32, 16)),
        ((5, 8), (5, 8)),
        ((9, 8), (5, 6)),
        ((8,), (17, 6)),
        ((17, 6), (8,)),
        ((7, 6), (3, 11, 11)),
        ((4, 6, 6), (9, 5)),
        ((16, 192), (3, 32, 32)),
    ],
)
def test_an_inverse_between_tokens_and_others(after, before):
    inverse = inverse_of(after, before, 8)
    assert tuple(inverse(torch.rand(2, *after)).shape[1:]) == before
    assert len(list(inverse.parameters())) >= 4, "patches of as many pixels are no rearrangement"


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.head = nn.LSTM(48, 8, batch_first=True), nn.Linear(8, K)

    def forward(self, x):
        h, _ = self.rnn(x.transpose(1, 2).flatten(2))
        return self.head(h[:, -1])


def test_what_cannot_be_a_cut_is_told_in_a_sentence():
    model = seeded(Recurrent)
    with pytest.raises(ValueError, match=r"At the output of 'rnn' there is no tensor \(B,D\)"):
        split(model, SHAPE, "rnn")
    assert split(model, SHAPE)[-1].shape == (8,)


# ---- what it answers ----------------------------------------------------------------------------


class Wrapped(Net):
    def __init__(self, form):
        super().__init__()
        self.form = form

    def forward(self, x):
        return self.form(super().forward(x))


class HuggingFace(OrderedDict):
    """An output as transformers gives it: a dict with attributes."""

    def __init__(self, logits):
        super().__init__(logits=logits)
        self.logits = logits


@pytest.mark.parametrize(
    "form, words",
    [
        (lambda y: (y, y), r"returned tuple.*return outputs\[0\]"),
        (lambda y: {"logits": y}, r'returned dict.*outputs\["logits"\]'),
        (HuggingFace, "returned HuggingFace"),
        (lambda y: y[:, :1], "one logit"),
        (lambda y: y[:, 0], "one logit"),
        (lambda y: y * torch.nan, "not finite"),
    ],
    ids=["tuple", "dict", "HuggingFace", "one", "flat", "nan"],
)
def test_answers_that_are_no_logits_are_explained_before_the_training(form, words, monkeypatch):
    monkeypatch.setattr(Training, "advance", lambda self: pytest.fail("it trains"))
    model = seeded(Wrapped, form).eval()
    for call in (
        lambda: train(model),
        lambda: train(model, cut=[model.conv1]),
        lambda: estimate(model, image_shape=SHAPE),
    ):
        with pytest.raises(ValueError, match=words):
            call()


def test_a_stage_without_a_loss_is_refused():
    G = seeded(lambda: nil.models.DCGAN(latent_dim=6, widths=(8, 6, 4)).generator).eval()
    config = replace(QUICK, block=0.0, image=0.0, cycle=0.0)
    with pytest.raises(ValueError, match="'block 1' has no loss .* block, image, cycle above zero"):
        train(G, config, G.image_shape, input_range=G.input_range)
    alone = replace(QUICK, image=0.0, cycle=0.0, answer=0.0)
    with pytest.raises(ValueError, match="'joint' has no loss .* image, cycle above zero"):
        train(seeded(Net), alone)


def test_a_generator_gives_no_class_to_agree_on():
    G = seeded(lambda: nil.models.DCGAN(latent_dim=6, widths=(8, 6, 4)).generator).eval()
    config = replace(QUICK, answer=0.1)
    inverse = train(G, config, G.image_shape, input_range=G.input_range)
    assert "answer" not in inverse.history["joint"][0]
    assert inverse.report(n=4)["agreement"].isna().all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_a_model_of_any_precision(dtype, tmp_path):
    model = seeded(Net).eval().to(dtype)
    inverse = works(model, config=replace(QUICK, answer=0.1))
    assert all(a.dtype == dtype for a in inverse.representations(images()))
    assert all(p.dtype == torch.float32 for p in inverse.parameters())
    again = LayerwiseInverse.load(inverse.save(tmp_path / "i.safetensors"), model, device="cpu")
    a = inverse.representations(images())[-1]
    with torch.no_grad():
        assert torch.equal(inverse(a), again(a))


def test_where_double_is_the_default():
    torch.set_default_dtype(torch.float64)
    try:
        inverse = works(seeded(Net).eval())
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(p.dtype == torch.float32 for p in inverse.parameters())


# ---- what it is wrapped in, and where it is called ----------------------------------------------


@pytest.mark.parametrize(
    "wrap",
    [nn.DataParallel, lambda m: torch.compile(m, backend="eager")],
    ids=["DataParallel", "compile"],
)
def test_a_wrapped_model_is_unwrapped(wrap, tmp_path):
    model = seeded(Net).eval()
    model.image_shape = SHAPE
    wrapped = wrap(model)
    inverse = invert_layers(wrapped, config=QUICK, device="cpu", progress=False)
    assert inverse.model is model
    path = inverse.save(tmp_path / "i.safetensors")
    assert LayerwiseInverse.load(path, wrapped, device="cpu").model is model
    assert len(estimate(wrapped, config=QUICK)) == len(inverse.blocks) + 1


@pytest.mark.parametrize("where", [torch.no_grad, torch.inference_mode])
def test_where_gradients_are_switched_off(where, tmp_path):
    model = seeded(Net).eval()
    whole = train(model)
    with where():
        inverse = works(model)
        again = LayerwiseInverse.load(inverse.save(tmp_path / "i.safetensors"), model, device="cpu")
        assert not torch.is_grad_enabled()
    assert_same(inverse.inverses.state_dict(), whole.inverses.state_dict())
    assert_same(again.inverses.state_dict(), whole.inverses.state_dict())
    assert not any(p.is_inference() for p in (*inverse.parameters(), *again.parameters()))


def test_a_model_that_no_gradient_can_pass_is_refused():
    with torch.inference_mode():
        model = Net()
    with pytest.raises(ValueError, match=r"made inside torch.inference_mode\(\)"):
        train(model)


def test_a_softmax_at_the_end_is_warned_of():
    with pytest.warns(UserWarning, match="outputs are probabilities"):
        train(seeded(Wrapped, lambda y: y.softmax(1)).eval())


def test_a_model_back_in_training_still_shows_what_it_answers():
    model = seeded(Net)
    inverse = train(model, config=replace(QUICK, joint=0))
    model.train()
    before, x = snapshot(model), images()
    seen = inverse.representations(x)
    assert_same(snapshot(model), before)
    model.eval()
    with torch.no_grad():
        assert torch.equal(model.head(seen[-1]), model(x))


def test_blocks_by_hand_that_are_no_part_of_the_model_come_back_as_they_were():
    model = seeded(Net)
    own = nn.Sequential(model.conv1, model.norm, nn.Dropout())
    before = snapshot(own), snapshot(model)
    train(model, cut=[own, model.conv2])
    assert_same((snapshot(own), snapshot(model)), before)


def test_blocks_by_hand_move_with_the_model():
    from netinv_lite.direct.partition import moved

    model = seeded(Net)
    here, own = copy.deepcopy(model), nn.Sequential(nn.ReLU())
    found = moved([model.conv1, own], model, here)
    assert found[0] is here.conv1 and found[1] is not own
    assert moved([model.conv1], model, model) == [model.conv1]


# ---- odd shapes and layers ----------------------------------------------------------------------


class Signal(nn.Module):
    """Reads a line of numbers, as an image of one row, or by layers along a line."""

    def __init__(self, along):
        super().__init__()
        self.along = along
        conv, pool = (nn.Conv1d, nn.AvgPool1d) if along else (nn.Conv2d, nn.AvgPool2d)
        self.a = conv(1, 4, *((5, 2, 2) if along else ((1, 5), (1, 2), (0, 2))))
        self.pool = pool(2 if along else (1, 2))
        self.b = conv(4, 6, *((3, 1, 1) if along else ((1, 3), 1, (0, 1))))
        self.head = nn.Linear(6 * 32, K)

    def forward(self, x):
        h = x.squeeze(2) if self.along else x
        h = torch.relu(self.b(self.pool(torch.relu(self.a(h)))))
        return self.head(h.flatten(1))


@pytest.mark.parametrize("along", [False, True])
def test_signals(along):
    shape, config = (
        (1, 1, 128),
        DirectConfig(steps=60, joint=0, batch_size=16, width=8, keep_best=False),
    )
    model = seeded(Signal, along).eval()
    inverse = works(model, shape)
    assert inverse.blocks[0].shape == ((4, 64) if along else (4, 1, 64))
    assert inverse.report(n=4)["ssim"].isna().all(), "it needs a window of 11 by 11 pixels"
    before, after = (
        train(model, replace(config, steps=n), shape, cut="a").report(n=32)["psnr"] for n in (1, 60)
    )
    assert after[0] > before[0] + 3


def test_batch_normalisation_without_statistics():
    works(seeded(Net, norm=lambda c: nn.BatchNorm2d(c, track_running_stats=False)).eval())


def test_a_layer_of_as_many_numbers_is_no_rearrangement():
    model = seeded(
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(48, 48), nn.Tanh(), nn.Linear(48, K))
    )
    inverse = train(model, image_shape=(3, 4, 4))
    assert [b.reshapes for b in inverse.blocks] == [False] and list(inverse.parameters())
    flat = nn.Sequential(nn.Flatten(), nn.Linear(48, K))
    assert split(flat, (3, 4, 4))[0].reshapes


# ---- files --------------------------------------------------------------------------------------


class Counting(Net):
    """Keeps what is no tensor, and counts how often it is asked."""

    def __init__(self):
        super().__init__()
        self.register_buffer("asked", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        self.asked += 1
        return super().forward(x)

    def get_extra_state(self):
        return {"version": 3}

    def set_extra_state(self, state):
        assert state == {"version": 3}


def stopped(model, file, at, **settings):
    """A run that is stopped before step number `at`, its state saved."""
    taken, advance = [], Training.advance

    def stopping(self):
        if len(taken) == at:
            self._save()
            raise KeyboardInterrupt
        taken.append(1)
        advance(self)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Training, "advance", stopping)
        train(model, checkpoint=file, **settings)


@pytest.mark.parametrize("kind", [Net, Counting])
def test_it_is_stopped_goes_on_is_saved_and_loaded(kind, tmp_path):
    model, file = seeded(kind).eval(), tmp_path / "state.safetensors"
    whole = train(model)
    for at in (1, 7):
        stopped(model, file, at)
        resumed = train(model, checkpoint=file)
        assert_same(resumed.inverses.state_dict(), whole.inverses.state_dict())
        assert (resumed.history, resumed.held_out) == (whole.history, whole.held_out)
        file.unlink()
    again = LayerwiseInverse.load(resumed.save(tmp_path / "i.safetensors"), model, device="cpu")
    assert_same(again.inverses.state_dict(), whole.inverses.state_dict())
    if kind is Counting:
        assert model.asked == 0


def test_moments_that_are_read_lie_in_memory_as_their_parameters_do(tmp_path, monkeypatch):
    model, file = seeded(Net).eval(), tmp_path / "state.safetensors"
    stopped(model, file, 7)
    moments, advance = [], Training.advance

    def goes_on(self):
        moments.extend((p, t) for p, s in self.adam.state.items() for t in s.values() if t.ndim)
        advance(self)

    monkeypatch.setattr(Training, "advance", goes_on)
    train(model, checkpoint=file)
    assert moments and all(t.stride() == p.stride() for p, t in moments)


# ---- a stage is never worse than it began -------------------------------------------------------


def losses_by_depth(inverse, stage, look):
    return torch.tensor(inverse.held_out[stage][look]["losses"])


@pytest.mark.slow
def test_a_stage_ends_no_worse_than_it_began_at_any_depth():
    model = seeded(Net).eval()
    config = DirectConfig(steps=30, joint=0, batch_size=8, width=8)
    alone = train(model, config)
    for lr in (5e-4, 0.3):
        both = train(model, replace(config, joint=20, joint_lr=lr))
        rows = both.held_out["joint"]
        assert len(rows) == 1 + 10 and len(rows[0]["losses"]) == len(both.blocks)
        with torch.no_grad():
            for depth in range(1, 4):
                x = nil.direct.synthetic.source(config.source, SHAPE, (0, 1))
                torch.manual_seed(5)
                x = x(64)
                a = both.representations(x, depth)[-1]
                far = [(one(a, depth) - x).abs().mean() for one in (alone, both)]
                assert far[1] < 1.05 * far[0]
    wild = train(model, replace(config, joint=20, joint_lr=0.3, keep_best=False))
    assert wild.report()["psnr"].min() < both.report()["psnr"].min() - 2, "or it tests nothing"


def test_a_stage_that_brings_nothing_says_so():
    model = seeded(Net).eval()
    config = DirectConfig(steps=20, joint=2, joint_lr=50.0, batch_size=8, width=4)
    with pytest.warns(
        UserWarning, match="'joint' brought nothing.*lower joint_lr than 50 may help"
    ):
        train(model, config)


@pytest.mark.filterwarnings("error:The stage .* brought nothing")
@pytest.mark.parametrize("steps", [10, 32])
def test_the_defaults_learn_in_every_stage_however_short(steps):
    model = seeded(Net).eval()
    config = replace(DirectConfig(), steps=steps, joint=steps, batch_size=16)
    inverse = train(model, config)
    for stage, looks in inverse.held_out.items():
        first, best = looks[0]["losses"], min(max(look["losses"]) for look in looks)
        assert best < max(first), stage
    joint = inverse.held_out["joint"]
    kept = [look for look in joint if all(map(float.__le__, look["losses"], joint[0]["losses"]))]
    assert len(kept) > 1, "a state that is better at every depth"


def test_a_rate_that_is_too_high_is_lowered_and_what_is_not_finite_is_gone_back_from():
    model, kept = seeded(Net).eval(), []
    go_back = stages.Best.go_back
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages.Best, "go_back", lambda self: kept.append(self) or go_back(self))
        train(model, DirectConfig(steps=10, joint=20, joint_lr=0.2, batch_size=8, width=8))
    assert kept and kept[-1].rate == 0.5 ** len(kept)
    with pytest.raises(FloatingPointError, match="not finite at step"):
        train(model, replace(QUICK, steps=40, lr=1e30, keep_best=False))
