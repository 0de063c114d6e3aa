"""One rank of two, over a backend's own engine: python -m tests.ranks.engine_rank BACKEND FOLDER [RANK PORT].

Writes what it found to FOLDER/rank0.json and rank1.json. In float64, where the ranks' means and those of one process
agree to rounding.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np

import metaspec as ms
from metaspec.data import Sinusoid
from metaspec.nn import MLP, tanh
from metaspec.training import Checkpoints, Evaluation

NET = MLP((1, 4, 1), activation=tanh)
ALGO = ms.FOMAML(ms.GradientDescent(0.05, 1))  # what is quickest to compile
SOURCE = Sinusoid(shots=3, queries=3, dtype="float64")


def initialised(name, rank, port, ranks=2, **jax_options):
    """What a user's own script does before it calls metaspec; torchrun and mpiexec set the rest."""
    if name == "torch":
        os.environ |= {"RANK": rank, "WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    if name == "jax":
        import jax

        where = (f"127.0.0.1:{port}", ranks, int(rank))
        jax.distributed.initialize(*where, cluster_detection_method="deactivate", **jax_options)
    if name == "tensorflow":
        workers = [f"127.0.0.1:{int(port) + index}" for index in range(ranks)]
        task = {"type": "worker", "index": int(rank)}
        os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": workers}, "task": task})


def error(B, tree, expected):
    """The largest error of a leaf, norm-wise."""
    leaves = [[B.to_numpy(leaf) for leaf in B.tree_flatten(x)[0]] for x in (tree, expected)]
    return max(float(np.linalg.norm(x - y) / np.linalg.norm(y)) for x, y in zip(*leaves, strict=True))


def gradients(B, index):
    """Ragged shares against one process; then rank 1's task is broken."""
    params = ms.asarray(NET.init(0, "float64"), backend=B)
    tasks = ms.asarray([SOURCE.task(i) for i in range(5)], backend=B)
    share = tasks[:2] if index == 0 else tasks[2:]
    r = ms.batch_meta_gradient(ALGO, NET.loss, params, share, distributed=True, backend=B)
    alone = ms.compile(lambda params, tasks: ms.batch_meta_gradient(ALGO, NET.loss, params, tasks), backend=B)
    whole = alone(params, tasks)
    said = {"delta": error(B, r.delta, whole.delta), "loss": error(B, r.query_loss, whole.query_loss)}
    ops = {op: B.to_numpy(B.all_reduce({"i": B.asarray(float(index))}, op)["i"]) for op in ("sum", "max", "min")}
    said["ops"] = {op: float(value) for op, value in ops.items()}
    if index == 1:
        share[0].query["y"] = share[0].query["y"] * float("nan")
    try:
        ms.batch_meta_gradient(ALGO, NET.loss, params, share, distributed=True, backend=B)
    except ms.MetaspecError as raised:
        said["broken"] = f"{type(raised).__name__}: {raised}"
    return said


def training(B, folder):
    """A training and its like in this process alone."""

    def train(**options):
        return ms.meta_train(ALGO, NET.loss, NET.init(0, "float64"), SOURCE, steps=4, tasks_per_step=5, check=False,
            evaluation=Evaluation(SOURCE, every=2, tasks=4, tasks_per_batch=2), backend=B, **options)  # fmt: skip

    run, alone = train(checkpoints=Checkpoints(folder / "checkpoints", every=2)), train(distributed=False)
    params = {name: B.to_numpy(leaf).tobytes().hex() for name, leaf in run.params.items()}
    goals = [[judged.goal for judged in r.evaluations] for r in (run, alone)]
    return {"params": params, "error": error(B, run.params, alone.params), "goals": goals}


def main(name, folder, rank="", port=""):
    initialised(name, rank, port)
    B = ms.get_backend(name)
    with B.joined(60), B.precision("float64"):
        index, count = B.process()
        said = {"count": count, **gradients(B, index), **training(B, folder)}
        (folder / f"rank{index}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
