"""What inversion is for: out-of-distribution detection, training data, shortcuts, distillation."""

from . import distillation, ood, ood_scores, privacy, reconstruction, shortcuts

__all__ = ["distillation", "ood", "ood_scores", "privacy", "reconstruction", "shortcuts"]
