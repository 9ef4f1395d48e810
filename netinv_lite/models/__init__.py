"""Networks: the book's architectures, those that ship, how they were trained, and one's own."""

from .architectures import CNN, DCGAN, MLP, VGG, ResNet, ResNet20, ViT
from .attacks import pgd
from .external import Normalised, torchvision_network
from .gan import GANConfig, fit_gan
from .gan_recipes import load_gan
from .steps import one_cycle
from .training import FitConfig, accuracy, augment, fit
from .zoo import DEEP, SHIPPED, load_classifier, load_judge, load_referee, save_classifier, shipped

__all__ = [
    "CNN",
    "DCGAN",
    "DEEP",
    "MLP",
    "SHIPPED",
    "VGG",
    "FitConfig",
    "GANConfig",
    "Normalised",
    "ResNet",
    "ResNet20",
    "ViT",
    "accuracy",
    "augment",
    "fit",
    "fit_gan",
    "load_classifier",
    "load_gan",
    "load_judge",
    "load_referee",
    "one_cycle",
    "pgd",
    "save_classifier",
    "shipped",
    "torchvision_network",
]
