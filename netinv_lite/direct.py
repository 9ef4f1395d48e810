"""Direct inversion: one forward pass from a representation back to the image, learned dataless."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm.auto import tqdm

from .blocks import Block, chain, split
from .data import check_finite, check_whole
from .inversion import seeded
from .probe import device_of, frozen, on_device, random_state, set_random_state, signature
from .synthetic import Source, of, source
from .weights import fingerprint, read_tensors, write_tensors
from .weights import split as part


@dataclass(frozen=True)
class DirectConfig:
    """How the inverses of the blocks are built and trained.

    Each block's inverse is trained for `steps`, with the weights `block` (the representation
    before it), `image` (the image that the inverses so far arrive at) and `cycle` (what the model
    makes of that image, at every block), and then all together for `joint` steps with the last
    two, from the last depth and a random one in turn. `width` is that of an inverse's hidden
    channels, `source` one of `synthetic.KINDS` or "mixed", to learn on where no data are given.
    """

    steps: int = 300
    joint: int = 300
    batch_size: int = 64
    lr: float = 2e-3
    width: int = 64
    block: float = 1.0
    image: float = 1.0
    cycle: float = 1.0
    source: str = "mixed"

    def __post_init__(self):
        check_whole(self, steps=1, joint=0, batch_size=2, width=1)
        check_finite(self, "block", "image", "cycle")
        if not 0 < self.lr < math.inf or not (self.block or self.image or self.cycle):
            raise ValueError(f"lr={self.lr} must be positive, and one of block, image and cycle.")


class LayerwiseInverse(nn.Module):
    """g_1∘…∘g_K, one small network for each block of a model; `report`, `save`, `load`.

    A representation a_K (B, …) -> images (B,C,H,W) in the model's input range, in one pass.
    `history` holds each stage's losses.
    """

    def __init__(self, model: nn.Module, blocks: list[Block], image_shape, input_range,
                 config: DirectConfig, seed: int):  # fmt: skip
        super().__init__()
        # Not registered: the model is the user's, and no part of what is trained and saved.
        self.__dict__.update(model=model, blocks=blocks)
        self.image_shape, self.input_range = tuple(image_shape), tuple(map(float, input_range))
        self.config, self.seed = config, seed
        shapes = [self.image_shape, *(block.shape for block in blocks)]
        pairs = list(zip(shapes[1:], shapes, strict=False))
        self.inverses = nn.ModuleList(inverse_of(a, b, config.width) for a, b in pairs)
        self.history: dict[str, list[dict[str, float]]] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        """That of one representation."""
        return self.blocks[-1].shape

    def forward(self, representation: Tensor, depth: int | None = None) -> Tensor:
        """Images of the representations after block `depth` (default: the last)."""
        a, k = representation, len(self.blocks) if depth is None else depth
        expected = self.blocks[k - 1].shape
        if tuple(a.shape[1:]) != expected:
            wanted = ", ".join(map(str, ("B", *expected)))
            raise ValueError(f"Representations of shape ({wanted}) are expected after "
                             f"{self.blocks[k - 1].name!r}, not {tuple(a.shape)}.")  # fmt: skip
        if not torch.isfinite(a).all():
            raise ValueError("The representation holds NaN or infinity.")
        for inverse in self.inverses[:k][::-1]:
            a = inverse(a)
        low, high = self.input_range
        return low + (high - low) / 2 * (1 + torch.tanh(a))

    def representations(self, images: Tensor) -> list[Tensor]:
        """a_1 … a_K of images (B,C,H,W)."""
        found = []
        for block in self.blocks:
            images = block(images)
            found.append(images)
        return found

    def report(self, images: Tensor | None = None, *, n: int = 256):
        """How well images come back from each depth, as a DataFrame with a row a block.

        psnr in dB and ssim of x̂ and x, cycle ‖f(x̂) − a‖/‖a‖ at that depth, and agreement, the
        share of x̂ to which the model gives the class that it gives x. images: (N,C,H,W), or None
        for `n` synthesized ones.
        """
        import pandas as pd

        if images is None:
            with seeded(self.seed + 1, device_of(self.model)):
                images = source(self.config.source, self.image_shape, self.input_range)(n)
        rows = []
        with frozen(self.model), frozen(self), torch.no_grad():
            for k in range(1, len(self.blocks) + 1):
                sums = [_compared(self, x.to(device_of(self.model)), k) for x in images.split(256)]
                mean = torch.tensor(sums).T @ torch.tensor(
                    [float(len(x)) for x in images.split(256)]
                )
                rows.append({"depth": k, "block": self.blocks[k - 1].name,
                             **dict(zip(("psnr", "ssim", "cycle", "agreement"),
                                        (mean / len(images)).tolist(), strict=True))})  # fmt: skip
        return pd.DataFrame(rows)

    def save(self, path: str | Path) -> Path:
        """Write the inverses and their settings as safetensors, atomically."""
        tensors, about = self.packed()
        return write_tensors(path, tensors, direct=about)

    def packed(self) -> tuple[dict[str, Tensor], dict]:
        """What `save` writes: tensors, and a description that JSON can hold."""
        tensors = {f"inverses.{k}": v for k, v in self.inverses.state_dict().items()}
        return tensors, {
            "image_shape": list(self.image_shape), "input_range": list(self.input_range),
            "blocks": [block.name for block in self.blocks], "config": asdict(self.config),
            "seed": self.seed, "model": fingerprint(self.model.state_dict()),
            "history": self.history,
        }  # fmt: skip

    @classmethod
    def load(cls, path: str | Path, model: nn.Module, *, blocks: Sequence[nn.Module] | None = None,
             device="auto") -> LayerwiseInverse:  # fmt: skip
        """The inverse saved at `path`, for the same model; `blocks` where they were given by hand.

        Raises ValueError where the file is damaged or belongs to another model.
        """
        tensors, meta = read_tensors(path)
        about = meta.get("direct")
        if about is None:
            raise ValueError(f"{path} holds tensors, but no saved direct inverse.")
        if about["model"] != fingerprint(model.state_dict()):
            raise ValueError(f"{path} inverts another model than this {type(model).__name__}.")
        model = on_device(model, device)
        cut = blocks if blocks is not None else about["blocks"][-1]
        found = _found(model, cut, about["image_shape"])
        inverse = cls(model, found, about["image_shape"], about["input_range"],
                      DirectConfig(**about["config"]), about["seed"])  # fmt: skip
        inverse.inverses.load_state_dict(part(tensors, "inverses"))
        inverse.history = about["history"]
        return inverse.to(device_of(model)).eval()


def inverse_of(after: tuple[int, ...], before: tuple[int, ...], width: int) -> nn.Module:
    """A small network from a block's output, one of shape `after`, to its input, `before`.

    Where the block only flattened, the exact inverse; else linear layers to and between vectors,
    and convolutions, at the larger of the two sizes, between images.
    """
    if math.prod(after) == math.prod(before) and len(after) != len(before):
        return nn.Unflatten(1, before)
    if len(after) == 1 or after[1:] == (1, 1):
        hidden = min(4 * width, 512)
        layers = [nn.Flatten(), nn.Linear(math.prod(after), hidden), nn.LeakyReLU(0.2)]
        layers += [nn.Linear(hidden, math.prod(before)), nn.Unflatten(1, before)]
        if len(before) == 3 and before[1] > 1:  # one look at the neighbours
            layers += [_Residual(before[0], width)]
        return nn.Sequential(*layers)
    size = max(after[1:], before[1:])
    return nn.Sequential(
        *_convolution(after[0], width),
        nn.Upsample(size) if size != after[1:] else nn.Identity(),
        *_convolution(width, width),
        *_convolution(width, width),
        nn.Conv2d(width, before[0], 3, padding=1),
        nn.AdaptiveAvgPool2d(before[1:]) if size != before[1:] else nn.Identity(),
    )


class _Residual(nn.Module):
    """a + two convolutions of a."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        self.body = nn.Sequential(*_convolution(channels, width),
                                  nn.Conv2d(width, channels, 3, padding=1))  # fmt: skip

    def forward(self, a: Tensor) -> Tensor:
        return a + self.body(a)


def _convolution(channels: int, width: int) -> list[nn.Module]:
    return [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width),
            nn.LeakyReLU(0.2)]  # fmt: skip


def invert_layers(
    model: nn.Module, cut: str | Sequence[nn.Module] | None = None, *, image_shape=None,
    input_range=None, data: Tensor | Source | None = None, config: DirectConfig | None = None,
    device: str | torch.device = "auto", seed: int = 0, progress: bool = True,
    checkpoint: str | Path | None = None,
) -> LayerwiseInverse:  # fmt: skip
    """Learn to go back from the representation after `cut` to the image, block by block.

    Block k, from the image on: min over g_k of b‖g_k(a_k) − a_{k−1}‖₁ + i‖x̂ − x‖₁
    + c Σ_{j≤k} ‖f_{1…j}(x̂) − a_j‖₁ with x̂ = g_1∘…∘g_k(a_k), each norm a mean in units of what it
    is compared with; then all g together, with the last two terms.

    cut: the name of a module, or the blocks themselves in order, or None for the input of the last
        linear layer.
    data: None for synthesized images only (see `DirectConfig.source`), images (N,C,H,W), or a
        function n -> (n,C,H,W).
    checkpoint: a file that keeps the state, every 50 steps; a stopped run goes on from it.

    The model comes back bit-identical, in its mode. Raises ValueError for a model, a cut or data
    that do not fit, FloatingPointError for a loss that is not finite.
    Source: Dong et al. 2021, Deep Neural Networks are Surprisingly Reversible.
    """
    config = config or DirectConfig()
    shape, span = signature(model, image_shape, input_range)
    model = on_device(model, device)
    blocks = _found(model, cut, shape)
    draw = source(config.source, shape, span) if data is None else data
    draw = of(draw) if isinstance(draw, Tensor) else draw
    with seeded(seed, device), frozen(model):
        inverse = LayerwiseInverse(model, blocks, shape, span, config, seed).to(device_of(model))
        _Run(inverse, draw, checkpoint).train(progress)
    return inverse.eval()


def _found(model: nn.Module, cut, image_shape) -> list[Block]:
    if cut is None or isinstance(cut, str):
        return split(model, image_shape, cut)
    return chain(list(cut), model, image_shape)


class _Run:
    """The training of all stages: what a checkpoint holds."""

    def __init__(self, inverse: LayerwiseInverse, draw: Source, checkpoint):
        self.inverse, self.draw, self.config = inverse, draw, inverse.config
        self.checkpoint = Path(checkpoint) if checkpoint else None
        K, config = len(inverse.blocks), inverse.config
        self.stages = [(f"block {k}", k, config.steps) for k in range(1, K + 1)]
        self.stages += [("joint", K, config.joint)] * (config.joint > 0 and K > 1)
        self.stage = self.step = 0
        self._begin()

    def _begin(self) -> None:
        """The optimiser of the stage: of its own inverse, or of all."""
        name, k, _ = self.stages[self.stage]
        chosen = self.inverse.inverses if name == "joint" else self.inverse.inverses[k - 1]
        self.weights = list(chosen.parameters())
        self.adam = torch.optim.Adam(self.weights, self.config.lr) if self.weights else None

    def train(self, progress: bool) -> None:
        if self.checkpoint and self.checkpoint.exists():
            self._restore()
        total, done = sum(s for *_, s in self.stages), sum(s for *_, s in self.stages[: self.stage])
        bar = tqdm(total=total, initial=done + self.step, disable=not progress, unit="step",
                   mininterval=0.5)  # fmt: skip
        with bar:
            while self.stage < len(self.stages):
                name, k, steps = self.stages[self.stage]
                bar.set_description(name, refresh=False)
                while self.adam and self.step < steps:
                    self._advance(name, k, steps)
                    bar.update()
                    if self.checkpoint and self.step % 50 == 0:
                        self._save()
                self.stage, self.step = self.stage + 1, 0
                if self.stage < len(self.stages):
                    self._begin()
        if self.checkpoint:
            self._save()

    def _advance(self, name: str, k: int, steps: int) -> None:
        inverse, config = self.inverse, self.config
        inverse.eval()  # what is not trained now keeps its statistics
        (inverse.inverses if name == "joint" else inverse.inverses[k - 1]).train()
        for group in self.adam.param_groups:
            group["lr"] = config.lr * 0.5 * (1 + math.cos(math.pi * self.step / steps))
        x = self.draw(config.batch_size).to(device_of(inverse.model))
        if name == "joint" and self.step % 2:  # every other step: what comes before must hold, too
            k = int(torch.randint(1, k + 1, ()))
        with torch.no_grad():
            a = inverse.representations(x)[:k]
        losses = _losses(inverse, x, a, config if name != "joint" else None)
        total = sum(getattr(config, term) * value for term, value in losses.items())
        if not torch.isfinite(total):
            raise FloatingPointError(f"The loss of {name} is not finite at step {self.step}: lower "
                                     f"lr={config.lr}.")  # fmt: skip
        self.adam.zero_grad(set_to_none=True)
        total.backward(inputs=self.weights)
        self.adam.step()
        self.step += 1
        row = {term: value.item() for term, value in losses.items()}
        inverse.history.setdefault(name, []).append(row)

    def _save(self) -> None:
        tensors, about = self.inverse.packed()
        if self.stage < len(self.stages) and self.adam:
            for i, p in enumerate(self.weights):
                for key, value in self.adam.state[p].items():
                    tensors[f"adam.{i}.{key}"] = value
        tensors |= random_state(device_of(self.inverse.model))
        write_tensors(self.checkpoint, tensors, direct=about, stage=self.stage, step=self.step)

    def _restore(self) -> None:
        tensors, meta = read_tensors(self.checkpoint)
        (_, mine), theirs = self.inverse.packed(), meta.get("direct", {})
        differ = [key for key in mine if key != "history" and mine[key] != theirs.get(key)]
        if differ or "stage" not in meta:
            raise ValueError(f"{self.checkpoint} belongs to another run (other "
                             f"{', '.join(differ) or 'kind of file'}); remove it or name another "
                             "checkpoint.")  # fmt: skip
        self.inverse.inverses.load_state_dict(part(tensors, "inverses"))
        self.inverse.history, self.stage = theirs["history"], meta["stage"]
        self.step = meta["step"]
        if self.stage < len(self.stages):
            self._begin()
            for i, p in enumerate(self.weights):
                state = part(tensors, f"adam.{i}")
                self.adam.state[p] = {key: t.to(p.device) for key, t in state.items()}
        set_random_state(tensors, device_of(self.inverse.model))


def _losses(inverse: LayerwiseInverse, x: Tensor, a: list[Tensor], config) -> dict[str, Tensor]:
    """The terms of non-zero weight; `config` is None in the joint stage, which has no `block`."""
    k, weights, losses = len(a), config or inverse.config, {}
    if config and config.block:
        before, back = ([x, *a][k - 1], inverse.inverses[k - 1](a[-1]))
        if k == 1:  # the first inverse arrives at the image, through the tanh
            back = inverse(a[0], 1)
        losses["block"] = distance(back, before)
    if weights.image or weights.cycle:
        made = inverse(a[-1], k)
        if weights.image:
            losses["image"] = distance(made, x)
        if weights.cycle:
            cycle, h = [], made
            for block, wanted in zip(inverse.blocks, a, strict=False):
                h = block(h)
                cycle.append(distance(h, wanted))
            losses["cycle"] = torch.stack(cycle).mean()
    return losses


def distance(a: Tensor, b: Tensor) -> Tensor:
    """mean|a − b| in units of the mean deviation of b from its mean."""
    return F.l1_loss(a, b) / (b - b.mean()).abs().mean().clamp_min(1e-6)


def _compared(inverse: LayerwiseInverse, x: Tensor, k: int) -> list[float]:
    from torchmetrics.functional.image import (
        peak_signal_noise_ratio,
        structural_similarity_index_measure,
    )

    a = inverse.representations(x)[k - 1]
    made, (low, high) = inverse(a, k), inverse.input_range
    again = inverse.representations(made)[k - 1]
    same = inverse.model(made).argmax(1) == inverse.model(x).argmax(1)
    psnr = peak_signal_noise_ratio(made, x, data_range=high - low, reduction="elementwise_mean",
                                   dim=(1, 2, 3))  # fmt: skip
    ssim = structural_similarity_index_measure(made, x, data_range=high - low)
    return [psnr.item(), ssim.item(), ((again - a).norm() / a.norm()).item(),
            same.float().mean().item()]  # fmt: skip
