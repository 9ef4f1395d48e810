"""What ships loads and is whole; a file is written whole or not at all."""

import errno
import hashlib
import io
import json
import pickle
import shutil

import pytest
import torch
from safetensors.torch import save_file

import netinv_lite as nil
from helpers import Own, assert_same, seeded, tiny_cnn
from netinv_lite._core import serialization as weights
from netinv_lite.models.training import accuracy
from netinv_lite.models.zoo import (
    load_classifier,
    load_judge,
    load_referee,
    save_classifier,
    shipped,
)

NAMES = sorted(shipped())
DIGITS = ["digits", "digits-judge", "digits-referee", "digits-robust"]


def load(name):
    loaders = {"judge": load_judge, "referee": load_referee}
    return loaders.get(name.rpartition("-")[2], load_classifier)(name)


# ---- what ships -------------------------------------------------------------------------------


def test_the_digits_networks_ship():
    assert set(DIGITS) <= set(NAMES)
    for file in (weights.SHIPPED / "weights").iterdir():
        assert file.stem in NAMES and file.suffix in (".json", ".safetensors")


@pytest.mark.parametrize("name", NAMES)
def test_every_shipped_network_is_whole_and_runs(name):
    file = weights.SHIPPED / "weights" / f"{name}.safetensors"
    record = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    assert hashlib.sha256(file.read_bytes()).hexdigest() == record["sha256"]
    for key in ("architecture", "data", "seed", "test_accuracy", "test_set", "command"):
        assert record[key] not in (None, ""), key
    assert name in record["command"]
    if name.endswith("-robust"):
        assert record["pgd"]["accuracy"] <= record["test_accuracy"]
        assert record["pgd"]["eps"] == record["training"]["eps"] > 0
    model = load(name)
    assert model.record == record and len(model.classes) == model.num_classes
    low, high = model.input_range
    x = low + (high - low) * torch.rand(5, *model.image_shape)
    with torch.no_grad():
        logits = model(x)
        assert logits.shape == (5, model.num_classes) and torch.isfinite(logits).all()
    assert not model.training and not any(p.requires_grad for p in model.parameters())


def test_a_judge_is_another_network_than_the_one_it_judges():
    for name in ("digits", "digits-robust"):
        judge, classifier = load_judge(name), load_classifier(name)
        assert judge.record["architecture"] != classifier.record["architecture"]
        assert judge.record["seed"] != classifier.record["seed"]
        assert judge.record["data"] == classifier.record["data"]


@pytest.mark.parametrize("name", DIGITS)
def test_the_recorded_accuracy_is_measured_again(name):
    model, data = load(name), nil.load_data("digits")
    measured = accuracy(model, data.x_test, data.y_test)
    assert measured == pytest.approx(model.record["test_accuracy"], abs=0.01)
    assert measured >= 0.97
    if "pgd" in model.record:
        attacked = accuracy(model, data.x_test, data.y_test, eps=model.record["pgd"]["eps"])
        assert attacked == pytest.approx(model.record["pgd"]["accuracy"], abs=0.01)


def test_loading_leaves_the_global_random_state_alone():
    before = torch.get_rng_state()
    load_classifier("digits")
    assert torch.equal(before, torch.get_rng_state())


# ---- damaged files ----------------------------------------------------------------------------


@pytest.fixture
def copy(tmp_path):
    for suffix in (".json", ".safetensors"):
        shutil.copy(weights.SHIPPED / "weights" / f"digits{suffix}", tmp_path)
    return tmp_path / "digits.safetensors"


def test_a_whole_copy_elsewhere_loads(copy):
    assert_same(load_classifier(str(copy)).state_dict(), load_classifier("digits").state_dict())
    assert load_classifier(copy).num_classes == 10


@pytest.mark.parametrize("place", [0, 300, 100_000, -1])
def test_one_flipped_byte_is_refused(copy, place):
    content = bytearray(copy.read_bytes())
    content[place] ^= 1
    copy.write_bytes(content)
    with pytest.raises(ValueError, match=r"SHA-256 differs.*Restore it"):
        load_classifier(str(copy))


@pytest.mark.parametrize("length", [0, 5, 1000, -1])
def test_a_truncated_file_is_refused(copy, length):
    copy.write_bytes(copy.read_bytes()[:length])
    with pytest.raises(ValueError, match=r"changed or cut short"):
        load_classifier(str(copy))
    with pytest.raises(ValueError, match=r"truncated, altered .*whole copy"):
        weights.read_tensors(copy)


def test_no_flipped_bit_of_what_was_written_is_read(tmp_path):
    path = weights.write_tensors(tmp_path / "run.safetensors", {"w": torch.arange(4.0)}, step=12)
    whole, read = path.read_bytes(), 0
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            tensors, metadata = weights.read_tensors(path)
        except ValueError as error:
            assert "altered" in str(error)
        else:  # the entry's name is lost: another program's file, of which nothing is known
            assert "step" not in metadata
            assert_same(tensors, {"w": torch.arange(4.0)})
            read += 1
    assert read <= len("netinv_lite") < len(whole) / 10


def test_equal_content_is_an_equal_file(tmp_path):
    tensors = {name: torch.arange(4.0) for name in "dabc"}
    about = {"config": {2: [1.5, None], 10: float("inf")}, "step": 12, "seed": 3, "model": "é"}
    files = [
        weights.write_tensors(tmp_path / f"{i}.safetensors", tensors, **about) for i in range(9)
    ]
    assert len({file.read_bytes() for file in files}) == 1
    assert weights.read_tensors(files[0])[1] == json.loads(json.dumps(about))


@pytest.mark.parametrize("text", ["", "{", '{"architecture": "CNN"}'])
def test_a_damaged_record_is_refused(copy, text):
    copy.with_suffix(".json").write_text(text)
    with pytest.raises(
        ValueError, match=r"json beside .*digits.safetensors is damaged .*restore it"
    ):
        load_classifier(str(copy))


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
def test_half_of_the_pair_is_refused(copy, suffix):
    copy.with_suffix(suffix).unlink()
    with pytest.raises(FileNotFoundError, match=r"both; one is absent"):
        load_classifier(str(copy))


FIRED = []


def fire():
    FIRED.append(1)


class Bomb:
    def __reduce__(self):
        return fire, ()


@pytest.mark.parametrize("write", [torch.save, lambda o, p: p.write_bytes(pickle.dumps(o))])
def test_a_pickle_is_refused_and_never_opened(tmp_path, write):
    for name in ("model.pt", "model.safetensors"):
        write({"weight": torch.zeros(2), "bomb": Bomb()}, tmp_path / name)
        (tmp_path / "model.json").write_text('{"sha256": "0"}')
        with pytest.raises(ValueError, match="no pickles|SHA-256 differs"):
            load_classifier(str(tmp_path / name))
        with pytest.raises(ValueError, match="not a safetensors file.*save_file"):
            weights.read_tensors(tmp_path / name)
    assert not FIRED
    pickle.Unpickler(io.BytesIO(pickle.dumps(Bomb()))).load()
    assert FIRED.pop()  # so it would have gone off


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no file .*nowhere"):
        weights.read_tensors(tmp_path / "nowhere.safetensors")


# ---- written whole or not at all --------------------------------------------------------------


def test_tensors_and_metadata_come_back(tmp_path):
    shared = torch.arange(4.0)
    tensors = {
        "a": shared,
        "tied": shared,
        "view": shared[:2],
        "half": torch.ones(3).half(),
        "step": torch.tensor(3),
        "flag": torch.tensor([True, False]),
        "last": torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "turned": torch.rand(3, 2).T,
    }
    path = tmp_path / "new" / "t.safetensors"
    file = weights.write_tensors(path, tensors, n=3, history=[0.1, 1e-9])
    back, metadata = weights.read_tensors(file)
    assert_same(back, tensors)
    assert metadata == {"n": 3, "history": [0.1, 1e-9]}


def test_another_programs_file_is_read(tmp_path):
    save_file({"w": torch.ones(2)}, tmp_path / "w.safetensors", metadata={"format": "pt"})
    tensors, metadata = weights.read_tensors(tmp_path / "w.safetensors")
    assert tensors["w"].tolist() == [1, 1] and metadata == {"format": "pt"}


def test_a_fingerprint_tells_values_and_names_apart_and_not_memory_order():
    a = torch.rand(2, 3, 4, 4)
    same = weights.fingerprint({"a": a.to(memory_format=torch.channels_last)})
    assert weights.fingerprint({"a": a}) == same
    changed = a.clone()
    changed[0, 0, 0, 0] += 1e-6
    assert weights.fingerprint({"a": changed}) != same != weights.fingerprint({"b": a})


def test_a_saved_classifier_loads_with_its_record(tmp_path):
    model = tiny_cnn()
    record = {
        "architecture": "CNN",
        "input_range": [0, 1],
        "classes": list("abcd"),
        "arguments": {"image_shape": [1, 12, 12], "num_classes": 4, "widths": [8, 16]},
    }
    saved = save_classifier(model, tmp_path / "tiny.safetensors", record)
    loaded = load_classifier(tmp_path / "tiny.safetensors")
    assert loaded.record == saved and loaded.classes == ("a", "b", "c", "d")
    x = torch.rand(6, 1, 12, 12)
    torch.testing.assert_close(loaded(x), model(x), atol=5e-3, rtol=5e-3)  # float16 on disk
    assert_same(loaded.convolutions[0][1].num_batches_tracked, torch.tensor(0))


@pytest.mark.filterwarnings("ignore:The generator has collapsed")  # after two steps
def test_a_folder_that_cannot_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    inversion = invert_once()
    for write in (
        lambda path: weights.write_json(path, {"a": 1}),
        lambda path: weights.write_tensors(path, {"a": torch.ones(2)}),
        inversion.save,
    ):
        with pytest.raises(OSError, match=r"Cannot write .*x\.out.*Choose a folder"):
            write(tmp_path / "file" / "below" / "x.out")
        (tmp_path / "x.out").mkdir(exist_ok=True)
        with pytest.raises(OSError, match=r"Cannot write .*x\.out"):
            write(tmp_path / "x.out")  # a folder stands there
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "x.out"]


def invert_once():
    model = seeded(Own)
    config = nil.InversionConfig(steps=2, batch_size=8, latent_dim=4, width=4)
    return nil.invert(model, image_shape=(3, 8, 8), config=config, progress=False, device="cpu")


def half_written(error):
    def save(_tensors, path, metadata=None):
        with open(path, "wb") as file:
            file.write(b"half a file")
        raise error

    return save


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (OSError(errno.ENOSPC, "No space left"), "No space left.*nothing was overwritten"),
        (KeyboardInterrupt("stop"), "stop"),
        (RuntimeError("anything"), "anything"),
    ],
    ids=["disk full", "Ctrl-C", "RuntimeError"],
)
def test_what_fails_half_way_leaves_the_old_file_whole(tmp_path, monkeypatch, error, expected):
    file = weights.write_tensors(tmp_path / "t.safetensors", {"a": torch.ones(3)}, n=1)
    old = file.read_bytes()
    monkeypatch.setattr(weights, "save_file", half_written(error))
    with pytest.raises(type(error), match=expected):
        weights.write_tensors(file, {"a": torch.zeros(3)}, n=2)
    assert file.read_bytes() == old
    assert [p.name for p in tmp_path.iterdir()] == ["t.safetensors"]  # no .partial


def test_the_last_act_of_writing_is_one_rename(tmp_path, monkeypatch):
    file, renamed = weights.write_json(tmp_path / "a.json", {"a": 1}), []

    def refuse(source, target):
        renamed.append((json.loads(source.read_text()), target))
        raise PermissionError("in use")

    monkeypatch.setattr(weights.os, "replace", refuse)
    with pytest.raises(OSError, match="in use.*nothing was overwritten"):
        weights.write_json(file, {"a": 2})
    assert renamed == [({"a": 2}, file)]
    assert json.loads(file.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_a_failed_json_leaves_the_old_one_whole(tmp_path):
    file = weights.write_json(tmp_path / "a.json", {"a": 1})
    with pytest.raises(TypeError):
        weights.write_json(file, {"a": torch.ones(1)})
    assert json.loads(file.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_the_top_line_of_a_notebook_names_versions_and_threads():
    line = weights.about()
    assert nil.__version__ in line and torch.__version__ in line and "thread" in line
