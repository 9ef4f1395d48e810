"""Tiny networks, data and settings, with which a test takes a fraction of a second."""

from contextlib import contextmanager

import torch
from torch import nn

import netinv_lite as nil

SHAPE, K = (1, 12, 12), 4
QUICK = nil.InversionConfig(
    steps=5, batch_size=16, lr=5e-3, latent_dim=8, width=8, dropout=0.1, scale=6.0
)
SCHEMES = ("label", "vector", "matrix", "vector-matrix")


def seeded(build, *args, seed=0, **kwargs):
    """`build(...)` under a seed, the global random state left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build(*args, **kwargs)


def tiny_cnn(num_classes=K, shape=SHAPE, seed=0):
    """A CNN with batch normalisation and dropout, in eval mode, all parameters trainable."""
    model = seeded(nil.CNN, shape, num_classes, widths=(8, 16), seed=seed).eval()
    model.input_range = (-1.0, 1.0)
    return model


def tiny_mlp(num_classes=3, shape=(1, 8, 8), seed=0):
    return seeded(nil.MLP, shape, num_classes, widths=(16, 8), seed=seed).eval()


def reader(num_classes=3, sharpness=12.0):
    """Reads the brightest of the first quarters of an 8x8 image: no training needed."""
    corners, weight = [(0, 0), (0, 4), (4, 0), (4, 4)], torch.zeros(num_classes, 1, 8, 8)
    for k, (i, j) in enumerate(corners[:num_classes]):
        weight[k, 0, i : i + 4, j : j + 4] = sharpness / 16
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes, bias=False))
    model[1].weight.data = weight.flatten(1)
    model.image_shape, model.input_range = (1, 8, 8), (-1.0, 1.0)
    return model.eval()


class Own(nn.Module):
    """A reader's own network: nothing but a forward pass, to K=3 logits, from [0, 1]."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2), nn.ReLU(inplace=True))
        self.unused = nn.Linear(2, 2)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


def invert(model=None, config=QUICK, **settings):
    """`nil.invert` on the CPU, quiet, with QUICK settings."""
    model = tiny_cnn() if model is None else model
    return nil.invert(model, config=config, progress=False, device="cpu", **settings)


def quadrants(n=96, seed=0, noise=0.4, name="quadrants"):
    """Images (n,1,8,8) in [-1, 1]: class k of 3 is bright in the k-th quarter."""
    g = torch.Generator().manual_seed(seed)
    x, y = noise * torch.randn(n, 1, 8, 8, generator=g) - 0.5, torch.arange(n) % 3
    for k, corner in enumerate([(0, 0), (0, 4), (4, 0)]):
        x[y == k, :, corner[0] : corner[0] + 4, corner[1] : corner[1] + 4] += 1
    x = x.clamp(-1, 1)
    half = n // 2
    return nil.ImageData(x[:half], y[:half], x[half:], y[half:], name, ("a", "b", "c"))


def snapshot(model):
    """Everything of a module that a visitor might change."""
    return {
        "tensors": {name: t.clone() for name, t in model.state_dict().items()},
        "modes": [m.training for m in model.modules()],
        "flags": [p.requires_grad for p in model.parameters()],
        "grads": [p.grad is None for p in model.parameters()],
        "hooks": [
            (len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks))
            for m in model.modules()
        ],
    }


def assert_same(a, b):
    """Equal to the last bit: tensors, or dicts, lists and plain values of them."""
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_same(a[key], b[key])
    elif isinstance(a, (tuple, list)):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_same(one, other)
    else:
        assert a == b


@contextmanager
def raising(module, error, at):
    """`error` comes out of the forward pass number `at` (from 1) in train-like use of `module`.

    Only passes of more than two images count, so that the checks on blank images do not.
    """
    calls = []

    def hook(_module, inputs):
        calls.extend([1] if len(inputs[0]) > 2 else [])
        if len(calls) == at:
            raise error

    handle = module.register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()
        assert len(calls) == at, "the fault was never reached"
