"""nbval lets numbers in text and HTML differ within a cell's tolerance, and nothing else.

A cell's metadata may say {"netinv": {"tolerance": {"rel": 0.05, "abs": 0.02}}}: a number may then
differ by the larger of 0.05 times the stored one and 0.02. Without it `REL` holds. Whole numbers,
such as counts, labels and steps, must be equal unless the cell says `"whole": true`.
"""

import math
import re

from nbformat import from_dict
from nbval.plugin import IPyNbCell

REL = 1e-3  # what another order of adding up makes of three digits
NUMBER = re.compile(r"(?<![\w.])[-−+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[-+]?\d+)?(?!\w)")
TAG = re.compile(r"(<[^>]*>)")
_compare = IPyNbCell.compare_outputs


def alike(new: str, stored: str, *, rel=REL, abs=0.0, whole=False) -> bool:
    """Whether two texts are equal but for numbers that differ within the tolerance."""
    if _words(new) != _words(stored):
        return False
    pairs = zip(NUMBER.findall(new), NUMBER.findall(stored), strict=True)
    return all(_close(a, b, rel, abs, whole) for a, b in pairs)


def alike_html(new: str, stored: str, **tolerance) -> bool:
    """The same of HTML: what is inside tags must be equal."""
    new_parts, stored_parts = TAG.split(new), TAG.split(stored)
    return len(new_parts) == len(stored_parts) and all(
        a == b if TAG.match(b) else alike(a, b, **tolerance)
        for a, b in zip(new_parts, stored_parts, strict=True)
    )


def _words(text: str) -> list[str]:
    """What is not a number; a table's columns may have moved by a digit or a sign."""
    return re.sub(r"[ \t]+", " ", NUMBER.sub(" # ", text)).splitlines()


def _close(new: str, stored: str, rel: float, at_most: float, whole: bool) -> bool:
    if new == stored:
        return True
    if not whole and not re.search(r"[.e]", new + stored):
        return False
    a, b = (float(text.replace(",", "").replace("−", "-")) for text in (new, stored))
    return math.isclose(a, b, rel_tol=0, abs_tol=max(rel * math.fabs(b), at_most) + 1e-12)


def compare_outputs(self, test, ref, skip_compare=None):
    tolerance = self.cell.metadata.get("netinv", {}).get("tolerance", {})
    if len(test) == len(ref):
        pairs = zip(test, ref, strict=True)
        test = [from_dict(forgiven(new, stored, tolerance)) for new, stored in pairs]
    return _compare(self, test, ref, skip_compare)


def forgiven(new: dict, stored: dict, tolerance: dict) -> dict:
    """The new output, with the stored text wherever that is alike."""

    def text(key, value):
        if key == "data" and key in stored:
            return forgiven(value, stored[key], tolerance)
        if not isinstance(value, str) or not isinstance(stored.get(key), str):
            return value
        same = alike_html if key == "text/html" else alike
        return stored[key] if same(value, stored[key], **tolerance) else value

    return {key: text(key, value) for key, value in new.items()}


IPyNbCell.compare_outputs = compare_outputs
