"""The same results on a GPU as on the CPU, within rounding; skipped where there is none."""

import pytest
import torch

import netinv_lite as nil
from helpers import quadrants, tiny_cnn, tiny_mlp

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="PyTorch sees no CUDA device here"),
]
QUICK = nil.InversionConfig(steps=5, batch_size=16, latent_dim=18, width=8, dropout=0.0)
DEVICES = ("cpu", "cuda")


def inverted(device, **settings):
    return nil.invert(tiny_cnn(), config=QUICK, device=device, progress=False, **settings)


@pytest.mark.parametrize("preset", ["paper", "readable", "typical"])
def test_an_inversion_draws_the_same_numbers(preset):
    cpu, gpu = (inverted(device, loss=nil.PRESETS[preset].loss) for device in DEVICES)
    assert gpu.device.type == "cuda"
    for name, values in cpu.history.items():
        assert gpu.history[name] == pytest.approx(values, rel=1e-2, abs=1e-2), name
    torch.testing.assert_close(cpu.sample(2)[0], gpu.sample(2)[0], rtol=0.05, atol=0.05)
    images, labels = gpu.sample(2, choose_from=2)
    assert images.device.type == "cpu" and len(images) == len(labels) == 2 * gpu.num_classes


def test_sixteen_bits():
    config = nil.InversionConfig(steps=5, batch_size=16, latent_dim=18, width=8, bfloat16=True)
    made = nil.invert(tiny_cnn(), config=config, device="cuda", progress=False)
    assert torch.isfinite(made.sample(2)[0]).all()


def test_a_checkpoint_moves_between_devices(tmp_path):
    file = tmp_path / "run.safetensors"
    config = nil.InversionConfig(steps=60, batch_size=8, latent_dim=18, width=8)

    def stop(step, *_):
        if step == 55:
            raise KeyboardInterrupt

    about = {"config": config, "checkpoint": file, "progress": False}
    with pytest.raises(nil.Interrupted):
        nil.invert(tiny_cnn(), device="cuda", on_step=stop, **about)
    steps = []
    nil.invert(tiny_cnn(), device="cpu", on_step=lambda step, *_: steps.append(step), **about)
    assert steps[0] == 51


@pytest.mark.parametrize("together", [False, True])
def test_several_at_once(together):
    many = nil.invert_many(
        tiny_cnn(), [0, 1], config=QUICK, device="cuda", progress=False, together=together
    )
    assert all(one.device.type == "cuda" for one in many)
    assert not torch.equal(many[0].sample(1)[0], many[1].sample(1)[0])


def test_pixels_climb_and_descend():
    for method in (nil.baselines.pixel_ascent, nil.baselines.pixel_descent):
        made = method(tiny_cnn(), device="cuda", progress=False)
        images, _ = made.sample(2)
        assert images.device.type == "cpu" and torch.isfinite(images).all()
        assert 0 <= made.accuracy(16) <= 1


def test_direct_inversion(tmp_path):
    config = nil.direct.DirectConfig(steps=4, joint=4, batch_size=8, width=8)
    inverse = nil.direct.invert_layers(tiny_cnn(), config=config, device="cuda", progress=False)
    table = inverse.report(n=8)
    assert (table["psnr"] > 0).all()
    a = inverse.representations(torch.zeros(2, 1, 12, 12).cuda())[-1]
    for way in (inverse, inverse.corrected, inverse.refined):
        assert way(a).device.type == "cuda"
    path = inverse.save(tmp_path / "i.safetensors")
    again = nil.direct.LayerwiseInverse.load(path, tiny_cnn(), device="cpu")
    torch.testing.assert_close(again(a.cpu()), inverse(a).cpu(), rtol=1e-2, atol=1e-2)


def test_out_of_distribution_detection():
    data = quadrants()
    config = nil.ood.ExclusionConfig(epochs=3, excluded=16, batch_size=16, inversion=QUICK)
    network = nil.CNN(data.image_shape, 4, widths=(8, 16))
    found = nil.ood.train_with_exclusion(
        data, network, config=config, device="cuda", progress=False
    )
    assert found.score(data.x_test).device.type == "cpu"
    assert len(found.history["loss"]) == 3


def test_reconstruction():
    config = nil.reconstruction.StationaryConfig(steps=5)
    cpu, gpu = (
        nil.reconstruction.stationary(
            tiny_mlp(), config=config, image_shape=(1, 8, 8), device=device, progress=False
        )
        for device in DEVICES
    )
    torch.testing.assert_close(cpu.images, gpu.images, rtol=1e-2, atol=1e-2)


def test_metrics_of_images_on_either_device():
    model, x, k = tiny_cnn(), 2 * torch.rand(12, 1, 12, 12) - 1, torch.arange(12) % 4
    on_gpu = tiny_cnn().cuda()
    for one, images in ((on_gpu, x), (on_gpu, x.cuda()), (model, x.cuda())):
        logits = nil.metrics.logits(one, images)
        assert logits.device == images.device
        torch.testing.assert_close(logits.cpu(), nil.metrics.logits(model, x), rtol=1e-3, atol=1e-3)
        f = nil.metrics.features(one, images)
        assert nil.metrics.vendi_score(f) > 1
        assert nil.metrics.inversion_accuracy(one, images, k.to(images.device)) <= 1
        assert set(nil.metrics.prdc(f, f, k=2)) == {"precision", "recall", "density", "coverage"}
        assert nil.metrics.confusion(one, images, k).shape == (4, 4)


def test_matching_and_the_privacy_test():
    x = torch.rand(6, 1, 12, 12).cuda()
    assert len(nil.privacy.matched(x, x).ssim) == 6
    assert 0 <= nil.privacy.privacy_test(x, x, x.flip(0)).auc <= 1


def test_training(tmp_path):
    data, model = quadrants(), nil.CNN((1, 8, 8), 3, widths=(8, 16)).cuda()
    history = nil.fit(
        model,
        data,
        config=nil.FitConfig(epochs=2, batch_size=16),
        progress=False,
        checkpoint=tmp_path / "fit.safetensors",
    )
    assert len(history["loss"]) == 2 and next(model.parameters()).is_cuda
