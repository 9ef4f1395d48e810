"""The command line: what it writes, what it says of bad input, and what Ctrl-C leaves."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import netinv_lite as nil
from netinv_lite.__main__ import main
from netinv_lite._core.serialization import SHIPPED, read_tensors
from netinv_lite.cli import commands as cli
from netinv_lite.cli import options
from netinv_lite.cli.parser import parse
from netinv_lite.direct.stages import Training
from netinv_lite.models import inventory
from netinv_lite.models import recipes as shipping

QUICK = ("--steps", "4", "--batch-size", "8", "--width", "4", "--no-progress")
TINY = ("CNN", {"widths": (4, 4, 4)}, 0, nil.FitConfig(2))
MODULE = """
import torch
from torch import nn


def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(196, 5))


def deep():
    return nn.Sequential(nn.Conv2d(2, 4, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(196, 5))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b, self.out = nn.Linear(9, 9), nn.Linear(9, 9), nn.Linear(9, 2)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.out(self.b(self.a(x.flatten(1)).relu()))


def needs_an_argument(width):
    return nn.Linear(width, 1)


def a_number():
    return 3
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def own(here, monkeypatch):
    """A folder with a module `trial_models` and the weights of its `small`."""
    (here / "trial_models.py").write_text(MODULE)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "trial_models", raising=False)
    monkeypatch.syspath_prepend(str(here))
    import trial_models

    torch.manual_seed(0)
    save_file(trial_models.small().state_dict(), here / "w.safetensors")
    yield here
    sys.modules.pop("trial_models", None)


def fails(capsys, *argv: str) -> str:
    """The one line of an error with exit code 2."""
    assert main(list(argv)) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), lines
    return lines[0]


# --- help -----------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["invert", "direct", "fit", "experiment", "weights"])
def test_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    out = capsys.readouterr().out
    assert stop.value.code == 0
    assert f"example:\n  python -m netinv_lite {command} " in out and "--debug" in out


@pytest.mark.parametrize("config", [nil.InversionConfig, nil.direct.DirectConfig])
def test_every_field_of_a_config_is_an_option_that_is_explained(config):
    command = "invert" if config is nil.InversionConfig else "direct"
    for field in dataclasses.fields(config):
        assert options.documented(config)[field.name], field.name
        option = f"--{field.name.replace('_', '-')}"
        value = [] if type(field.default) is bool else ["noise" if field.type == "str" else "1"]
        args = parse([command, "digits", option, *value])
        assert [*options.given(args, config)] == [field.name]
        assert isinstance(
            getattr(args, field.name), {"bool": bool, "int": int}.get(field.type, object)
        )


def test_without_a_command_it_explains_itself(capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in ("invert", "fit", "experiment", "weights", "examples:"))
    assert main(["--version"]) == 0
    assert f"netinv_lite {nil.__version__}, Python " in capsys.readouterr().out


def test_python_m_runs_it(here):
    command = [sys.executable, "-m", "netinv_lite", "invrt"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert "Did you mean 'invert'?" in result.stderr and "Traceback" not in result.stderr


# --- invert ---------------------------------------------------------------------------------


def pixels(path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.info["Description"], "no alternative text"
        return np.asarray(image.convert("RGB"))


def test_invert_writes_a_picture_and_a_generator(here, capsys):
    command = ["invert", "digits", "--out", "sub/grid.png", "--save", "g.safetensors", *QUICK]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "the classifier reads" in out and "an independent judge" in out and "seconds" in out
    assert "written: g.safetensors, sub" in out
    assert len(np.unique(pixels("sub/grid.png"))) > 20, "the picture is blank"
    inversion = nil.Inversion.load("g.safetensors", nil.load_classifier("digits"), device="cpu")
    assert len(inversion.history["total"]) == 4 and inversion.config.width == 4
    assert sorted(p.name for p in here.iterdir()) == ["g.safetensors", "sub"], "something is left"


@pytest.mark.filterwarnings("ignore:The generator has collapsed")
def test_options_reach_the_inversion(here):
    more = "--preset readable --conditioning vector --scale 3 --seed 7 --latent-dim 19 --lr 0.001"
    more = [*more.split(), "--loss", "cosine=0", "total-variation=0.1"]
    assert main(["invert", "digits", "--save", "g.safetensors", *QUICK, *more]) == 0
    inversion = nil.Inversion.load("g.safetensors", nil.load_classifier("digits"), device="cpu")
    loss, config = inversion.loss, inversion.config
    assert (loss.margin, loss.cosine, loss.total_variation) == (1, 0, 0.1)
    assert (config.scale, config.latent_dim, config.lr, config.start) == (3, 19, 0.001, 0.02)
    assert inversion.seed == 7 and inversion.conditioning.name == "vector"
    direct = nil.invert(
        nil.load_classifier("digits"),
        conditioning="vector",
        loss=loss,
        seed=7,
        config=config,
        device="cpu",
        progress=False,
    )
    assert torch.equal(inversion.sample(2)[0], direct.sample(2)[0])


def test_several_seeds_are_columns(here, capsys):
    command = ["invert", "digits", "--seeds", "3", "5", "3", "--save", "g.safetensors"]
    assert main([*command, "--out", "grid.png", "--per-class", "2", *QUICK]) == 0
    assert capsys.readouterr().out.count("seconds") == 2
    assert {p.name for p in here.iterdir()} == {"g-3.safetensors", "g-5.safetensors", "grid.png"}
    with Image.open("grid.png") as image:
        assert "by 2 columns, a generator each" in image.info["Description"]


def test_own_network(own, capsys):
    base = ["invert", "--model", "trial_models:small", "--shape", "3x16x16", *QUICK]
    command = [*base, "--weights", "w.safetensors", "--input-range", "-1,3", "--classes", "5"]
    assert main([*command, "--out", "a.png", "--save", "g.safetensors", "--features", "0"]) == 0
    assert "judge" not in capsys.readouterr().out
    assert len(np.unique(pixels("a.png"))) > 20
    about = read_tensors("g.safetensors")[1]["inversion"]
    assert about["input_range"] == [-1, 3] and about["image_shape"] == [3, 16, 16]
    assert main([*base, "--seeds", "0", "1"]) == 0
    assert "No --weights" in capsys.readouterr().out
    assert pixels("inversion.png").std() > 5


def test_tied_weights_are_stored_once_and_fit(own):
    import trial_models

    model = trial_models.Tied()
    state = {k: v.half() for k, v in model.state_dict().items() if k != "b.weight"}
    save_file(state, "tied.safetensors")
    loaded = cli.own_network("trial_models:Tied", "tied.safetensors")
    assert loaded.b.weight is loaded.a.weight
    assert torch.allclose(loaded.a.weight, model.a.weight, atol=1e-3)


@pytest.mark.parametrize(
    "argv, words",
    [
        (["mnits"], "Did you mean 'mnist'?"),
        ([], "Say which network"),
        (["digits", "--model", "a:b"], "Say which network"),
        (["digits", "--weights", "w.safetensors"], "--weights belongs to --model"),
        (["digits", "--preset", "papre"], "Did you mean 'paper'?"),
        (["digits", "--conditioning", "vectr"], "Did you mean 'vector'?"),
        (["digits", "--loss", "cosin=1"], "Did you mean 'cosine'?"),
        (["digits", "--loss", "cosine"], "TERM=WEIGHT"),
        (["digits", "--loss", "cosine=-1"], "not negative"),
        (["digits", "--steps", "0"], "steps=0"),
        (["digits", "--steps", "-3"], "steps=-3"),
        (["digits", "--steps", "many"], "--steps"),
        (["digits", "--classes", "7"], "returns 10 logits"),
        (["digits", "--shape", "3x3"], "for example 3x32x32"),
        (["digits", "--shape", "3x16x16"], "does not accept images of shape (3, 16, 16)"),
        (["digits", "--input-range", "0"], "LOW,HIGH"),
        (["digits", "--input-range", "1,0"], "rising"),
        (["digits", "--per-class", "0"], "at least 1"),
        (["digits", "--features", "nowhere"], "no module 'nowhere'"),
        (["digits", "--device", "cuda"], "no CUDA device"),
        (["digits", "--out", "grid.jpg"], "must end in .png"),
        (["digits", "--save", "g.pt"], "must end in .safetensors"),
        (["digits", "--out", "w.safetensors/grid.png"], "Cannot write"),
        (["digits", "--save", "w.safetensors/g.safetensors"], "Cannot write"),
        (["none.safetensors"], "none.safetensors"),
        (["digits", "--seed", "0", "--seeds", "1"], "not allowed with"),
        (["digits", "--colour"], "unrecognized arguments"),
        (["--model", "trial_models"], "package.module:function"),
        (["--model", "trial_modles:small"], "importing 'trial_modles' failed"),
        (["--model", "trial_models:smal"], "Did you mean 'small'?"),
        (["--model", "trial_models:needs_an_argument"], "called without arguments"),
        (["--model", "trial_models:a_number"], "returned a int"),
        (["--model", "trial_models:small"], "say (C, H, W)"),
        (["--model", "trial_models:small", "--weights", "none.safetensors"], "There is no file"),
        (["--model", "trial_models:small", "--weights", "trial_models.py"], "not a safetensors"),
        (["--model", "trial_models:deep", "--shape", "2x16x16"], "2 channels cannot be drawn"),
    ],
)
def test_bad_input_is_one_line(own, capsys, monkeypatch, argv, words):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    before = sorted(own.iterdir())
    assert words in fails(capsys, "invert", *argv, *(() if "--steps" in argv else QUICK))
    assert [p for p in sorted(own.iterdir()) if p.name != "__pycache__"] == [
        p for p in before if p.name != "__pycache__"
    ], "something was written"


def test_weights_that_do_not_fit_are_named(own, capsys):
    state = load_file("w.safetensors")
    save_file(
        {
            "0.weight": state["0.weight"],
            "0.bias": torch.zeros(9),
            "extra": torch.zeros(1),
            "3.weight": state["3.weight"],
        },
        "bad.safetensors",
    )
    base = ["invert", "--model", "trial_models:small", "--shape", "3x16x16", "--weights"]
    line = fails(capsys, *base, "bad.safetensors", *QUICK)
    assert "missing: 3.bias;" in line and "unexpected: extra;" in line
    assert "0.bias (9,) instead of (4,)" in line
    state["3.weight"][0, 0] = float("nan")
    save_file(state, "nan.safetensors")
    assert "NaN or infinity in 3.weight" in fails(capsys, *base, "nan.safetensors", *QUICK)
    whole = (own / "w.safetensors").read_bytes()
    (own / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    assert "truncated" in fails(capsys, *base, "cut.safetensors", *QUICK)


def test_debug_shows_the_traceback(here):
    with pytest.raises(ValueError, match="Did you mean 'mnist'"):
        main(["invert", "mnits", "--debug"])


def test_warnings_are_one_line(here, capsys, monkeypatch):
    monkeypatch.setattr(cli, "weights", lambda args: warnings.warn("a\n  collapse", stacklevel=1))
    main(["weights"])
    assert capsys.readouterr().err == "warning: a collapse\n"


# --- weights, fit, benchmark ----------------------------------------------------------------


def test_weights_lists_what_ships(capsys):
    assert main(["weights"]) == 0
    lines = capsys.readouterr().out.splitlines()
    record = json.loads((SHIPPED / "weights/digits-robust.json").read_text(encoding="utf-8"))
    line = next(text for text in lines if text.startswith("digits-robust "))
    assert f"{record['test_accuracy']:.2%}" in line and f"{record['pgd']['accuracy']:.2%}" in line
    assert record["sha256"][:12] in line and record["sha256"] not in line and "450" in line
    assert main(["weights", "digits-robust"]) == 0
    assert record["sha256"] in capsys.readouterr().out
    assert "Did you mean 'digits'?" in fails(capsys, "weights", "digit")


def test_weights_finds_a_flipped_byte(tmp_path, capsys, monkeypatch):
    (tmp_path / "weights").mkdir()
    for name in ("digits", "digits-judge", "digits-robust"):
        for end in ("json", "safetensors"):
            shutil.copy(SHIPPED / f"weights/{name}.{end}", tmp_path / "weights")
    path = tmp_path / "weights/digits.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    (tmp_path / "weights/digits-judge.safetensors").unlink()
    monkeypatch.setattr(inventory, "SHIPPED", tmp_path)
    assert main(["weights"]) == 1
    out, err = capsys.readouterr()
    ends = {line.split()[0]: line.split()[-1] for line in out.splitlines() if line}
    assert ends["digits"] == "DAMAGED" and ends["digits-judge"] == "ABSENT"
    assert ends["digits-robust"] not in ("DAMAGED", "ABSENT")
    assert "error: digits: DAMAGED" in err and "fit digits" in err
    assert main(["weights", "digits-robust"]) == 0
    assert main(["weights", "digits"]) == 1


def test_fit_makes_a_network_that_can_be_inverted(here, capsys, monkeypatch):
    monkeypatch.setitem(shipping.RECIPES, "digits-robust", TINY)
    command = ["fit", "digits", "--robust", "--no-progress", "--seed", "4", "--epochs", "1"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert "digits-robust: CNN, seed 4" in out and "test accuracy" in out and "written: " in out
    model = nil.load_classifier("weights/digits-robust.safetensors")
    assert model.record["seed"] == 4 and model.record["training"]["epochs"] == 1
    assert model.record["command"].endswith("fit digits-robust --out weights --seed 4 --epochs 1")
    assert main(["weights", "--folder", "weights"]) == 0
    assert main(["invert", "weights/digits-robust.safetensors", *QUICK]) == 0
    assert "an independent judge" in capsys.readouterr().out
    assert main(["fit", "digits-robust", "--robust", "--no-progress", "--out", "again"]) == 0
    assert (here / "again/digits-robust.json").exists()


def test_fit_says_what_is_wrong(here, capsys):
    (here / "file").write_text("")
    assert "Did you mean 'mnist'?" in fails(capsys, "fit", "mnits")
    assert "Unknown recipe 'mnist-robust-judge'" in fails(capsys, "fit", "mnist-robust", "--judge")
    assert "not allowed with" in fails(capsys, "fit", "mnist", "--judge", "--robust")
    assert "Cannot write" in fails(capsys, "fit", "digits", "--out", "file")
    assert "epochs=0" in fails(capsys, "fit", "digits", "--epochs", "0")


def test_the_benchmark_is_an_experiment_now(capsys):
    assert "experiment benchmark" in fails(capsys, "benchmark", "--quick")


WAY_BACK = (
    "direct",
    "digits",
    "--cut",
    "hidden",
    "--steps",
    "2",
    "--joint",
    "2",
    "--batch-size",
    "4",
    "--width",
    "4",
    "--source",
    "strokes",
    "--no-progress",
)


def test_direct_writes_an_inverse_that_can_be_loaded(here, capsys):
    assert main([*WAY_BACK, "--save", "inverse.safetensors"]) == 0
    assert "psnr" in capsys.readouterr().out
    inverse = nil.direct.LayerwiseInverse.load("inverse.safetensors", nil.load_classifier("digits"))
    assert inverse.config.source == "strokes" and inverse.config.steps == 2
    assert not list(here.glob(".*.partial"))


def test_direct_goes_on_where_it_was_stopped(here, capsys, monkeypatch):
    advance, taken = Training.advance, []

    def stopping(self, *args):
        if len(taken) == 5:
            self._save()
            raise KeyboardInterrupt
        taken.append(1)
        advance(self, *args)

    monkeypatch.setattr(Training, "advance", stopping)
    assert main([*WAY_BACK, "--save", "inverse.safetensors"]) == 130
    assert "kept: the steps so far" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.chdir(here)
    for file in ("inverse.safetensors", "whole.safetensors"):
        assert main([*WAY_BACK, "--save", file]) == 0
    assert (here / "inverse.safetensors").read_bytes() == (here / "whole.safetensors").read_bytes()


def test_direct_can_only_count(here, capsys):
    assert (
        main(
            [
                "direct",
                "--torchvision",
                "resnet18",
                "--cut",
                "layer1.0",
                "--shape",
                "3x64x64",
                "--width",
                "8",
                "--estimate",
            ]
        )
        == 0
    )
    out = capsys.readouterr().out
    assert "joint" in out and "counted, not measured" in out and not list(here.iterdir())


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["digits"], "Say where the inverse goes"),
        (["--estimate"], "Say which network"),
        (["digits", "--torchvision", "resnet18", "--estimate"], "Say which network"),
        (["digits", "--weights", "w.safetensors", "--estimate"], "--weights belongs to --model"),
        (["digits", "--cut", "hiden", "--estimate"], "Did you mean 'hidden'?"),
        (["digits", "--save", "inverse.pt"], "must end in .safetensors"),
        (["digits", "--steps", "0", "--estimate"], "steps"),
    ],
)
def test_direct_says_what_is_wrong(here, capsys, argv, words):
    assert words in fails(capsys, "direct", *argv)


# --- Ctrl-C ---------------------------------------------------------------------------------

posix = pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C cannot be sent to one process")


def start(command: list[str], folder) -> subprocess.Popen:
    """A process on one thread that heeds Ctrl-C, even where this one runs in the background."""
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


def finish(command: list[str], folder) -> str:
    process = start(command, folder)
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


def interrupt(command: list[str], folder, pattern: str) -> str:
    """Start, press Ctrl-C as soon as a file like `pattern` is there; what is said then."""
    process = start(command, folder)
    end = time.monotonic() + 300
    while not list(folder.glob(pattern)):
        assert process.poll() is None and time.monotonic() < end, process.communicate()[1]
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    return err.strip().splitlines()[-1]


@pytest.mark.slow
@posix
def test_an_interrupted_invert_goes_on(tmp_path):
    command = [
        "-m",
        "netinv_lite",
        "invert",
        "digits",
        "--save",
        "g.safetensors",
        "--out",
        "g.png",
        "--steps",
        "200",
        "--batch-size",
        "16",
        "--width",
        "8",
        "--no-progress",
    ]
    said = interrupt(command, tmp_path / "cut", ".g.safetensors.*.partial")
    assert said.startswith("stopped: Ctrl-C; kept: seed 0 up to step ")
    assert said.endswith("To go on: " + " ".join(["python", *command]))
    assert not (tmp_path / "cut/g.safetensors").exists()
    assert "Going on from step " in finish(command, tmp_path / "cut")
    assert "Going on" not in finish(command, tmp_path / "whole")
    (cut, about), (whole, same) = (
        read_tensors(tmp_path / name / "g.safetensors") for name in ("cut", "whole")
    )
    assert about == same and len(about["inversion"]["history"]["total"]) == 200
    assert cut.keys() == whole.keys() and all(torch.equal(cut[key], whole[key]) for key in cut)
    assert {p.name for p in (tmp_path / "cut").iterdir()} == {"g.safetensors", "g.png"}


@pytest.mark.slow
@posix
def test_an_interrupted_fit_goes_on(tmp_path):
    driver = tmp_path / "driver.py"
    driver.write_text(
        "import sys\nfrom netinv_lite import FitConfig\n"
        "from netinv_lite.models import recipes as shipping\n"
        "from netinv_lite.__main__ import main\n"
        "shipping.RECIPES['digits'] = ('CNN', {'widths': (4, 4, 4)}, 0, FitConfig(6))\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    command = [str(driver), "fit", "digits", "--no-progress"]
    said = interrupt(command, tmp_path / "cut", "runs/digits-0.safetensors")
    assert said.startswith("stopped: Ctrl-C; kept: ") and " epochs, in runs" in said
    assert said.endswith("To go on: python -m netinv_lite fit digits --no-progress")
    done = read_tensors(tmp_path / "cut/runs/digits-0.safetensors")[1]["epoch"]
    assert 1 <= done < 6
    for name in ("cut", "whole"):
        assert "6 epochs" in finish(command, tmp_path / name)
    cut, whole = (
        load_file(tmp_path / name / "weights/digits.safetensors") for name in ("cut", "whole")
    )
    assert all(torch.equal(cut[key], whole[key]) for key in whole)


def test_interrupted_without_save_says_that_nothing_is_kept(here, capsys, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "invert_one", stopped)
    assert main(["invert", "digits", "--out", "grid.png"]) == 130
    said = capsys.readouterr().err
    assert "nothing is kept, because --save FILE was not given" in said and said.count("\n") == 1
