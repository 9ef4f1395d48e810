"""The named settings: what they are made of, and the ways to get at it."""

import dataclasses

import pytest

import netinv_lite as nil
from netinv_lite.presets import Preset


@pytest.mark.parametrize("name", nil.PRESETS)
def test_a_preset_has_names_and_unpacks(name):
    preset = nil.PRESETS[name]
    loss, config = preset
    assert isinstance(preset, Preset) and preset == (loss, config)
    assert preset.loss is loss is preset[0] and isinstance(loss, nil.InversionLoss)
    assert preset.config is config is preset[1] and isinstance(config, nil.InversionConfig)


def test_the_presets_build_on_each_other():
    paper, bold, readable, vivid, typical, *_ = nil.PRESETS.values()
    assert paper == Preset(nil.InversionLoss(), nil.InversionConfig())
    assert bold.loss == readable.loss == vivid.loss != paper.loss
    assert vivid.config.shading == 0.6 and readable.config.shading == 0
    assert readable.config == typical.config and typical.loss.batch_norm == 1
    later = dataclasses.replace(vivid.config, deformation=0.2, shading=0.0)
    assert later == readable.config
