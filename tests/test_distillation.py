"""A student of inverted images learns from its teacher, and nobody else is changed."""

from dataclasses import replace

import pytest
import torch

import netinv_lite as nil
from helpers import QUICK, assert_same, invert, seeded, snapshot, tiny_cnn
from netinv_lite.applications.distillation import DistillConfig, distill, teach

FEW = DistillConfig(steps=4, batch_size=8)


@pytest.fixture(scope="module")
def inversion():
    return invert(tiny_cnn(), replace(QUICK, steps=3))


def learn(inversions, student=None, config=FEW, **settings):
    student = tiny_cnn(seed=9) if student is None else student
    return distill(inversions, student, config=config, progress=False, **settings)


@pytest.mark.slow
def test_a_student_of_digits_reads_real_digits():
    teacher, data = nil.load_classifier("digits"), nil.load_data("digits")
    loss, config = nil.PRESETS["readable"]
    inversion = nil.invert(
        teacher, loss=loss, config=replace(config, steps=120), seed=0, device="cpu", progress=False
    )
    fresh = seeded(nil.CNN, data.image_shape, 10, widths=(8, 16, 32))
    student = learn(inversion, fresh, DistillConfig(steps=150, batch_size=64))

    def accuracy(model):
        return nil.metrics.inversion_accuracy(model, data.x_test, data.y_test)

    assert accuracy(fresh) < 0.3, "the student given has not been trained"
    assert accuracy(student) > 0.5


def test_it_comes_nearer_to_its_teacher(inversion):
    x = torch.cat([inversion.sample(8, seed=s)[0] for s in range(4)])

    def divergence(student):
        wanted = nil.metrics.logits(inversion.classifier, x).softmax(1)
        return nil.metrics.conditional_kl(student, x, wanted)

    longer = DistillConfig(steps=150, batch_size=16, temperature=1.0, shift=0)
    assert divergence(learn(inversion, config=longer)) < 0.5 * divergence(tiny_cnn(seed=9))


def first_weights(model):
    return next(model.parameters())


def test_teacher_student_generator_and_random_state_are_left_alone(inversion):
    student = tiny_cnn(seed=9)
    before = [snapshot(m) for m in (inversion.classifier, student, inversion.generator)]
    state = torch.get_rng_state()
    learned = learn(inversion, student)
    after = [snapshot(m) for m in (inversion.classifier, student, inversion.generator)]
    assert_same(before, after)
    assert torch.equal(state, torch.get_rng_state()) and not learned.training
    assert not torch.equal(first_weights(learned), first_weights(student))


def test_same_seed_same_student(inversion):
    one, again, other = (learn(inversion, seed=s) for s in (1, 1, 2))
    assert_same(one.state_dict(), again.state_dict())
    assert not torch.equal(first_weights(one), first_weights(other))


def test_every_step_is_told_and_can_stop(inversion):
    seen = []

    def keep(step, row, student):
        seen.append((step, row["loss"], student.training))

    learned = learn(inversion, on_step=keep)
    assert [step for step, _, _ in seen] == [1, 2, 3, 4] and all(t for _, _, t in seen)
    assert all(loss > 0 for _, loss, _ in seen)
    assert_same(learn(inversion).state_dict(), learned.state_dict())

    def stop(step, row, student):
        raise KeyboardInterrupt

    with pytest.raises(nil.Interrupted, match="student so far") as stopped:
        learn(inversion, on_step=stop)
    assert not stopped.value.inversion.training


def test_noise_teaches_less_than_real_images():
    teacher, data = nil.load_classifier("digits"), nil.load_data("digits")
    fresh = seeded(nil.CNN, data.image_shape, 10, widths=(8, 16, 32))
    config = DistillConfig(steps=60, batch_size=64)

    def accuracy(source):
        student = teach(teacher, source, fresh, config=config, progress=False)
        return nil.metrics.inversion_accuracy(student, data.x_test, data.y_test)

    noise = accuracy(lambda n: 2 * torch.rand(n, *data.image_shape) - 1)
    real = accuracy(lambda n: data.x_train[torch.randint(len(data.x_train), (n,))])
    assert real > 0.8 > noise + 0.2


def test_copies_of_a_classifier_are_one_teacher(inversion):
    twin = invert(tiny_cnn(), replace(QUICK, steps=3))  # as on a GPU, where each has its copy
    assert twin.classifier is not inversion.classifier
    assert_same(learn([inversion, twin]).state_dict(), learn([inversion, inversion]).state_dict())


def test_wrong_calls(inversion):
    with pytest.raises(ValueError, match="at least one"):
        learn([])
    with pytest.raises(ValueError, match="different classifiers"):
        learn([inversion, invert(tiny_cnn(seed=3))])
    with pytest.raises(ValueError, match="teacher with 4"):
        learn(inversion, tiny_cnn(num_classes=3))
    with pytest.raises(ValueError, match="temperature=0"):
        DistillConfig(temperature=0)
    with pytest.raises(ValueError, match="steps='many'"):
        DistillConfig(steps="many")
