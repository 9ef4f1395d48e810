"""Photographs that are measured on where they lie."""

import pytest
import torch
from torchvision.transforms.v2.functional import to_pil_image

from netinv_lite.studies import photographs
from netinv_lite.studies.registry import EXPERIMENTS


def test_they_are_read_in_the_order_of_the_table_and_cut_to_their_middle(tmp_path, monkeypatch):
    folder = tmp_path / photographs.FOLDER
    folder.mkdir()
    for name, grey in (("b", 250), ("a", 10)):
        image = torch.full((3, 12, 10), grey, dtype=torch.uint8)
        to_pil_image(image).save(folder / f"{name}.JPEG", quality=95)
    (folder / "labels.csv").write_text("file,class_idx\nb.JPEG,7\na.JPEG,3\n", encoding="utf-8")
    monkeypatch.setenv("NETINV_DATA", str(tmp_path))
    x, y = photographs.load_photographs(8)
    assert x.shape == (2, 3, 8, 8) and y.tolist() == [7, 3]
    assert x[0].min() > 0.95 and 0 <= x[1].min() <= x[1].max() < 0.1


def test_without_them_the_folder_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("NETINV_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="set NETINV_DATA"):
        photographs.load_photographs()


@pytest.mark.parametrize("change", photographs.CHANGES)
def test_a_changed_photograph_is_one_in_the_same_range(change):
    x = torch.rand(2, 3, 16, 16)
    changed = photographs.CHANGES[change](x)
    assert changed.shape == x.shape and changed.min() >= 0 and changed.max() <= 1
    assert torch.equal(changed, x) == (change == "none")


def test_every_network_sees_every_change_once():
    study = EXPERIMENTS["photographs"]
    runs = study.settings(study.datasets, study.seeds)
    assert len({(run["network"], run["change"]) for run in runs}) == len(runs) == 18
