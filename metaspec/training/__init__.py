"""Meta-training and meta-testing: the outer loop around `batch_meta_gradient`."""

from metaspec.training.evaluate import Estimate, Report, meta_test
from metaspec.training.loop import Progress, Run, StepRecord, meta_train, training_steps
from metaspec.training.optimizers import SGD, Adam

__all__ = [
    "SGD",
    "Adam",
    "Estimate",
    "Progress",
    "Report",
    "Run",
    "StepRecord",
    "meta_test",
    "meta_train",
    "training_steps",
]
