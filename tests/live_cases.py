"""Networks and images on which a page is compared with torch."""

import base64
import json

import torch
from torch import nn
from torch.nn import functional as F

import netinv_lite as nil
from helpers import seeded
from netinv_lite.live.program import program_of

SHIPPED = ("mnist", "mnist-robust", "mnist-judge", "mnist-referee", "cifar10-resnet20")


def shipped(name):
    """A network of the book by the name of its file."""
    of, _, role = name.partition("-")
    loads = {"judge": nil.load_judge, "referee": nil.load_referee}
    return loads[role](of) if role in loads else nil.load_classifier(name)


class Zoo(nn.Module):
    """One of nearly every layer that a page knows, written in several ways."""

    image_shape, input_range, classes = (3, 11, 13), (0.0, 1.0), ("<b>", "b & c", "</script>", "d")

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1))
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, (3, 2), stride=(2, 1), padding=1, dilation=(1, 2)),
            nn.BatchNorm2d(8),
            nn.LeakyReLU(0.1, inplace=True),
        )
        self.grouped = nn.Conv2d(8, 8, 3, padding="same", groups=4)
        self.norm = nn.BatchNorm2d(8, affine=False)
        self.wide = nn.ConvTranspose2d(8, 12, 3, 2, 1, output_padding=1, groups=2, bias=False)
        self.after = nn.BatchNorm2d(12)
        self.shuffle = nn.Sequential(nn.Conv2d(12, 12, 1), nn.PixelShuffle(2), nn.Dropout2d())
        self.larger = nn.Upsample((9, 17), mode="bilinear", align_corners=True)
        self.hidden = nn.Sequential(nn.Linear(3 * 3 * 2, 6), nn.BatchNorm1d(6), nn.Sigmoid())
        self.head = nn.Linear(6, 4)

    def forward(self, x):
        h = self.stem((x - self.mean) / 0.25)
        h = h + self.grouped(F.max_pool2d(h, 3, 1, 1)) * 0.5
        h = self.norm(torch.relu(h))
        h = torch.tanh(self.after(self.wide(F.avg_pool2d(h, 2, ceil_mode=True))))
        h = self.shuffle(F.interpolate(h, scale_factor=2)) - 0.25
        h = h + (1 - F.avg_pool2d(h, 3, 1, 1))
        h *= 0.5
        h = F.interpolate(self.larger(h), size=(7, 9), mode="bicubic", align_corners=False)
        h = F.interpolate(h, size=(7, 8), mode="bilinear", align_corners=False)
        h = F.adaptive_avg_pool2d(F.hardtanh(h, 0.0, 0.8), (3, 2)).view(x.size(0), -1)
        return self.head(self.hidden(h))


def zoo():
    """A Zoo in eval mode whose batch normalisation has seen something."""
    model, random = seeded(Zoo), torch.Generator().manual_seed(1)
    with torch.no_grad():
        for m in model.modules():
            if isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)) and m.affine:
                m.weight.uniform_(0.5, 2, generator=random)
                m.bias.uniform_(-1, 1, generator=random)
        model.hidden[0].weight.mul_(30)  # for features that differ from image to image
        model.head.weight.mul_(10)  # and logits that do
        for p in model.parameters():
            p.copy_(p.half().float())  # as the page will have them
        for _ in range(40):
            model(images(model, 32))
    return model.eval()


def images(model, n, seed=0):
    """Images (n,C,H,W) over the whole range: in turn digits, where they fit, blotches and noise."""
    low, high = model.input_range
    random = torch.Generator().manual_seed(seed)
    noise = torch.rand(n, *model.image_shape, generator=random)
    blotches = ((F.avg_pool2d(noise, 5, 1, 2) - 0.5) * 6 + 0.5).clamp(0, 1)
    digits = blotches
    if tuple(model.image_shape) == (1, 28, 28):
        drawn = nil.load_data("digits").x_test[:n] / 2 + 0.5
        contrast = torch.rand(n, 1, 1, 1, generator=random)  # for some probabilities in between
        digits = contrast * drawn + (1 - contrast) * noise
    turn = torch.arange(n).view(-1, 1, 1, 1) % 4
    mixed = torch.where(turn == 0, noise, torch.where(turn == 1, blotches, digits))
    return low + (high - low) * mixed


def as_page(model):
    """What a page is handed of a network: the program, and its weights in base64."""
    program = program_of(nil.Target.of(model, device="cpu"))
    return {
        "program": json.loads(program.text),
        "weights": base64.b64encode(program.weights).decode(),
    }


def gradients(model, x, k):
    """The gradients (N,C,H,W) of the log-odds of the classes k (N,)."""
    x = x.clone().requires_grad_(True)
    return torch.autograd.grad(nil.losses.log_odds(model(x), k).sum(), x)[0]
