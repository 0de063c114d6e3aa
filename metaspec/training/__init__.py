"""Meta-training and meta-testing: the outer loop around `batch_meta_gradient`, and what makes it survive."""

from metaspec.errors import tell_nearest
from metaspec.training.checkpoints import Checkpoints, load_checkpoint, save_checkpoint
from metaspec.training.errors import CheckpointError, DivergedError
from metaspec.training.evaluation import Estimate, Evaluation, EvaluationReport, error_after, loss_after, meta_test
from metaspec.training.loop import meta_train
from metaspec.training.metrics import JsonLines, TensorBoard
from metaspec.training.outer_optimizers import SGD, Adam, AdamW
from metaspec.training.run import Best, Judged, Run, StepRecord
from metaspec.training.schedules import Constant, Cosine, Linear, Piecewise, WarmUp
from metaspec.training.steps import Progress, training_steps
from metaspec.training.trackers import MLflow, WandB

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Best",
    "CheckpointError",
    "Checkpoints",
    "Constant",
    "Cosine",
    "DivergedError",
    "Estimate",
    "Evaluation",
    "EvaluationReport",
    "JsonLines",
    "Judged",
    "Linear",
    "MLflow",
    "Piecewise",
    "Progress",
    "Run",
    "StepRecord",
    "TensorBoard",
    "WandB",
    "WarmUp",
    "error_after",
    "load_checkpoint",
    "loss_after",
    "meta_test",
    "meta_train",
    "save_checkpoint",
    "training_steps",
]

tell_nearest(__name__)
