"""Which files under a folder a Python opens, and what is kept of that as a chapter's record."""

import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file

import recorded
from fresh_machine import fresh_environment
from throwaway import stored_chapter

OPENS = """import os, pathlib, subprocess, sys
from safetensors import safe_open
from safetensors.torch import load_file
data = pathlib.Path(sys.argv[1])
(data / "weights" / "read.json").read_text()
(data / "weights" / "asked.json").exists()
open(os.fsencode(data / "results" / "bytes.csv")).close()
os.chdir(data)
os.close(os.open("results/relative.csv", os.O_RDONLY))
with safe_open("weights/rust.safetensors", framework="pt") as file:
    file.keys()
load_file(filename=data / "weights" / "loaded.safetensors")
sorted((data / "weights").iterdir())
open(data.parent / "outside.csv").close()
try:
    open(data / "absent.csv")
except FileNotFoundError:
    pass
child = "open('results/child.csv'); import os; os._exit(0)"
subprocess.run([sys.executable, "-c", child], check=True)"""
OPENED = {
    "weights/read.json",
    "results/bytes.csv",
    "results/relative.csv",
    "results/child.csv",
    "weights/rust.safetensors",
    "weights/loaded.safetensors",
}


@pytest.fixture
def data(tmp_path):
    """A folder like data/, with more files than are opened."""
    folder = tmp_path / "data"
    for name in (
        *OPENED,
        "weights/asked.json",
        "weights/other.json",
        "results/other.csv",
        "../outside.csv",
    ):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}")
        if path.suffix == ".safetensors":
            save_file({"x": torch.zeros(1)}, path)
    return folder


def run_python(source, data, **env):
    home = data.parent / "home"
    home.mkdir()
    env = fresh_environment(home) | env
    subprocess.run([sys.executable, "-c", source, str(data)], env=env, check=True)


def test_what_is_opened_is_noted_and_nothing_else(data, tmp_path):
    log = tmp_path / "log"
    run_python(OPENS, data, **recorded.environment(log, data))
    assert recorded.opened(log, data) == OPENED


def test_nothing_is_noted_unless_it_is_asked_for(data, tmp_path, monkeypatch):
    for key, value in recorded.environment(tmp_path / "log", data).items():
        monkeypatch.setenv(key, value)  # a chapter that runs a chapter: not in its record
    run_python(OPENS, data)
    assert not recorded.opened(tmp_path / "log", data)
    assert not any(key.startswith("NETINV_") for key in fresh_environment(tmp_path))


def test_all_jsons_of_a_folder_are_one_entry(data):
    jsons = {f"weights/{name}.json" for name in ("asked", "other", "read")}
    files = jsons | {"weights/rust.safetensors", "results/other.csv"}
    kept = ["results/other.csv", "weights/*.json", "weights/rust.safetensors"]
    assert recorded.entries(files, data) == kept
    assert recorded.entries(files - {"weights/asked.json"}, data) == sorted(
        files - {"weights/asked.json"}
    )
    (data / "weights/new.json").write_text("{}")  # another network ships
    notebook = stored_chapter(kept)
    assert not recorded.beyond(files | {"weights/new.json"}, notebook)
    assert data / "weights/new.json" in recorded.needed(notebook, data)


def test_a_file_beyond_the_record_is_named():
    notebook = stored_chapter(["weights/*.json", "weights/digits.safetensors"])
    files = {"weights/digits.json", "weights/mnist.safetensors", "results/losses.json"}
    assert recorded.beyond(files, notebook) == ["results/losses.json", "weights/mnist.safetensors"]
