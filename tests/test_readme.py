"""The code of the README runs as it stands there, with fewer steps."""

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

import netinv_lite as nil
from netinv_lite.direct import training

TEXT = (Path(__file__).resolve().parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


class Own(nn.Module):
    """A hundred classes from 32 pixels, with the `view` of every second tutorial."""

    def __init__(self):
        super().__init__()
        self.conv, self.fc = nn.Conv2d(3, 8, 3, 4, 1), nn.Linear(512, 100)

    def forward(self, x):
        h = torch.relu(self.conv(x))
        return self.fc(h.view(h.size(0), -1))


@pytest.mark.filterwarnings("ignore:The generator has collapsed", "ignore:The stage")
def test_the_blocks_run_one_after_the_other(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))  # where `show` writes without a window
    for name in ("paper", "readable"):
        loss, config = nil.PRESETS[name]
        short = nil.Preset(loss, replace(config, steps=3, batch_size=16))
        monkeypatch.setitem(nil.PRESETS, name, short)
    few = partial(nil.direct.DirectConfig, steps=2, joint=2, batch_size=8, width=8)
    monkeypatch.setattr(training, "DirectConfig", few)
    names = {"model": Own()}
    for block in BLOCKS:
        exec(block, names)
    assert len(BLOCKS) == 2 and names["again"].shape == names["images"].shape == (100, 1, 28, 28)
    assert "psnr" in capsys.readouterr().out
