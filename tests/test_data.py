"""Image sets: always the digits, and the four sets where they can be had."""

import gzip
import struct
import tarfile
import urllib.error
import urllib.request

import numpy as np
import pytest
import torch

import netinv_lite as nil
from netinv_lite import data

SETS = ["mnist", "fashion_mnist", "svhn", "cifar10", "cifar100"]


@pytest.fixture(autouse=True)
def bare_machine(tmp_path, monkeypatch):
    """No NETINV_DATA, an empty cache, no network; counts the requests that were tried."""
    monkeypatch.delenv("NETINV_DATA", raising=False)
    monkeypatch.setattr(data, "CACHE", tmp_path / "cache")
    asked = []

    def refuse(request, *_, **__):
        asked.append(getattr(request, "full_url", request))
        raise urllib.error.URLError("no route to host")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    return asked


def arrays(n=6, shape=(28, 28), seed=0):
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 256, (n, *shape), dtype=np.uint8)
    x[0], x[1] = 0, 255
    y = np.arange(n) % 10
    return {"x_train": x, "y_train": y, "x_test": x[:3], "y_test": y[:3]}


def test_digits_are_always_there(bare_machine):
    d = nil.load_data()
    assert d.x_train.shape == (1347, 1, 28, 28) and d.x_test.shape == (450, 1, 28, 28)
    for x, y in ((d.x_train, d.y_train), (d.x_test, d.y_test)):
        assert x.dtype == torch.float32 and y.dtype == torch.int64 and len(x) == len(y)
        assert -1 <= x.min() < -0.99 and 0.99 < x.max() <= 1
        share = y.bincount(minlength=10) / len(y)
        assert 0.09 < share.min() and share.max() < 0.11
    assert d.image_shape == (1, 28, 28) and d.input_range == (-1, 1) and len(d.classes) == 10
    assert not bare_machine


def test_no_digit_is_in_both_halves_and_the_split_is_always_the_same():
    from sklearn.datasets import load_digits

    d, again = nil.load_data("digits"), nil.load_data("digits")
    assert torch.equal(d.x_test, again.x_test)
    small = torch.nn.functional.interpolate(torch.cat([d.x_train, d.x_test]), size=8, mode="area")
    assert len(small) == 1797
    whole = {image.tobytes() for image in load_digits().data}
    rows = {image.numpy().tobytes() for image in torch.cat([d.x_train, d.x_test])}
    assert len(rows) == len(whole)  # as many different images as there were


def test_npz_files_through_the_named_folder(tmp_path, monkeypatch, bare_machine):
    monkeypatch.setenv("NETINV_DATA", str(tmp_path / "mine"))
    (tmp_path / "mine").mkdir()
    for name in SETS:
        shape = (32, 32, 3) if name in ("svhn", "cifar10", "cifar100") else (28, 28)
        content = arrays(shape=shape)
        np.savez(tmp_path / "mine" / f"{name}.npz", **content)
        d = nil.load_data(name)
        C = 3 if len(shape) == 3 else 1
        assert d.x_train.shape == (6, C, *shape[:2]) and d.x_test.shape == (3, C, *shape[:2])
        assert d.name == name and d.x_train.is_contiguous()
        assert len(d.classes) == (100 if name == "cifar100" else 10)
        assert (d.x_train[0] == -1).all() and (d.x_train[1] == 1).all()
        expected = content["x_train"][2].reshape(*shape[:2], C) / 127.5 - 1
        np.testing.assert_allclose(d.x_train[2].permute(1, 2, 0), expected, atol=1e-6)
        assert d.y_train.tolist() == [0, 1, 2, 3, 4, 5] and d.y_test.tolist() == [0, 1, 2]
    assert not bare_machine


def test_the_named_folder_comes_before_the_cache(tmp_path, monkeypatch):
    for folder, seed in (("cache", 1), ("mine", 2)):
        (tmp_path / folder).mkdir()
        np.savez(tmp_path / folder / "mnist.npz", **arrays(seed=seed))
    from_cache = nil.load_data("mnist").x_train
    monkeypatch.setenv("NETINV_DATA", str(tmp_path / "mine"))
    assert not torch.equal(nil.load_data("mnist").x_train, from_cache)
    (tmp_path / "mine" / "mnist.npz").unlink()
    assert torch.equal(nil.load_data("mnist").x_train, from_cache)


def write_idx(folder, cls, content):
    """torchvision's layout: <cls>/raw/*-ubyte, the idx format of LeCun."""
    raw = folder / cls / "raw"
    raw.mkdir(parents=True)
    for part, stem in (("train", "train"), ("test", "t10k")):
        x, y = content[f"x_{part}"], content[f"y_{part}"].astype(np.uint8)
        head = struct.pack(">4i", 2051, *x.shape)
        (raw / f"{stem}-images-idx3-ubyte").write_bytes(head + x.tobytes())
        head = struct.pack(">2i", 2049, len(y))
        (raw / f"{stem}-labels-idx1-ubyte").write_bytes(head + y.tobytes())
    return raw


@pytest.mark.parametrize(("name", "cls"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_torchvisions_layout(name, cls, tmp_path, monkeypatch, bare_machine):
    content = arrays()
    write_idx(tmp_path, cls, content)
    monkeypatch.setenv("NETINV_DATA", str(tmp_path))
    d = nil.load_data(name)
    np.testing.assert_allclose(d.x_train[:, 0], content["x_train"] / 127.5 - 1, atol=1e-6)
    assert d.y_train.tolist() == [0, 1, 2, 3, 4, 5] and len(d.x_test) == 3
    assert not bare_machine


@pytest.mark.parametrize(
    "K, parts, labels",
    [
        (10, [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"], 1),
        (100, ["train", "test"], 2),
    ],
)
def test_cifar_is_read_from_the_binary_archive_and_not_from_a_pickle(
    tmp_path, monkeypatch, K, parts, labels
):
    """Of a hundred classes, a row begins with the class of the group, which is left aside."""
    rng = np.random.default_rng(0)
    folder, archive = tmp_path / f"cifar-{K}-bin", tmp_path / f"cifar-{K}-binary.tar.gz"
    folder.mkdir()
    rows = rng.integers(0, 256, (2 * len(parts), labels + 3072), dtype=np.uint8)
    rows[:, labels - 1] %= K
    with tarfile.open(archive, "w:gz") as tar:
        for i, name in reversed(list(enumerate(parts))):  # in any order
            (folder / f"{name}.bin").write_bytes(rows[2 * i : 2 * i + 2].tobytes())
            tar.add(folder / f"{name}.bin", f"{folder.name}/{name}.bin")
    monkeypatch.setenv("NETINV_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError):  # not the archive of the known checksum
        nil.load_data(f"cifar{K}", download=False)
    from torchvision.datasets.utils import calculate_md5

    monkeypatch.setitem(data.CIFAR_MD5, archive.name, calculate_md5(archive))
    d = nil.load_data(f"cifar{K}", download=False)
    n = len(rows) - 2
    assert d.x_train.shape == (n, 3, 32, 32) and d.x_test.shape == (2, 3, 32, 32)
    assert d.y_train.tolist() == rows[:n, labels - 1].tolist() and len(d.classes) == K
    expected = rows[1, labels:].reshape(3, 32, 32) / 127.5 - 1
    np.testing.assert_allclose(d.x_train[1], expected, atol=1e-6)


# ---- absent and damaged -----------------------------------------------------------------------


@pytest.mark.parametrize("name", SETS)
def test_absent_and_offline_is_one_error_with_three_ways_out(name, tmp_path, capsys, bare_machine):
    with pytest.raises(FileNotFoundError) as error:
        nil.load_data(name)
    message = str(error.value)
    assert bare_machine  # a download was tried
    for words in (
        f"{name!r} is not on this machine",
        "download failed",
        "Three ways out",
        "(1) set NETINV_DATA",
        f"{name}.npz",
        "(2)",
        str(tmp_path / "cache"),
        "(3)",
        "load_data('digits')",
    ):
        assert words in message


@pytest.mark.parametrize("name", SETS)
def test_without_download_nothing_is_asked_for_and_nothing_written(name, tmp_path, bare_machine):
    with pytest.raises(FileNotFoundError, match="download=False. Three ways out"):
        nil.load_data(name, download=False)
    assert not bare_machine and not list(tmp_path.iterdir())


def test_a_cache_that_cannot_be_written_is_the_same_error(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(data, "CACHE", tmp_path / "file" / "cache")
    with pytest.raises(FileNotFoundError, match="Three ways out"):
        nil.load_data("mnist")


def damaged(file, how):
    content = arrays()
    if how == "truncated":
        np.savez(file, **content)
        file.write_bytes(file.read_bytes()[:-200])
    elif how == "no zip":
        file.write_bytes(b"not a zip file")
    elif how == "an array is missing":
        np.savez(file, **{k: v for k, v in content.items() if k != "y_test"})
    elif how == "a pickle inside":
        np.savez(file, **{**content, "x_train": np.array([{}], dtype=object)})
    elif how == "other lengths":
        np.savez(file, **{**content, "y_train": content["y_train"][:2]})
    elif how == "floats":
        np.savez(file, **{**content, "x_train": content["x_train"] / 255})
    elif how == "labels beyond the classes":
        np.savez(file, **{**content, "y_test": content["y_test"] + 9})


@pytest.mark.parametrize(
    "how",
    [
        "truncated",
        "no zip",
        "an array is missing",
        "a pickle inside",
        "other lengths",
        "floats",
        "labels beyond the classes",
    ],
)
def test_a_damaged_npz_is_named_and_not_replaced(how, tmp_path, monkeypatch, bare_machine):
    damaged(tmp_path / "mnist.npz", how)
    monkeypatch.setenv("NETINV_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"mnist in .*mnist.npz cannot be read .*remove it"):
        nil.load_data("mnist")
    assert not bare_machine


def test_a_damaged_idx_file_is_named(tmp_path, monkeypatch, bare_machine):
    raw = write_idx(tmp_path, "MNIST", arrays())
    file = raw / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-9])
    monkeypatch.setenv("NETINV_DATA", str(tmp_path))
    with pytest.raises(ValueError, match="mnist in .* cannot be read .*whole copy or remove"):
        nil.load_data("mnist")
    assert not bare_machine


def test_packed_idx_files_alone_are_not_the_layout(tmp_path, monkeypatch):
    raw = write_idx(tmp_path, "MNIST", arrays())
    for file in list(raw.iterdir()):
        (raw / f"{file.name}.gz").write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    monkeypatch.setenv("NETINV_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="Three ways out"):
        nil.load_data("mnist", download=False)


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("fashionmnist", "fashion_mnist"),
        ("cifar-10", "cifar10"),
        ("digit", "digits"),
        ("SVHN", None),
        (3, None),
    ],
)
def test_an_unknown_name_brings_the_nearest(typed, meant):
    with pytest.raises(ValueError, match="Unknown data set .*Known: 'digits', 'mnist'") as error:
        nil.load_data(typed)
    assert (f"Did you mean {meant!r}?" in str(error.value)) == (meant is not None)
