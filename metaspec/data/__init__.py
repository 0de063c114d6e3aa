"""Sources of tasks: NumPy alone, the same to the bit under every backend, each task a pure function of its index."""

from metaspec.data.digits import digits_tasks, load_digits
from metaspec.data.download import download_omniglot
from metaspec.data.errors import DataCorruptError, DataNotFoundError, DownloadError
from metaspec.data.fewshot import FewShot
from metaspec.data.folder import load_image_folder
from metaspec.data.foreign_datasets import from_dataset
from metaspec.data.images import LabelledImages, split_classes
from metaspec.data.mixture import FunctionMixture
from metaspec.data.mnist1d import load_mnist1d, mnist1d_tasks
from metaspec.data.omniglot import OmniglotSplit, load_omniglot, omniglot_tasks
from metaspec.data.sinusoid import Sinusoid
from metaspec.data.source import TaskSource
from metaspec.data.table import TableColumns, tumour_tasks
from metaspec.data.variants import affine_classes
from metaspec.data.within_alphabet import WithinAlphabet
from metaspec.errors import tell_nearest

__all__ = [
    "DataCorruptError",
    "DataNotFoundError",
    "DownloadError",
    "FewShot",
    "FunctionMixture",
    "LabelledImages",
    "OmniglotSplit",
    "Sinusoid",
    "TableColumns",
    "TaskSource",
    "WithinAlphabet",
    "affine_classes",
    "digits_tasks",
    "download_omniglot",
    "from_dataset",
    "load_digits",
    "load_image_folder",
    "load_mnist1d",
    "load_omniglot",
    "mnist1d_tasks",
    "omniglot_tasks",
    "split_classes",
    "tumour_tasks",
]

tell_nearest(__name__)
