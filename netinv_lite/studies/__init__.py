"""The book's long runs: each study is one command, one table, one file.

The library never imports this room; chapters read its tables with `load_results`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules={
        "ablations",
        "benchmark",
        "confusions",
        "datasets",
        "direct_architectures",
        "direct_losses",
        "direct_resnet",
        "distillation",
        "evaluation",
        "executors",
        "gan_inversion",
        "memorisation",
        "ood",
        "readability_diversity",
        "readability_methods",
        "registry",
        "runner",
        "shortcuts",
        "small_networks",
        "summaries",
        "tables",
        "training_sources",
    },
    submod_attrs={
        "ablations": ["LOSSES"],
        "evaluation": ["quality", "real_images"],
        "registry": ["EXPERIMENTS"],
        "runner": ["Experiment", "run"],
        "summaries": ["differences", "means"],
        "tables": ["load_results", "provenance"],
    },
)
