from .classifiers import load_classifier, load_judge
from .data import load_data
from .training import FitConfig, fit
