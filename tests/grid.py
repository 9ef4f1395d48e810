"""A grid of quick runs that leave a trace, for the tests of experiments and their workers."""

import os
import signal
import time
from pathlib import Path

import torch

from netinv_lite.studies.runner import Experiment


def settings(datasets, seeds):
    return [{"dataset": d, "seed": s, "power": p} for d in datasets for p in (1, 2) for s in seeds]


def measure(dataset, seed, power):
    """seed ** power and a random number of one thread; what folder $GRID holds can spoil it."""
    folder = Path(os.environ["GRID"])
    with open(folder / "log", "a", encoding="utf-8") as log:
        log.write(f"{dataset} {seed} {power}\n")
    if (folder / "fail").exists() and seed == 1:
        raise ValueError("seed 1 is\nnot to be had")
    if (folder / "kill").exists() and (seed, power) == (1, 2):
        if (folder / "once").exists():
            (folder / "kill").unlink()
        os.kill(os.getpid(), signal.SIGKILL)
    if (folder / "slow").exists():
        time.sleep(0.3)
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn(1000, generator=random).sum().item()
    return {"value": float(seed**power), "noise": noise, "threads": torch.get_num_threads()}


GRID = Experiment("grid", "Does every run happen once?", settings, measure, ("digits",), (0, 1, 2))


def plan(dataset, seed, power):
    """A short inversion, whose loss differs with `power`."""
    return {
        "dataset": dataset,
        "seed": seed,
        "steps": 4,
        "batch_size": 16,
        "dropout": 0.0,
        "cosine": float(power),
    }


def of_inversion(inversion, dataset, seed, power):
    if (Path(os.environ["GRID"]) / "fail").exists() and seed == 1:
        raise ValueError("seed 1 is\nnot to be had")
    assert inversion.seed == seed
    return {"loss": inversion.history["total"][-1], "weight": inversion.loss.cosine}


PLAN = Experiment("plan", "Are they trained?", settings, of_inversion, ("digits",), (0, 1), plan)
