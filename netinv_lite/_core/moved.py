"""Modules under the names they had before: found for one more version, with a warning."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
MOVED = {  # the old module -> the new one; "" is the package itself
    "architectures": "models.architectures",
    "arguments": "cli.parser",
    "benchmark": "studies.benchmark",
    "blocks": "direct.partition",
    "charts": "plot.charts",
    "classifiers": "models",
    "cli_direct": "cli.direct",
    "cli_files": "cli.files",
    "codes": "direct.latent_search",
    "dafl": "baselines.dafl",
    "deep": "studies.direct_resnet",
    "descent": "baselines.deep_inversion",
    "detection": "studies.ood",
    "detector": "applications.ood_detector",
    "experiments": "studies",
    "front": "studies.readability_diversity",
    "gan": "models.gan",
    "inventory": "models.inventory",
    "inverses": "direct.decoders",
    "layerwise": "direct.inverse",
    "learned": "studies.confusions",
    "learners": "studies.small_networks",
    "look": "plot.theme",
    "measure": "studies.benchmark",
    "memory": "studies.memorisation",
    "outliers": "applications.ood_scores",
    "own": "models.external",
    "parsing": "cli.types",
    "probe": "",
    "quality": "studies.evaluation",
    "recovery": "studies.gan_inversion",
    "reversal": "studies.direct_architectures",
    "rivals": "studies.benchmark",
    "scale": "direct.cost",
    "search": "direct.refinement",
    "shipped_gan": "models.gan_recipes",
    "shipping": "models.recipes",
    "surrogates": "studies.training_sources",
    "synthetic": "direct.synthetic",
    "teaching": "exercises",
    "template": "baselines.paper_generator",
    "tiles": "plot.mosaic",
    "together": "ensemble",
    "training": "models.training",
    "weights": "_core.serialization",
    "workers": "studies.executors",
    "zeroshot": "studies.direct_losses",
}
NAMES = {"Generator": ("generator", "ConditionedGenerator")}


def found(package: str, old: str) -> Any:
    """The module or name that was called `old`, with a warning; None if there was none."""
    if old in NAMES:
        module, name = NAMES[old]
        _warn(f"{package}.{old}", f"{package}.{name}", 4)
        return getattr(import_module(f"{package}.{module}"), name)
    if old not in MOVED:
        return None
    new = f"{package}.{MOVED[old]}".rstrip(".")
    _warn(f"{package}.{old}", new, 4)
    return import_module(new)


def renamed(**names: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A decorator for a function whose arguments, old=new, have other names now."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            for old, new in names.items():
                if old in kwargs:
                    _warn(f"{function.__name__}({old}=…)", f"{new}=…", 3)
                    kwargs[new] = kwargs.pop(old)
            return function(*args, **kwargs)

        return wrapper

    return decorate


def _warn(old: str, new: str, stacklevel: int) -> None:
    warnings.warn(
        f"{old} is now {new}; the old name goes with the next version.",
        DeprecationWarning,
        stacklevel=stacklevel,
    )


def install(package: str) -> None:
    """Let `import package.old` find the module under its new name."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder(package))


class _Finder(MetaPathFinder):
    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        package, _, old = name.rpartition(".")
        known = package == self.package and old in MOVED
        return ModuleSpec(name, _Alias(package, old)) if known else None


class _Alias(Loader):
    def __init__(self, package: str, old: str) -> None:
        self.package, self.old = package, old

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        module = found(self.package, self.old)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec  # the import has put that of the old name there
