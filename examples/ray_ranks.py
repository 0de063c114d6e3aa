"""Meta-train on a Ray cluster: one actor a rank, joined by torch.distributed as torchrun's processes are.

pip install ray; python examples/ray_ranks.py [--ranks 2]

Ray starts the actors, on one machine or on many; torch.distributed joins them; metaspec does as under torchrun. Each
rank makes its own tasks from their numbers, so nothing but the meta-gradient goes over the network.
"""

import argparse
import os
import socket

import ray

import metaspec as ms
from metaspec import data, nn


@ray.remote(num_cpus=1)
class Rank:
    """One process of the group."""

    def address(self) -> tuple[str, int]:
        """Return where rank 0 can be reached, on a port that is free."""
        with socket.create_server(("", 0)) as listener:
            return ray.util.get_node_ip_address(), listener.getsockname()[1]

    def train(self, rank: int, ranks: int, host: str, port: int) -> str:
        """Join the group, train, and return who took part as what, the number of steps and the last query loss."""
        os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(ranks), "MASTER_ADDR": host, "MASTER_PORT": str(port)}
        net, algo = nn.sinusoid_mlp(), ms.MAML(ms.GradientDescent(lr=0.01, steps=1))
        B = ms.get_backend("torch")
        with B.joined(timeout=60):
            run = ms.meta_train(algo, net.loss, net.init(seed=0), data.Sinusoid(), steps=20, backend="torch")
            index, count = B.process()
        return f"rank {index} of {count}: {run.steps} steps, query loss {run.history[-1].query_loss:.6f}"


def main(ranks: int) -> None:
    """Start the actors and print what each returns: the same loss, as all have the same parameters."""
    ray.init(num_cpus=ranks, include_dashboard=False)
    actors = [Rank.remote() for _ in range(ranks)]
    host, port = ray.get(actors[0].address.remote())
    for line in ray.get([actor.train.remote(rank, ranks, host, port) for rank, actor in enumerate(actors)]):
        print(line)
    ray.shutdown()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ranks", type=int, default=2)
    main(parser.parse_args().ranks)
