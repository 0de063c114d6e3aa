"""Sources of tasks: NumPy alone, the same to the bit under every backend, each task a pure function of its index."""

from metaspec.data.download import download_omniglot
from metaspec.data.errors import DataCorruptError, DataNotFoundError, DownloadError
from metaspec.data.fewshot import FewShot
from metaspec.data.images import LabelledImages, split_classes
from metaspec.data.omniglot import OmniglotSplit, load_omniglot, omniglot_tasks
from metaspec.data.sinusoid import Sinusoid
from metaspec.data.source import TaskSource

__all__ = [
    "DataCorruptError",
    "DataNotFoundError",
    "DownloadError",
    "FewShot",
    "LabelledImages",
    "OmniglotSplit",
    "Sinusoid",
    "TaskSource",
    "download_omniglot",
    "load_omniglot",
    "omniglot_tasks",
    "split_classes",
]
