"""One rank of two that may be killed while it trains: python -m tests.ranks.mortal_rank BACKEND FOLDER [RANK PORT].

It writes its process id to FOLDER/joined0 or joined1 once the engine has joined it, and how the training ended to
FOLDER/rank0.json or rank1.json. Checkpoints are beside FOLDER, for the ranks that are started after these.
"""

import json
import os
import sys
import time
from pathlib import Path

import metaspec as ms
from metaspec.data import Sinusoid
from metaspec.training import Checkpoints
from tests.ranks.engine_rank import ALGO, NET, initialised

STEPS = 30


class Leisurely(Sinusoid):
    """Takes its time, so that kills fall into the training more often than into what is around it."""

    def batch(self, step, size):
        time.sleep(0.05)
        return super().batch(step, size)


def main(name, folder, rank="", port=""):
    initialised(name, rank, port)
    B = ms.get_backend(name)
    with B.joined(60), B.precision("float64"):
        index = B.process()[0]
        (folder / f"joining{index}").write_text(str(os.getpid()))
        (folder / f"joining{index}").rename(folder / f"joined{index}")
        start = time.monotonic()
        run = ms.meta_train(
            ALGO, NET.loss, NET.init(0, "float64"), Leisurely(shots=3, queries=3, dtype="float64"), steps=STEPS,
            tasks_per_step=4, check=False, checkpoints=Checkpoints(folder.parent / "checkpoints", every=4),
            distributed=True, prefetch=0, rank_timeout=60, backend=B,
        )  # fmt: skip
        params = {name: B.to_numpy(leaf).tobytes().hex() for name, leaf in run.params.items()}
        said = {"steps": run.steps, "params": params, "seconds": time.monotonic() - start}
        (folder / f"rank{index}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
