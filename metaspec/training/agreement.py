"""What the ranks of a training must have in common: set-up, data and parameters, compared by digests."""

import json
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import metaspec
from metaspec.backend.protocol import Backend
from metaspec.errors import RankError
from metaspec.ranks import RankGroup
from metaspec.ranks.watch import GO_ON
from metaspec.task import Tree
from metaspec.training import checkpoint
from metaspec.training.describe import described, differences


def agree(ranks: RankGroup, what: str, make: Callable[[], Any]) -> None:
    """Raise RankError in all ranks, with what differs, unless `make` gives equal JSON in all of them."""
    if ranks.count == 1:
        return
    odd = ranks.odd_one_out(json.dumps(make(), sort_keys=True))
    if odd is not None:
        rank, first, own = odd
        lines = differences(json.loads(first), json.loads(own), words=("is", "in rank 0 and"))
        raise RankError(f"rank {rank} of {ranks.count} has other {what} than rank 0: {'; '.join(lines[:5])}. {GO_ON}")


def with_versions(B: Backend, setup: dict[str, Any]) -> dict[str, Any]:
    """Return a description with the versions that its numbers depend on."""
    return {"metaspec": metaspec.__version__, "backend": B.name, "versions": dict(B.versions()), **setup}


def agree_on_parameters(ranks: RankGroup, params: Tree, steps: int) -> None:
    """Raise RankError in all ranks unless their parameters are equal to the bit."""

    def make() -> Any:
        leaves = ranks.B.tree_flatten(params)[0]
        return dict(zip(ranks.B.tree_paths(params), [described(ranks.B.to_numpy(x)) for x in leaves], strict=True))

    agree(ranks, f"parameters after {steps} steps", make)


def checkpoint_of_first(ranks: RankGroup, stored: checkpoint.Stored | None) -> checkpoint.Stored | None:
    """Return in all ranks the checkpoint that rank 0 has read."""
    if ranks.count == 1:
        return stored
    sent = []
    for name in (checkpoint.DESCRIPTION, checkpoint.ARRAYS):
        content = (stored.path / name).read_bytes() if stored is not None else b""
        sent.append(ranks.broadcast(content))
    path = Path(ranks.broadcast(str(stored.path).encode() if stored is not None else b"").decode())
    if ranks.first or not sent[0]:
        return stored
    with TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        copy.mkdir()
        for name, content in zip((checkpoint.DESCRIPTION, checkpoint.ARRAYS), sent, strict=True):
            (copy / name).write_bytes(content)
        return checkpoint.read(copy)
