"""Every public function with its defaults, on a shipped network: the result, not only the return.

What an option costs to leave out is what most users pay; a default that nobody tries goes bad.
"""

import math
import warnings

import pytest
import torch

import netinv_lite as nil


@pytest.fixture(scope="module")
def classifier():
    return nil.load_classifier("digits")


@pytest.fixture(scope="module")
def judge():
    return nil.load_judge("digits")


@pytest.fixture(scope="module")
def digits():
    return nil.load_data()


@pytest.fixture(scope="module")
def inversion(classifier):
    return nil.invert(classifier, progress=False)


@pytest.fixture(scope="module")
def readable(classifier):
    return nil.invert(classifier, preset="readable", progress=False)


# ---- networks and data ------------------------------------------------------------------------


def test_the_default_network_its_judge_and_referee_read_digits(digits):
    for load in (nil.load_classifier, nil.load_judge, nil.load_referee):
        # Of mnist: these digits, enlarged from 8 pixels, are others than it learned.
        assert nil.models.accuracy(load(), digits.x_test, digits.y_test) > 0.25, load.__name__
    for load in (nil.load_classifier, nil.load_judge, nil.load_referee):
        assert nil.models.accuracy(load("digits"), digits.x_test, digits.y_test) > 0.95


def test_fit_learns_the_digits(digits):
    model = nil.CNN()
    history = nil.fit(model, digits, progress=False)
    assert history["accuracy"][-1] > 0.9
    assert nil.models.accuracy(model, digits.x_test, digits.y_test) > 0.9


def test_a_gan_draws_what_a_judge_takes_for_digits(digits, judge):
    gan = nil.models.DCGAN()
    x = nil.models.gan_recipes.framed(digits.x_train)
    nil.models.fit_gan(gan, x, progress=False)
    with torch.no_grad():
        made = nil.models.gan_recipes.unframed(gan(gan.latents(200)))
    noise = torch.rand_like(made) * 2 - 1
    near = nil.metrics.prdc(
        nil.metrics.features(judge, digits.x_test), nil.metrics.features(judge, made)
    )
    far = nil.metrics.prdc(
        nil.metrics.features(judge, digits.x_test), nil.metrics.features(judge, noise)
    )
    assert near["coverage"] > far["coverage"] + 0.1


# ---- inversion ----------------------------------------------------------------------------------


def test_an_inversion_is_read_as_asked(inversion, classifier):
    assert inversion.accuracy() > 0.97
    images, labels = inversion.sample()
    assert images.shape == (100, 1, 28, 28) and labels.tolist() == sorted(labels.tolist())
    assert nil.metrics.inversion_accuracy(classifier, images, labels) > 0.95
    assert inversion.images(torch.eye(10)).shape == (10, 1, 28, 28)


def test_the_readable_preset_is_read_by_the_judge_too(readable, inversion, judge):
    shares = [nil.metrics.judge_accuracy(judge, *one.sample()) for one in (readable, inversion)]
    assert shares[0] > 0.9 > shares[1]


def test_the_typical_preset_is_read_by_the_judge_too(classifier, judge):
    made = nil.invert(classifier, preset="typical", progress=False)
    assert nil.metrics.judge_accuracy(judge, *made.sample(choose_from=4)) > 0.9


def test_several_inversions_differ(classifier, inversion):
    (other,) = nil.invert_many(classifier, [1], progress=False)
    assert other.accuracy() > 0.97
    apart = (other.sample(1)[0] - inversion.sample(1)[0]).abs().mean()
    assert apart > 0.05


def test_a_user_s_network_in_a_range_of_its_own(digits):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(784, 10))
    adam = torch.optim.Adam(model.parameters(), 1e-2)
    x = (digits.x_train + 1) / 2
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(model(x), digits.y_train)
        adam.zero_grad()
        loss.backward()
        adam.step()
    made = nil.invert(model, image_shape=(1, 28, 28), progress=False)
    images, _ = made.sample()
    assert made.accuracy() > 0.97 and images.min() >= 0 and images.max() <= 1


# ---- baselines ----------------------------------------------------------------------------------


def test_pixel_ascent_is_sure_of_every_image(classifier):
    ascent = nil.baselines.pixel_ascent(classifier, progress=False)
    images, labels = ascent.sample()
    assert nil.metrics.inversion_accuracy(classifier, images, labels) == 1
    assert nil.metrics.confidence(classifier, images, labels) > 0.99


def test_deep_inversion_has_the_statistics_of_training_data(classifier):
    images, labels = nil.baselines.pixel_descent(classifier, progress=False).sample()
    assert nil.metrics.inversion_accuracy(classifier, images, labels) > 0.95
    noise = torch.rand_like(images) * 2 - 1
    distances = []
    for x in (images, noise):
        with nil.frozen(classifier), nil.batch_statistics(classifier) as found:
            classifier(x)
        distances.append(torch.stack(found).mean())
    assert distances[0] < distances[1] / 2


def test_dafl_draws_every_class(classifier):
    images, labels = nil.baselines.dafl(classifier, progress=False).sample(2)
    assert nil.metrics.inversion_accuracy(classifier, images, labels) == 1
    assert labels.unique().tolist() == list(range(10))


# ---- direct inversion ---------------------------------------------------------------------------


def test_direct_inversion_gives_back_what_the_networks_read(classifier, judge, digits):
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # a stage that brings nothing says so
        inverse = nil.direct.invert_layers(classifier, progress=False)
    x = digits.x_test
    table = inverse.report(x)
    assert table["agreement"].iloc[-1] > 0.95 and (table["agreement"] > 0.9).all()
    with torch.no_grad():
        a = inverse.representations(x)[-1]
        for way in (inverse, inverse.corrected, inverse.refined):
            read = [judge(one).argmax(1) for one in (way(a), x)]
            assert (read[0] == read[1]).float().mean() > 0.85, way
    assert table["psnr"].iloc[0] > 20 and table["psnr"].iloc[0] == table["psnr"].max()


def test_the_cost_of_direct_inversion_is_counted(classifier):
    table = nil.direct.estimate(classifier)
    assert (table["gflop"] > 0).all() and table["stage"].iloc[-1] == "joint"


# ---- applications -------------------------------------------------------------------------------


def test_a_detector_throws_away_what_is_no_digit(digits):
    found = nil.ood.train_with_exclusion(digits, progress=False)
    assert (found.predict(digits.x_test) == digits.y_test).float().mean() > 0.9
    noise = 2 * torch.rand(200, 1, 28, 28) - 1
    separated = nil.ood_scores.separation(found.score(digits.x_test), found.score(noise))
    assert separated["auroc"] > 0.95


def test_scores_of_others_and_of_pixels(classifier, digits):
    scores = nil.ood_scores.Baselines(classifier, digits.x_train, digits.y_train)
    noise = 2 * torch.rand(200, 1, 28, 28) - 1
    inside, outside = scores(digits.x_test), scores(noise)
    auroc = {n: nil.ood_scores.separation(inside[n], outside[n])["auroc"] for n in inside}
    assert min(auroc.values()) > 0.9, auroc
    pixels = nil.ood_scores.Pixels(digits.x_train)
    assert nil.ood_scores.separation(pixels(digits.x_test), pixels(noise))["auroc"] > 0.99


def test_a_student_learns_from_inverted_images_alone(readable, digits):
    learned = nil.distillation.distill(readable, nil.MLP(), progress=False)
    assert nil.models.accuracy(learned, digits.x_test, digits.y_test) > 0.5


def test_images_explain_the_weights_that_they_made():
    train, unseen, *_ = nil.studies.small_networks.halves("digits", seed=0, size=10)
    model, _ = nil.studies.small_networks.trained(
        "digits", 0, False, architecture="mlp", size=10, decay=0.01, defence="none"
    )
    found = nil.reconstruction.stationary(model, progress=False)
    assert found.residual < 0.2
    assert nil.privacy.matched(found.images, train).ssim.mean() > (
        nil.privacy.matched(found.images, unseen).ssim.mean() + 0.1
    )
    assert nil.privacy.privacy_test(found.images, train, unseen).auc > 0.7


def test_no_shortcut_is_found_where_there_is_none_and_one_where_it_is(digits):
    cue = nil.shortcuts.Cue()
    marked = nil.shortcuts.plant(digits, cue, target=3)
    scores = []
    for data in (digits, marked):
        torch.manual_seed(0)
        model = nil.CNN()
        nil.fit(model, data, progress=False)
        scores.append(nil.shortcuts.detect(model))
    assert scores[1].score > scores[0].score
    assert scores[1].matches(cue, 3, digits.image_shape) == (True, True)


# ---- figures ------------------------------------------------------------------------------------


def test_every_figure_draws_and_tells(inversion, readable, classifier, judge):
    images, labels = inversion.sample()
    figures = [
        inversion.plot(),
        nil.plot.image_grid(images, labels, judge=judge),
        nil.plot.compare({"paper": images, "readable": readable.sample()[0]}, labels, judge=judge),
        nil.plot.generators([images, readable.sample()[0]], labels),
        nil.plot.losses(inversion.history),
        nil.plot.confusion(judge, images, labels),
        nil.plot.embedding(nil.metrics.features(judge, images), labels),
        nil.plot.curve([1, 2], {"a": [0, 1]}),
    ]
    assert all(len(figure.alt) > 20 for figure in figures)


def test_measures_of_readable_images(readable, judge, digits):
    images, labels = readable.sample(20)
    f, real = (nil.metrics.features(judge, x) for x in (images, digits.x_test))
    assert 0.1 < nil.metrics.excess_vendi(f, real, labels, digits.y_test) < 3
    assert 1 < nil.metrics.vendi_by_class(f, labels) < nil.metrics.vendi_score(f) < 200
    assert nil.metrics.inter_class_cosine(f, labels) < nil.metrics.intra_class_cosine(f, labels)
    assert all(0 <= x <= 2 and math.isfinite(x) for x in nil.metrics.prdc(real, f).values())
    shares = nil.metrics.confusion(judge, images, labels)
    assert shares.diagonal().mean() > 0.85 and nil.metrics.confidence(judge, images, labels) > 0.8
