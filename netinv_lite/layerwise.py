"""The inverses of a model's blocks as one network: from a representation to the image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .blocks import Block, chain, split
from .data import check_count, check_finite, check_name, check_positive, check_whole
from .inverses import inverse_of
from .probe import check_images, device_of, frozen, on_device, seeded
from .search import corrected, descended
from .synthetic import source
from .weights import fingerprint, read_tensors, write_tensors
from .weights import split as part


@dataclass(frozen=True)
class DirectConfig:
    """How the inverses of the blocks are built and trained.

    Each block's inverse is trained for `steps`, with the weights `block` (the representation
    before it), `image` (the image that the inverses so far arrive at), `cycle` (what the model
    makes of that image, at every block) and `answer` (its probabilities, in nats), and then all
    together for `joint` steps without the first, from the last depth and (with `every_depth`) a
    random one in turn, at the learning rate `joint_lr`.
    `width` is that of an inverse's hidden channels, `source` one of `synthetic.KINDS` or "mixed",
    to learn on where no data are given. `bfloat16` lets torch train in 16 bits: faster
    where the processor knows them, and slower where it does not.
    """

    steps: int = 300
    joint: int = 300
    batch_size: int = 64
    lr: float = 2e-3
    joint_lr: float = 2e-3
    every_depth: bool = True
    width: int = 64
    block: float = 1.0
    image: float = 1.0
    cycle: float = 1.0
    answer: float = 0.0
    source: str = "mixed"
    bfloat16: bool = False

    def __post_init__(self):
        check_whole(self, steps=1, joint=0, batch_size=2, width=1)
        check_finite(self, "block", "image", "cycle", "answer")
        check_positive(self, "lr", "joint_lr")
        if not (self.block or self.image or self.cycle or self.answer):
            raise ValueError("One of the weights block, image, cycle and answer must be positive.")


class LayerwiseInverse(nn.Module):
    """g_1∘…∘g_K, one small network for each block of a model; `report`, `save`, `load`.

    A representation a_K (B, …) -> images (B,C,H,W) in the model's input range, in one pass.
    `history` holds each stage's losses; cut as in `invert_layers`.
    """

    def __init__(self, model: nn.Module, cut: str | Sequence[nn.Module] | None, image_shape,
                 input_range, config: DirectConfig, seed: int):  # fmt: skip
        super().__init__()
        blocks = blocks_of(model, cut, image_shape)
        # Not registered: the model is the user's, and no part of what is trained and saved.
        self.__dict__.update(model=model, blocks=blocks)
        # No block's name would do for a cut: one may end behind the layer that it is named after.
        self.cut = cut if cut is None or isinstance(cut, str) else [b.name for b in blocks]
        self.image_shape, self.input_range = tuple(image_shape), tuple(map(float, input_range))
        self.config, self.seed = config, seed
        shapes = [self.image_shape, *(block.shape for block in blocks)]
        pairs = list(zip(shapes[1:], shapes, strict=False))
        self.inverses = nn.ModuleList(inverse_of(a, b, config.width) for a, b in pairs)
        self.inverses.to(memory_format=torch.channels_last)  # on a CPU one pass takes half the time
        self.history: dict[str, list[dict[str, float]]] = {}

    @property
    def shape(self) -> tuple[int, ...]:
        """That of one representation."""
        return self.blocks[-1].shape

    def forward(self, representation: Tensor, depth: int | None = None) -> Tensor:
        """Images of the representations after block `depth`, from 1 on (default: the last)."""
        a, K = representation, len(self.blocks)
        k = K if depth is None else depth
        check_count("depth", k, 1, K)
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
        return into_range(low + (high - low) / 2 * (1 + a), low, high)

    def corrected(
        self, representation: Tensor, depth: int | None = None, *, steps: int = 8
    ) -> Tensor:
        """The images of a pass that is told `steps` times what was wrong; (B,C,H,W).

        b ← b + η (a − f(g(b))), from b = a on, and g(b) in the end: what the model makes of the
        image is heard, and what is missing from it asked for. Each step costs one more pass, and a
        forward pass of the first blocks; there is no gradient. Raises ValueError for what a pass
        refuses, and for steps < 1. Source: van Cittert 1931.
        """
        check_count("steps", steps, 1)
        return corrected(self, representation, depth, steps=steps)

    def refined(
        self, representation: Tensor, depth: int | None = None, *, steps: int = 25
    ) -> Tensor:
        """The images that `corrected` makes, then `steps` of a search from there; (B,C,H,W).

        min over x in the input range of ‖f(x) − a‖₁ by Adam, in steps that fade from .01 to 0 (of
        pixels from −1 to 1). Each costs one forward and one backward pass of the first blocks.
        Raises ValueError as `corrected` does. Source: Mahendran & Vedaldi 2015, who begin with
        noise.
        """
        check_count("steps", steps, 1)
        images = self.corrected(representation, depth)
        return descended(self, representation, images, depth, steps=steps, lr=0.01, fading=True)

    def representations(self, images: Tensor, depth: int | None = None) -> list[Tensor]:
        """a_1 … a_K of images (B,C,H,W), or up to block `depth`."""
        found = []
        for block in self.blocks[:depth]:
            images = block(images)
            found.append(images)
        return found

    def report(self, images: Tensor | None = None, *, n: int = 256, way: str = "pass"):
        """How well images come back from each depth, as a DataFrame with a row a block.

        psnr in dB and ssim of x̂ and x, cycle ‖f(x̂) − a‖/‖a‖ at that depth, and agreement, the
        share of x̂ to which the model gives the class that it gives x. images: (N,C,H,W), or None
        for `n` synthesized ones. way: "pass", "corrected" or "refined".
        """
        import pandas as pd

        ways = {"pass": self, "corrected": self.corrected, "refined": self.refined}
        check_name(way, ways, "way")
        if images is None:
            with seeded(self.seed + 1, device_of(self.model)):
                images = source(self.config.source, self.image_shape, self.input_range)(n)
        if not len(check_images(images, self.image_shape, self.input_range)):
            raise ValueError("There are no images to report on.")
        rows, batches = [], images.to(device_of(self.model)).split(256)
        sizes = [len(x) for x in batches]
        with frozen(self.model), frozen(self), torch.no_grad():
            parts = [[compared(self, x, a, ways[way](a, k), k)
                      for k, a in enumerate(self.representations(x), 1)]
                     for x in batches]  # fmt: skip
        for k, block in enumerate(self.blocks):
            here = [part[k] for part in parts]
            means = np.average([list(p.values()) for p in here], axis=0, weights=sizes)
            rows.append({"depth": k + 1, "block": block.name,
                         **dict(zip(here[0], means.tolist(), strict=True))})  # fmt: skip
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
            "cut": self.cut, "config": asdict(self.config), "seed": self.seed,
            "model": fingerprint(self.model.state_dict()), "history": self.history,
        }  # fmt: skip

    @classmethod
    def load(cls, path: str | Path, model: nn.Module, *, blocks: Sequence[nn.Module] | None = None,
             device="auto") -> LayerwiseInverse:  # fmt: skip
        """The inverse saved at `path`, for the same model; `blocks` where they were given by hand.

        Raises ValueError where the file is damaged or belongs to another model, or to blocks given
        by hand, which are not given again.
        """
        tensors, meta = read_tensors(path)
        about = meta.get("direct")
        if about is None or "cut" not in about:
            raise ValueError(f"{path} holds tensors, but no saved direct inverse.")
        if about["model"] != fingerprint(model.state_dict()):
            raise ValueError(f"{path} inverts another model than this {type(model).__name__}.")
        by_hand = isinstance(about["cut"], list)
        if by_hand != (blocks is not None):
            raise ValueError(f"{path} inverts blocks that were given by hand: give them again, as "
                             "blocks=[module, module, …]." if by_hand else
                             f"{path} inverts blocks that are found by themselves: leave blocks "
                             "out.")  # fmt: skip
        model, cut = on_device(model, device), blocks if by_hand else about["cut"]
        inverse = cls(model, cut, about["image_shape"], about["input_range"],
                      DirectConfig(**about["config"]), about["seed"])  # fmt: skip
        if inverse.cut != about["cut"]:
            raise ValueError(f"{path} inverts the blocks {', '.join(about['cut'])}, not "
                             f"{', '.join(inverse.cut)}.")  # fmt: skip
        inverse.inverses.load_state_dict(part(tensors, "inverses"))
        inverse.history = about["history"]
        return inverse.to(device_of(model)).eval()


def into_range(x: Tensor, low: float, high: float) -> Tensor:
    """x cut to [low, high]; outside, of its gradient only what leads back in.

    A saturated tanh has no gradient at all, and one bold step can turn all images black for good;
    with the gradient of what is not cut, x would drift ever farther out.
    """
    return _Cut.apply(x, low, high)


class _Cut(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, low, high):
        ctx.save_for_backward((x > high).to(torch.int8) - (x < low).to(torch.int8))
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx, g):
        (side,) = ctx.saved_tensors  # a step goes against the gradient
        return g * (g * side >= 0), None, None


def blocks_of(model: nn.Module, cut, image_shape) -> list[Block]:
    if cut is None or isinstance(cut, str):
        return split(model, image_shape, cut)
    return chain(list(cut) if isinstance(cut, Iterable) else [cut], model, image_shape)


def compared(
    inverse: LayerwiseInverse, x: Tensor, a: Tensor, made: Tensor, depth: int
) -> dict[str, float]:
    """What `report` says of images `made` from a, the representation of x after block `depth`.

    x, made (B,C,H,W), a (B, …). `made` may come back by any other way; of `inverse` only the
    model, the blocks and the range are used.
    """
    from torchmetrics.functional.image import (
        peak_signal_noise_ratio,
        structural_similarity_index_measure,
    )

    width = inverse.input_range[1] - inverse.input_range[0]
    again = inverse.representations(made, depth)[-1]
    same = inverse.model(made).argmax(1) == inverse.model(x).argmax(1)
    psnr = peak_signal_noise_ratio(made, x, data_range=width, reduction="elementwise_mean",
                                   dim=(1, 2, 3))  # fmt: skip
    ssim = structural_similarity_index_measure(made, x, data_range=width)
    return {"psnr": psnr.item(), "ssim": ssim.item(),
            "cycle": ((again - a).norm() / a.norm()).item(),
            "agreement": same.float().mean().item()}  # fmt: skip
