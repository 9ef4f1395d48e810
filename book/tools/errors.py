"""Count the errors of the shipped networks on their test images, class by class.

    NETINV_DATA=../shared/data python book/tools/errors.py

Writes data/results/errors.json: for each network of four sets its confusion matrix, how many test
images of the class of a row were predicted as the class of a column. About a minute.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from sklearn.metrics import confusion_matrix

import netinv_lite as nil
from netinv_lite import metrics
from netinv_lite._core.serialization import versions, write_json

ROOT = Path(__file__).resolve().parents[2]
DATASETS, NETWORKS = ("mnist", "fashion_mnist", "svhn", "cifar10"), ("", "-robust")


def counts(dataset: str, network: str) -> list[list[int]]:
    """The confusion matrix (K, K) of one network."""
    data = nil.load_data(dataset)
    predicted = metrics.logits(nil.load_classifier(dataset + network), data.x_test).argmax(1)
    return confusion_matrix(data.y_test, predicted).tolist()


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--datasets", nargs="+", default=DATASETS, choices=DATASETS)
    parser.add_argument("--out", default=str(ROOT), help="root of the tree that is written to")
    args = parser.parse_args(argv)
    counted = {d + n: counts(d, n) for d in args.datasets for n in NETWORKS}
    record = {"command": "python book/tools/errors.py", "device": "cpu", "counts": counted}
    print(write_json(Path(args.out) / "data/results/errors.json", {**record, **versions()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
