"""Processes of torch.distributed: gloo between CPUs, NCCL between GPUs."""

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta

import torch
from torch import distributed

from metaspec.errors import UnsupportedError
from metaspec.task import Array


def process() -> tuple[int, int]:
    """Return rank and world size where `init_process_group` was called."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


def check_whole(leaves: Iterable[Array]) -> None:
    """Raise UnsupportedError where one is a DTensor, which the ranks hold together."""
    if any(hasattr(leaf, "full_tensor") for leaf in leaves):
        raise UnsupportedError(
            "all_reduce: a leaf is a DTensor, spread over the ranks, which therefore compute each task together; ranks "
            "that share tasks out need whole parameters. Call batch_meta_gradient on all tasks in every rank, without "
            "distributed=True, and step an optimiser of your own"
        )


def sum_vector(x: Array) -> Array:
    """Return the sum of x over all ranks, on x's device."""
    nccl = distributed.get_backend() == "nccl"
    total = x.cuda() if nccl else x.detach().cpu().clone()  # NCCL reduces on GPUs alone, gloo on CPUs
    if nccl and total is x:
        total = x.detach().clone()
    distributed.all_reduce(total)
    return total.to(x.device)


@contextmanager
def joined(timeout: float) -> Iterator[None]:
    """Join the processes that torchrun has started: where it has set RANK and WORLD_SIZE."""
    if distributed.is_initialized() or not {"RANK", "WORLD_SIZE"} <= os.environ.keys():
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())
    engine = "nccl" if torch.cuda.is_available() else "gloo"
    distributed.init_process_group(engine, timeout=timedelta(seconds=timeout))
    yield
    distributed.destroy_process_group()  # not after an error: it would wait for ranks that have ended
