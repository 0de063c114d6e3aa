"""Processes of MPI, through mpi4py: an engine is there once `mpi4py.MPI` was imported."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy

from metaspec.errors import LibraryMissingError
from metaspec.task import Array

LAUNCHERS = ("PMI_SIZE", "PMIX_RANK", "OMPI_COMM_WORLD_SIZE", "MPI_LOCALNRANKS")  # what mpiexec sets


def process() -> tuple[int, int]:
    """Return rank and size of COMM_WORLD where mpi4py.MPI was imported."""
    MPI: Any = sys.modules.get("mpi4py.MPI")
    if MPI is None or not MPI.Is_initialized() or MPI.Is_finalized():
        return 0, 1
    return MPI.COMM_WORLD.Get_rank(), MPI.COMM_WORLD.Get_size()


def sum_vector(x: Array) -> Array:
    """Return the sum of x over all ranks."""
    from mpi4py import MPI

    total = numpy.array(x)
    MPI.COMM_WORLD.Allreduce(MPI.IN_PLACE, total)
    return total


@contextmanager
def joined(timeout: float) -> Iterator[None]:
    """Join the processes that mpiexec has started; an error of one ends all, as none could finalise alone."""
    if not any(name in os.environ for name in LAUNCHERS):
        yield
        return
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise LibraryMissingError(
            f"mpiexec: NumPy's processes are joined by mpi4py with an MPI library, which cannot be imported ({error}); "
            "run: pip install 'metaspec[mpi]' mpich"
        ) from None
    assert MPI.Is_initialized()
    yield
