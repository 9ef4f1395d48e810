"""Networks as users bring them: each works everywhere, or is refused in one clear sentence."""

import copy

import pytest
import torch
from torch import nn

import netinv_lite as nil
from helpers import QUICK, assert_same, seeded, snapshot, tiny_cnn, tiny_mlp

SHAPE, K = (3, 16, 16), 3
TINY = nil.InversionConfig(steps=2, batch_size=4, latent_dim=18, width=4)


class Net(nn.Module):
    """A convolution, a view, a linear layer: every second tutorial."""

    def __init__(self, K=K, shape=SHAPE):
        super().__init__()
        self.conv = nn.Conv2d(shape[0], 4, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4 * (shape[1] // 2) * (shape[2] // 2), K)

    def forward(self, x):
        h = torch.relu(self.norm(self.conv(x)))
        return self.fc(h.view(h.size(0), -1))


class FirstView(nn.Module):
    """An MLP that looks at the images with `view` itself."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3 * 16 * 16, K)

    def forward(self, x):
        return self.fc(x.view(x.size(0), -1))


class Wrapped(nn.Module):
    """Answers in another form than a tensor of logits."""

    def __init__(self, form):
        super().__init__()
        self.net, self.form = Net(), form

    def forward(self, x):
        return self.form(self.net(x))


class HuggingFace(dict):
    """An output as transformers gives it: a dict with attributes."""

    def __init__(self, logits):
        super().__init__(logits=logits)
        self.logits = logits


class Merging(nn.Linear):
    """Low-rank weights that are merged in eval mode and taken out again in training mode."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.a = nn.Parameter(torch.randn(self.out_features, 2))
        self.b = nn.Parameter(torch.randn(2, self.in_features))
        self.merged = False

    def train(self, mode=True):
        super().train(mode)
        if mode == self.merged:
            self.weight.data += (-1 if mode else 1) * (self.a @ self.b).data
            self.merged = not mode
        return self

    def forward(self, x):
        weight = self.weight if self.merged else self.weight + self.a @ self.b
        return nn.functional.linear(x, weight, self.bias)


class Counting(Net):
    """Counts its passes in a buffer, and keeps what is no tensor in its state."""

    def __init__(self):
        super().__init__()
        self.register_buffer("passes", torch.zeros((), dtype=torch.long))

    def forward(self, x):
        self.passes += 1
        return super().forward(x)

    def get_extra_state(self):
        return {"version": 2}

    def set_extra_state(self, state):
        pass


class Standardising(Net):
    """Standardises each image: a constant one gives NaN."""

    def forward(self, x):
        mean, std = x.mean((1, 2, 3), keepdim=True), x.std((1, 2, 3), keepdim=True)
        return super().forward((x - mean) / std)


def build(make, *args):
    return seeded(make, *args).eval()


def methods(model, **about):
    """Every function that trains against, climbs in, or measures a user's network."""
    about = {"image_shape": SHAPE, "device": "cpu", "progress": False, **about}
    low, high = about.get("input_range", (0.0, 1.0))
    shape = about["image_shape"]
    x = low + (high - low) * torch.rand(6, *shape)
    k = torch.arange(6) % 2
    loss = nil.InversionLoss(perturbed_kl=1, gradient=1, batch_norm=0)
    short = nil.reconstruction.StationaryConfig(steps=2)
    climb = nil.baselines.AscentConfig(steps=2)
    descend = nil.baselines.DescentConfig(steps=2, batch_norm=1)
    return {
        "invert": lambda: nil.invert(model, config=TINY, **about).accuracy(8),
        "every loss": lambda: nil.invert(model, config=TINY, loss=loss, **about).sample(2),
        "together": lambda: nil.invert_many(model, [0, 1], together=True, config=TINY, **about),
        "ascent": lambda: nil.baselines.pixel_ascent(model, config=climb, **about).accuracy(4),
        "descent": lambda: nil.baselines.pixel_descent(model, config=descend, **about).accuracy(4),
        "dafl": lambda: nil.baselines.dafl(model, config=TINY, **about).draw(4),
        "stationary": lambda: nil.reconstruction.stationary(model, config=short, **about),
        "accuracy": lambda: nil.metrics.inversion_accuracy(model, x, k),
        "confidence": lambda: nil.metrics.confidence(model, x),
        "features": lambda: nil.metrics.features(model, x),
        "confusion": lambda: nil.metrics.confusion(model, x, k),
        "divergence": lambda: nil.metrics.conditional_kl(model, x, torch.full((6, K), 1 / K)),
    }


ALL = list(methods(nn.Identity()))


def works(model, method, **about):
    """The method gives finite numbers, and the model comes back as it was."""
    before = snapshot_of(model)
    assert_finite(methods(model, **about)[method]())
    assert_same(before, snapshot_of(model))


def snapshot_of(model):
    tensors = {n: t.clone() for n, t in [*model.named_parameters(), *model.named_buffers()]}
    if any("extra_state" in key for key in model.state_dict()):
        return {"tensors": tensors, "modes": [m.training for m in model.modules()]}
    return snapshot(model)


def assert_finite(result):
    for value in result if isinstance(result, (tuple, list)) else [result]:
        if isinstance(value, (float, torch.Tensor)):
            assert torch.isfinite(torch.as_tensor(value)).all()


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("make", [Net, FirstView, Standardising, Counting])
def test_tutorial_networks(make, method):
    model = build(make)
    works(model, method, **{"input_range": (0.1, 1)} if make is Standardising else {})


@pytest.mark.parametrize("method", ALL)
def test_one_channel_and_a_view(method):
    works(build(Net, K, (1, 12, 12)), method, image_shape=(1, 12, 12))


@pytest.mark.parametrize("shape", [SHAPE, (1, 12, 12)])
def test_samples_can_be_viewed(shape):
    about = {"image_shape": shape, "device": "cpu", "progress": False}
    model = build(Net, K, shape)
    inversion = nil.invert(model, config=TINY, **about)
    ascent = nil.baselines.pixel_ascent(model, config=nil.baselines.AscentConfig(steps=1), **about)
    drawn = nil.baselines.dafl(model, config=TINY, **about).draw(6)[0]
    for x in (inversion.sample(2)[0], inversion.images(torch.eye(K)), ascent.sample(2)[0], drawn):
        assert x.stride() == torch.empty(x.shape).stride()
        model(x)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_types(dtype, method):
    if method in ("every loss", "stationary") and dtype in (torch.float16, torch.bfloat16):
        pytest.skip("second derivatives of 16-bit batch normalisation do not exist on a CPU")
    works(build(Net).to(dtype), method)


@pytest.mark.parametrize("method", ["invert", "ascent", "accuracy"])
def test_a_default_type_of_double(method):
    torch.set_default_dtype(torch.float64)
    try:
        works(build(Net), method)
        soft = nil.SoftTargets(K, torch.tensor([[0.5, 0.5, 0.0]]))
        inversion = nil.invert(
            build(Net),
            image_shape=SHAPE,
            conditioning=soft,
            config=TINY,
            device="cpu",
            progress=False,
        )
        assert len(inversion.sample(2)[0]) == 2
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("method", ALL)
def test_layers_that_do_more_in_train_than_set_a_flag(method):
    model = build(Net)
    model.fc = seeded(Merging, model.fc.in_features, K)
    model.train()
    works(model, method)
    assert model.training and not model.fc.merged
    model(torch.rand(2, *SHAPE)).sum().backward()
    assert model.fc.a.grad.norm() > 0


@pytest.mark.parametrize("method", ALL)
def test_one_logit_is_refused_everywhere(method):
    with pytest.raises(ValueError, match=r"one logit; two classes are the least.*torch\.cat"):
        methods(build(Net, 1))[method]()


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize(
    "form, said",
    [
        (lambda out: (out, out), r"returned tuple\. .* return outputs\[0\]"),
        (lambda out: {"logits": out}, r'returned dict\. .* return outputs\["logits"\]'),
        (HuggingFace, r"returned HuggingFace\. .*logits"),
        (lambda out: out[:, :, None], r"for \d images it returned \(\d, 3, 1\)"),
    ],
)
def test_other_forms_of_output_are_explained(form, said, method):
    with pytest.raises(ValueError, match=said):
        methods(build(Wrapped, form))[method]()


@pytest.mark.parametrize("method", ALL)
def test_compiled_networks_and_wrappers_are_unwrapped(method):
    compiled = torch.compile(build(Net), backend="eager")
    works(compiled, method)
    works(nn.DataParallel(build(Net)), method)


def test_a_compiled_network_has_batch_norm_statistics():
    loss = nil.InversionLoss(batch_norm=1)
    compiled = torch.compile(build(Net), backend="eager")
    plain, wrapped = (
        nil.invert(model, image_shape=SHAPE, config=TINY, loss=loss, device="cpu", progress=False)
        for model in (build(Net), compiled)
    )
    assert plain.history["batch_norm"] == wrapped.history["batch_norm"]


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("switched_off", [torch.no_grad, torch.inference_mode])
def test_gradients_that_are_switched_off_by_the_caller(switched_off, method):
    model = build(Net)
    with switched_off():
        works(model, method)


def test_a_network_made_in_inference_mode_is_explained():
    with torch.inference_mode():
        model = build(Net)
    with pytest.raises(ValueError, match="inference_mode"):
        nil.invert(model, image_shape=SHAPE, config=TINY, device="cpu", progress=False)


def test_a_network_that_takes_a_logarithm():
    class Logarithm(Net):
        def forward(self, x):
            return super().forward(torch.log(x))

    works(build(Logarithm), "invert", input_range=(0.1, 1))


@pytest.mark.parametrize("method", ["invert", "ascent", "descent", "stationary"])
def test_a_softmax_at_the_end_is_warned_of(method):
    with pytest.warns(UserWarning, match="probabilities: they add up to 1"):
        methods(build(Wrapped, lambda out: out.softmax(1)))[method]()


def test_log_softmax_is_no_softmax(recwarn):
    methods(build(Wrapped, lambda out: out.log_softmax(1)))["ascent"]()
    assert not [w for w in recwarn if "probabilities" in str(w.message)]


@pytest.mark.parametrize("method", ALL)
def test_batch_norm_without_statistics(method):
    model = build(Net)
    model.norm = nn.BatchNorm2d(4, track_running_stats=False)
    model.eval()
    works(model, method)
    model.norm = nn.BatchNorm2d(4).eval()
    model.norm.running_mean = model.norm.running_var = None
    works(model, method)


@pytest.mark.parametrize("method", ALL)
def test_signals(method):
    model = nn.Sequential(nn.Conv2d(1, 4, (1, 9)), nn.ReLU(), nn.Flatten(), nn.Linear(480, K))
    works(model.eval(), method, image_shape=(1, 1, 128))


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("shape", [(1, 1, 32), (1, 32, 1), (2, 1, 32)])
def test_signals_and_a_view(shape, method):
    class Viewing(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.fc = nn.Conv2d(shape[0], 4, 1), nn.Linear(128, K)

        def forward(self, x):
            return self.fc(torch.relu(self.conv(x)).view(x.size(0), -1))

    works(build(Viewing), method, image_shape=shape)


@pytest.mark.parametrize("method", ["invert", "features", "ascent"])
def test_a_network_without_a_linear_layer(method):
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, K, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ).eval()
    works(model, method)


@pytest.mark.parametrize("what", ["mnist.pt", None, torch.rand(3)])
def test_what_is_no_network_is_named(what):
    about = {"image_shape": SHAPE}
    for call in (
        lambda: nil.invert(what, **about),
        lambda: nil.baselines.pixel_ascent(what, **about),
        lambda: nil.metrics.logits(what, torch.rand(2, *SHAPE)),
        lambda: nil.metrics.features(what, torch.rand(2, *SHAPE)),
    ):
        with pytest.raises(ValueError, match=r"A torch\.nn\.Module is needed, not"):
            call()


def test_a_run_with_counters_resumes(tmp_path):
    model, file = build(Counting), tmp_path / "run.safetensors"
    config = nil.InversionConfig(steps=60, batch_size=4, latent_dim=18, width=4)
    about = {"image_shape": SHAPE, "config": config, "device": "cpu", "progress": False}

    def stop(step, *_):
        if step == 55:
            raise KeyboardInterrupt

    with pytest.raises(nil.Interrupted):
        nil.invert(model, checkpoint=file, on_step=stop, **about)
    resumed = nil.invert(model, checkpoint=file, **about)
    whole = nil.invert(copy.deepcopy(model), **about)
    assert_same(whole.generator.state_dict(), resumed.generator.state_dict())
    assert len(QUICK.__dict__) and model.passes == 0


def test_a_network_that_calls_another_from_outside_is_told_to_hold_it():
    outside = tiny_cnn()

    class Outer(nn.Module):
        image_shape, input_range = outside.image_shape, outside.input_range

        def forward(self, x):
            return outside(x)

    with pytest.raises(ValueError, match=r"self\.network = network"):
        nil.invert(Outer(), config=nil.InversionConfig(steps=2), progress=False)


def test_a_network_that_is_one_linear_layer_is_inverted():
    class Linear(nn.Linear):
        def forward(self, x):
            return super().forward(x.flatten(1))

    inversion = nil.invert(
        seeded(Linear, 64, K), image_shape=(1, 8, 8), config=TINY, progress=False
    )
    assert len(inversion.history["total"]) == TINY.steps


def test_the_preset_that_needs_batch_norm_is_named_with_another():
    with pytest.raises(ValueError, match="preset='readable'"):
        nil.invert(tiny_mlp(), input_range=(-1, 1), preset="typical", progress=False)
