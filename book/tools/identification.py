"""Who is identified, beside the PSNR: some rows of the study of direct inversion measured again.

    NETINV_DATA=../shared/data OMP_NUM_THREADS=1 python book/tools/identification.py

The recorded study has no identification. Here some of its ways are run again with its function and
its first seed: the share of 500 MNIST digits that are nearest to what came back from them, of all
500 (chance 0.2%; an image for each class reaches 2%). Writes data/results/identification.json, a
row for each way and depth. About a quarter of an hour of one core.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from netinv_lite._core.serialization import versions, write_json
from netinv_lite.studies.direct_losses import direct

ROOT = Path(__file__).resolve().parents[2]
DATASET, SEED = "mnist", 0
WAYS = {  # method and source, as in the study: depths
    ("class means", "none"): (1, 2, 3, 4),
    ("joint", "typical"): (1, 2, 3, 4),
    ("joint", "strokes"): (1, 2, 3, 4),
    ("joint", "real"): (1, 2, 3, 4),
    ("descent from black", "none"): (3, 4),
    ("long", "typical + strokes"): (1, 2, 3, 4),
}
KEPT = ("psnr", "judge", "agreement", "identified")


def measured(method: str, source: str, depths: tuple[int, ...]) -> Iterator[dict]:
    """A row for each depth."""
    for depth in depths:
        found = direct(DATASET, SEED, method, source, depth)
        scores = {name: round(found[name], 4) for name in KEPT}
        yield {"method": method, "source": source, "depth": depth, **scores}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default=str(ROOT), help="root of the tree that is written to")
    args = parser.parse_args(argv)
    record = {"command": "python book/tools/identification.py", "device": "cpu", "seed": SEED}
    rows: list[dict] = []
    for (method, source), depths in WAYS.items():
        rows += measured(method, source, depths)
        path = Path(args.out) / "data/results/identification.json"
        print(write_json(path, {**record, "dataset": DATASET, "rows": rows, **versions()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
