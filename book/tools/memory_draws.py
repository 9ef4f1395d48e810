"""How many of ten training digits return from a small network, over ten draws of the digits.

    python book/tools/memory_draws.py

Trains the network of the chapter on reconstruction on ten digits: with weight decay, without it,
stopped early, with clipped gradients, and with clipped gradients and noise. Searches its weights
for the images, and counts copies. Ten draws of ten digits for each: a hundred images. Writes
data/results/memory_draws.json. Eight minutes on one core.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import netinv_lite as nil
from netinv_lite._core.serialization import versions, write_json
from netinv_lite.studies.small_networks import halved, halves

ROOT = Path(__file__).resolve().parents[2]
DRAWS, COPY = range(10), 0.98
DEFENCES = ("none", "no decay", "early stopping", "σ = 0", "σ = 0.1", "σ = 0.3", "σ = 1")


def small() -> nn.Sequential:
    """The network of the chapter: 196 pixels, 300 hidden units, ten logits."""
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(196, 300), nn.Softplus(5.0), nn.Linear(300, 10, bias=False)]
    network = nn.Sequential(*layers)
    network[1].weight.data.mul_(0.1)
    network.image_shape, network.input_range = (1, 14, 14), (-1, 1)
    return network


def learn(network, x: Tensor, k: Tensor, w: float = 0.01, early: bool = False):
    """3,000 steps on all images at once; `early`: until all are predicted rightly."""
    sgd = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=w)
    for _ in range(3000):
        sgd.zero_grad()
        logits = network(x)
        if early and bool((logits.argmax(1) == k).all()):
            break
        F.cross_entropy(logits, k).backward()
        sgd.step()
    return network.eval()


def learn_privately(network, x: Tensor, k: Tensor, sigma: float, seed: int):
    """300 steps of DP-SGD on all images at once, clipped to length 1."""
    random = torch.Generator().manual_seed(seed)
    values = list(network.parameters())
    sgd = torch.optim.SGD(values, lr=0.1, momentum=0.9, weight_decay=0.01)
    for _ in range(300):
        total = torch.zeros(sum(v.numel() for v in values))
        for i in range(len(x)):
            loss = F.cross_entropy(network(x[i : i + 1]), k[i : i + 1])
            row = torch.cat([g.flatten() for g in torch.autograd.grad(loss, values)])
            total += row / row.norm().clamp(min=1)
        total += sigma * torch.randn(len(total), generator=random)
        for v, part in zip(
            values, (total / len(x)).split([v.numel() for v in values]), strict=True
        ):
            v.grad = part.view_as(v)
        sgd.step()
    return network.eval()


def trained(defence: str, x: Tensor, k: Tensor, seed: int):
    """A network that learned x under a defence."""
    if defence.startswith("σ"):
        return learn_privately(small(), x, k, float(defence.split()[-1]), seed)
    w = 0.0 if defence == "no decay" else 0.01
    return learn(small(), x, k, w, early=defence == "early stopping")


def closeness(images: Tensor, real: Tensor) -> Tensor:
    """The largest correlation of each real image with one of `images`; (N,)."""
    rows = [
        F.normalize((x - x.mean((1, 2, 3), keepdim=True)).flatten(1), dim=1) for x in (images, real)
    ]
    return (rows[0] @ rows[1].T).amax(0)


def losses(network, x: Tensor, k: Tensor) -> Tensor:
    """The cross-entropy of each image, in double precision."""
    with torch.no_grad():
        return F.cross_entropy(network(x).double(), k, reduction="none")


def run(defence: str, draw: int) -> dict:
    """Train, search, count."""
    x, unseen, k, data = halves("digits", draw, 10)
    test_x, test_k = halved(data.x_test), data.y_test
    network = trained(defence, x, k, draw)
    found = nil.reconstruction.stationary(
        network,
        per_class=1,
        config=nil.reconstruction.StationaryConfig(steps=3000),
        device="cpu",
        progress=False,
    ).images
    r, r_unseen = closeness(found, x), closeness(found, unseen)
    mine, theirs = losses(network, x, k), losses(network, test_x, test_k)
    nearer = (theirs[:, None] > mine).double() + (theirs[:, None] == mine).double() / 2
    with torch.no_grad():
        correct = (network(test_x).argmax(1) == test_k).double().mean().item()
    return {
        "defence": defence,
        "draw": draw,
        "copies": int((r > COPY).sum()),
        "unseen copies": int((r_unseen > COPY).sum()),
        "mean r": round(r.mean().item(), 4),
        "mean r, unseen": round(r_unseen.mean().item(), 4),
        "membership AUC": round(nearer.mean().item(), 4),
        "test accuracy": round(correct, 4),
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default=str(ROOT), help="root of the tree that is written to")
    args = parser.parse_args(argv)
    rows = []
    for draw in DRAWS:
        rows += [run(defence, draw) for defence in DEFENCES]
        print(f"draw {draw}", [row["copies"] for row in rows[-len(DEFENCES) :]], flush=True)
    record = {"command": "python book/tools/memory_draws.py", "device": "cpu", "copy above": COPY}
    record |= {"images a draw": 10, "draws": list(DRAWS), "runs": rows, **versions()}
    print(write_json(Path(args.out) / "data/results/memory_draws.json", record))
    return 0


if __name__ == "__main__":
    sys.exit(main())
