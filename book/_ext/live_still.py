"""The still pictures of live figures: a few images, and what two networks say of each."""

from __future__ import annotations

import base64
import functools
import io
import json
from collections.abc import Sequence
from html import escape

import torch
from matplotlib.image import imsave
from torch import Tensor, nn
from torch.nn import functional as F
from torchmetrics.functional.image import peak_signal_noise_ratio

import netinv_lite as nil
from netinv_lite.generator import deformed

STEPS = (0, 5, 10, 20, 40, 80)
Networks = tuple[nn.Module, nn.Module]  # classifier and judge
LENGTH = 0.5  # of a step, as in the preset "plain" of `pixel_ascent`


def climbed(classifier: nn.Module, k: int) -> list[Tensor]:
    """The images (1,C,H,W) of one ascent from noise to class k, after each of `STEPS`."""
    low, high = classifier.input_range
    random = torch.Generator().manual_seed(1)
    x = low + (high - low) * torch.rand(1, *classifier.image_shape, generator=random)
    seen = [x]
    for _ in range(max(STEPS)):
        x = x.detach().requires_grad_(True)
        (g,) = torch.autograd.grad(nil.losses.log_odds(classifier(x), torch.tensor([k])).sum(), x)
        x = (x + LENGTH * (high - low) / 2 * g / g.norm()).clamp(low, high).detach()
        seen.append(x)
    return [seen[steps] for steps in STEPS]


def picture(x: Tensor, span: tuple[float, float]) -> str:
    """An image (1,C,H,W) as a PNG in the address of an <img>."""
    low, high = span
    pixels = ((x[0] - low) / (high - low)).clamp(0, 1).permute(1, 2, 0)  # (H, W, C)
    buffer = io.BytesIO()
    imsave(buffer, pixels.expand(-1, -1, 3).numpy(), format="png", metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def shown(images: Sequence[Tensor], titles: Sequence[str], k: int, networks: Networks) -> str:
    """Markup of images (1,C,H,W), and the probability of class k by two networks."""
    classifier, other = networks
    items = []
    for title, x in zip(titles, images, strict=True):
        with torch.no_grad():
            mine, read = (f(x).softmax(1)[0] for f in (classifier, other))
        alt = f"The image: {title}. The judge predicts "
        alt = escape(alt + f"{classifier.classes[read.argmax()]}, {read.max():.0%}.")
        lines = (title, f"classifier {mine[k]:.0%}", f"judge {read[k]:.0%}")
        said = "".join(f"<span>{line}</span>" for line in lines)
        items.append(f'<li><img src="{picture(x, classifier.input_range)}" alt="{alt}">{said}</li>')
    return f'<ol class="live-still">{"".join(items)}</ol>'


@functools.cache
def shipped(dataset: str) -> nil.Inversion:
    """The inversion that the figures draw with."""
    folder = nil.models.SHIPPED / "inversions"
    network = json.loads((folder / f"{dataset}.json").read_text(encoding="utf-8"))["network"]
    path = folder / f"{dataset}.safetensors"
    return nil.Inversion.load(path, nil.load_classifier(network), device="cpu")


@functools.cache
def inverse_of(network: str) -> nil.direct.LayerwiseInverse:
    """The direct inverse with which the figure `back` goes back through a shipped classifier."""
    path = nil.models.SHIPPED / "inverses" / f"{network}.safetensors"
    return nil.direct.LayerwiseInverse.load(path, nil.load_classifier(network), device="cpu")


@functools.cache
def real_digits() -> Tensor:
    """A digit of each class (10,1,28,28) from another source, scaled to look as those of MNIST."""
    x, _ = nil.studies.real_images("digits", per_class=1)
    small = F.interpolate(x, size=18, mode="bilinear", antialias=True)
    return F.pad(small, [5] * 4, value=-1)


def climb(k: int, networks: Networks) -> tuple[str, str]:
    """An ascent to class k."""
    titles = [f"{steps} steps" for steps in STEPS]
    said = f"An ascent to class {networks[0].classes[k]}, and its probability by two networks."
    return said, shown(climbed(networks[0], k), titles, k, networks)


def generate(k: int, networks: Networks) -> tuple[str, str]:
    """A walk from class k to the next but four, with one latent."""
    classes, end, parts = networks[0].classes, (k + 5) % 10, torch.linspace(0, 1, 6)
    v = torch.zeros(6, 10)
    v[:, k], v[:, end] = 1 - parts, parts
    z = torch.randn(1, 64, generator=torch.Generator().manual_seed(1))
    x = shipped("mnist").images(v, z.expand(6, -1)).split(1)
    titles = [f"{100 * part:.0f}% {classes[end]}" for part in parts]
    said = f"From class {classes[k]} to class {classes[end]}, whose probability stands below."
    return said, shown(x, titles, end, networks)


def conflict(k: int, networks: Networks) -> tuple[str, str]:
    """The vector of class k, with the matrices of six classes, and one latent."""
    inversion, classes = shipped("mnist-matrix"), networks[0].classes
    named = [(k + i) % len(classes) for i in range(6)]
    v, y = torch.eye(len(classes))[[k] * 6], torch.eye(len(classes))[named]
    z = torch.randn(1, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        x = inversion.generator(z.expand(6, -1), nil.Condition(v, y)).split(1)
    titles = [f"matrix {classes[c]}" for c in named]
    said = f"The vector says {classes[k]}, whose probability stands below; the matrix says others."
    return said, shown(x, titles, k, networks)


def bend(k: int, networks: Networks) -> tuple[str, str]:
    """A real digit of class k, bent more and more."""
    strengths, x = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0), real_digits()[k : k + 1]
    z = torch.randn(1, 18, generator=torch.Generator().manual_seed(1))
    images = [deformed(x, z, strength) for strength in strengths]
    titles = [f"strength {strength:.1f}" for strength in strengths]
    said = f"A real {networks[0].classes[k]}, bent, and the probability of its class."
    return said, shown(images, titles, k, networks)


def back(k: int, networks: Networks) -> tuple[str, str]:
    """A real digit of class k, and what comes back from each depth, corrected."""
    inverse, x = inverse_of("mnist"), real_digits()[k : k + 1]
    with torch.no_grad():
        depths = enumerate(inverse.representations(x), 1)
        made = [inverse.corrected(a, depth) for depth, a in depths]
    low, high = inverse.input_range
    near = [peak_signal_noise_ratio(y, x, data_range=high - low).item() for y in made]
    titles = ["goes in", *(f"depth {j}: {db:.0f} dB" for j, db in enumerate(near, 1))]
    name = networks[0].classes[k]
    said = f"A real {name}, returned from each depth, and the probability of class {name}."
    return said, shown([x, *made], titles, k, networks)


def guess(_: int, networks: Networks) -> tuple[str, str]:
    """Some of the images without a label; what they are stands nowhere on paper."""
    import live_forty  # it reads this file

    alt, span = "An image without a label.", networks[0].input_range
    pictures = [picture(x, span) for x in live_forty.images()[:12]]
    items = [f'<li><img src="{address}" alt="{alt}"></li>' for address in pictures]
    said = "The first twelve of forty images. Which digit does each show, if any?"
    return said, f'<ol class="live-still">{"".join(items)}</ol>'


@functools.cache
def still(kind: str, network: str, judge: str, k: int) -> str:
    """Markup of what stands in place of a figure, with class k and the shipped networks."""
    said, images = KINDS[kind](k, (nil.load_classifier(network), nil.load_judge(judge)))
    return f'<p class="live-still">{escape(said)}</p>{images}'


KINDS = {
    "climb": climb,
    "generate": generate,
    "conflict": conflict,
    "bend": bend,
    "back": back,
    "guess": guess,
}
