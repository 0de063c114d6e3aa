"""The ranks of a computation: what they tell one another beside sums."""

import hashlib
import json
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Literal

import numpy

from metaspec.backend.protocol import Backend
from metaspec.errors import InvalidArgumentError, MetaspecError, RankError
from metaspec.ranks.watch import GO_ON, GRACE, Watch, accepted, connected, listening
from metaspec.task import Tree

Distributed = Literal["auto"] | bool
TIMEOUT = 300.0  # seconds that others wait for a rank: longer than one compiles


@dataclass(frozen=True)
class RankGroup:
    """The processes that compute together, seen from one of them.

    Attributes:
        B: The backend, whose engine joins them.
        index: This process's rank.
        count: The number of ranks.
        watch: Tells who has failed; None where there is one rank, or nobody watches.
    """

    B: Backend
    index: int = 0
    count: int = 1
    watch: Watch | None = None

    @property
    def first(self) -> bool:
        """Return whether this is rank 0, which writes, prints and calls callbacks."""
        return self.index == 0

    def all_reduce(self, tree: Tree, op: str = "sum") -> Tree:
        """Reduce over the ranks, by `Backend.all_reduce`, and wait for the result.

        Raises:
            RankError: A rank has failed; the message names it.
        """
        if self.count == 1:
            return self.B.all_reduce(tree, op)
        if self.watch is not None and self.watch.failure:
            raise RankError(self.watch.failure)
        with nullcontext() if self.watch is None else self.watch.waiting():
            try:
                result = self.B.all_reduce(tree, op)
                self.B.to_numpy(min(self.B.tree_flatten(result)[0], key=lambda leaf: len(leaf.shape)))
            except MetaspecError:
                raise
            except Exception as error:
                known = "" if self.watch is None else self.watch.fault(GRACE)
                ranks = ", ".join(str(rank) for rank in range(min(self.count, 9)) if rank != self.index)
                unknown = f"rank {self.index} of {self.count} has lost another ({ranks}): {error}. {GO_ON}"
                raise RankError(known or unknown) from error
        return result

    def table(self, row: Any) -> Any:
        """Return the NumPy array of every rank's row of integers, which have one length."""
        rows = numpy.zeros((self.count, len(row)), "int32")
        rows[self.index] = row
        return self.B.to_numpy(self.all_reduce([self.B.asarray(rows)])[0])

    def union(self, values: Any) -> Any:
        """Return the NumPy array of float64 that the ranks have filled in together: each entry is zero but in one."""
        if self.count == 1:
            return values
        words = self.B.to_numpy(self.all_reduce([self.B.asarray(values.view("int32"))])[0])  # bits, in any format
        return numpy.ascontiguousarray(words).view("float64")

    def broadcast(self, content: bytes, source: int = 0) -> bytes:
        """Return the bytes that the rank `source` has; the others' are not looked at."""
        mine = content if self.index == source else b""
        size = int(self.table([len(mine)])[source, 0])
        words = numpy.zeros(-(-max(size, 1) // 4), "int32")
        if mine:
            words.view("uint8")[:size] = numpy.frombuffer(mine, "uint8")
        whole = self.B.to_numpy(self.all_reduce([self.B.asarray(words)])[0])
        return numpy.ascontiguousarray(whole).view("uint8")[:size].tobytes()

    def odd_one_out(self, text: str) -> tuple[int, str, str] | None:
        """Return the first rank whose text is not that of rank 0, with rank 0's and its own; None where all agree."""
        if self.count == 1:
            return None
        digests = self.table(numpy.frombuffer(hashlib.sha256(text.encode()).digest(), "int32"))
        others = numpy.flatnonzero((digests != digests[0]).any(axis=1))
        if not others.size:
            return None
        odd = int(others[0])
        return odd, self.broadcast(text.encode()).decode(), self.broadcast(text.encode(), odd).decode()


_active: ContextVar[RankGroup | None] = ContextVar("metaspec_ranks", default=None)


def current(B: Backend) -> RankGroup:
    """Return the group that this is called in; else that of B's engine, which nobody watches."""
    active = _active.get()
    return active if active is not None and active.B is B else RankGroup(B, *B.process())


@contextmanager
def together(B: Backend, timeout: float = TIMEOUT) -> Iterator[RankGroup]:
    """Enter the group of the ranks that B's engine has joined; within it again, the group that is there.

    An error that leaves the block is told to all ranks, which then raise RankError in their next reduction.

    Args:
        B: The backend.
        timeout: Seconds that others wait for a rank before it is said to hang.

    Raises:
        RankError: A rank cannot reach rank 0.
    """
    active = _active.get()
    if active is not None and active.B is B:
        yield active
        return
    index, count = B.process()
    if count == 1:
        yield RankGroup(B)
        return
    group = _watched(RankGroup(B, index, count), timeout)
    assert group.watch is not None
    token = _active.set(group)
    try:
        yield group
    except BaseException as error:
        group.watch.leave(error)
        raise
    else:
        group.watch.leave()
    finally:
        _active.reset(token)


def ranks_for(B: Backend, distributed: Any, caller: str, timeout: float = TIMEOUT) -> AbstractContextManager[RankGroup]:
    """Return the context of the group that takes part: as `distributed` of `meta_train` says.

    Raises:
        InvalidArgumentError: True, and the engine has joined no processes; something else.
    """
    if distributed is False:
        return nullcontext(RankGroup(B))
    if distributed is True and B.process()[1] == 1:
        raise InvalidArgumentError(
            f"{caller}: distributed=True, and the engine of backend {B.name!r} has joined one process: initialise it "
            "first, as docs/scale.md shows, or leave distributed out"
        )
    if distributed is not True and distributed != "auto":
        raise InvalidArgumentError(f'{caller}: distributed must be "auto", True or False, got {distributed!r}')
    return together(B, timeout)


def _watched(group: RankGroup, timeout: float) -> RankGroup:
    local = group.odd_one_out(socket.gethostname()) is None
    listener, address = listening(local) if group.first else (None, {})
    address = json.loads(group.broadcast(json.dumps(address).encode()))
    peers = accepted(listener, address["token"], group.count) if listener else connected(address, group.index)
    present = {peer.rank for peer in peers.values()} if group.first else set()
    came = group.table([rank in present or rank == 0 for rank in range(group.count)])[0]
    if not came.all():
        raise RankError(
            f"rank {int(numpy.flatnonzero(came == 0)[0])} of {group.count} cannot reach rank 0 at "
            f"{address['hosts'][0]}, port {address['port']}: ranks watch one another over TCP; "
            f"let them through. {GO_ON}"
        )
    return RankGroup(group.B, group.index, group.count, Watch(group.index, group.count, timeout, peers))
