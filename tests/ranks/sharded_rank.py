"""One rank of two that hold the parameters together as DTensors: python -m tests.ranks.sharded_rank FOLDER RANK PORT.

Writes FOLDER/rank0.json and rank1.json: each algorithm's error against whole parameters, and what is refused.
"""

import json
import os
import sys
from pathlib import Path

import torch
from torch import distributed, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

import metaspec as ms

INNER = ms.GradientDescent(0.1, 3)
ALGORITHMS = {
    "fomaml": ms.FOMAML(INNER),
    "maml": ms.MAML(INNER),
    "adam": ms.MAML(ms.Adam(0.1, 3)),
    "reptile": ms.Reptile(INNER),
    "imaml": ms.IMAML(INNER, regularization=2.0, solver=ms.ConjugateGradient(steps=5)),
}
SHARDED = {"w1": [Shard(1)], "b1": [Shard(0)], "w2": [Shard(0)]}


def loss(params, batch):
    x, y = batch
    return ((torch.tanh(x @ params["w1"] + params["b1"]) @ params["w2"] - y) ** 2).mean()


def refused(function, *args, **named):
    try:
        function(*args, **named)
    except ms.MetaspecError as raised:
        return f"{type(raised).__name__}: {raised}"
    return ""


def main(folder, rank, port):
    os.environ |= {"RANK": rank, "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    distributed.init_process_group("gloo")
    mesh = init_device_mesh("cpu", (2,))
    draw = torch.Generator().manual_seed(0)

    def drawn(*shape):
        return torch.randn(*shape, dtype=torch.float64, generator=draw)

    def spread(x):
        return distribute_tensor(x, mesh, [Replicate()])

    whole = {"w1": drawn(3, 8), "b1": drawn(8), "w2": drawn(8, 2)}
    tasks = [ms.Task((drawn(5, 3), drawn(5, 2)), (drawn(4, 3), drawn(4, 2))) for _ in range(3)]
    parts = {name: distribute_tensor(x, mesh, SHARDED[name]) for name, x in whole.items()}
    spread_tasks = [ms.Task(*(tuple(map(spread, batch)) for batch in task)) for task in tasks]
    said = {}
    for name, algo in ALGORITHMS.items():
        expected = ms.batch_meta_gradient(algo, loss, whole, tasks).delta
        delta = ms.batch_meta_gradient(algo, loss, parts, spread_tasks).delta
        assert all(delta[leaf].placements == tuple(place) for leaf, place in SHARDED.items())
        off = [(delta[leaf].full_tensor() - x).norm() / x.norm() for leaf, x in expected.items()]
        said[name] = float(max(off))
    algo = ALGORITHMS["maml"]
    said["plain batch"] = refused(ms.batch_meta_gradient, algo, loss, parts, tasks)
    said["shared out"] = refused(ms.batch_meta_gradient, algo, loss, parts, spread_tasks, distributed=True)
    net = fully_shard(nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).double(), mesh=mesh)
    said["fsdp"] = refused(ms.from_model, net, lambda net, batch: nn.functional.mse_loss(net(batch[0]), batch[1]))
    (Path(folder) / f"rank{rank}.json").write_text(json.dumps(said))
    distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
