"""Meta-training and meta-testing: the outer loop around `batch_meta_gradient`."""

from metaspec.training.evaluate import Estimate, Report, meta_test
from metaspec.training.loop import Run, StepRecord, meta_train
from metaspec.training.optimizers import SGD, Adam

__all__ = ["SGD", "Adam", "Estimate", "Report", "Run", "StepRecord", "meta_test", "meta_train"]
