"""Old names work for one version, each with a warning that names the new one."""

from __future__ import annotations

import inspect
import subprocess
import sys
from importlib import import_module

import pytest
import torch

import netinv_lite as nil
from netinv_lite._core import moved
from netinv_lite.conditioning import balanced_classes


@pytest.mark.parametrize("old", moved.MOVED)
def test_an_old_module_is_found_under_both_ways_of_writing(old):
    new = f"netinv_lite.{moved.MOVED[old]}".rstrip(".")
    with pytest.warns(DeprecationWarning, match=f"netinv_lite.{old} is now {new};"):
        found = getattr(nil, old)
    assert found is import_module(new) and inspect.ismodule(found)


def test_what_old_notebooks_asked_for():
    code = """if True:
        import warnings
        warnings.simplefilter("ignore")
        import netinv_lite as nil
        import netinv_lite.probe
        from netinv_lite.probe import batch_statistics, final_linear, frozen
        from netinv_lite.weights import read_tensors
        from netinv_lite.teaching import attempt
        assert nil.probe.frozen is frozen is nil.frozen and nil.attempt is attempt
        assert nil.Generator is nil.ConditionedGenerator
        assert nil.__spec__.name == nil.__name__ == "netinv_lite"
        print("fine")
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "fine", done.stderr


def test_an_old_name_and_an_old_argument():
    with pytest.warns(
        DeprecationWarning, match="Generator is now netinv_lite.ConditionedGenerator"
    ):
        assert nil.Generator is nil.ConditionedGenerator
    random = torch.Generator().manual_seed(0)
    with pytest.warns(DeprecationWarning, match=r"balanced_classes\(random=…\) is now generator=…"):
        k = balanced_classes(6, 3, random=random)
    assert torch.equal(k, balanced_classes(6, 3, generator=random.manual_seed(0)))


def test_old_names_are_not_listed():
    assert not {*moved.MOVED, *moved.NAMES} & {*dir(nil)}
