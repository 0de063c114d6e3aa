"""One rank of two that may be killed while it trains: python -m tests.ranks.mortal_rank BACKEND FOLDER [RANK PORT].

It writes its process id to FOLDER/joined0 or joined1 once the engine has joined it, a byte a step to FOLDER/asked0
or asked1, and how the training ended to FOLDER/rank0.json or rank1.json. Checkpoints are beside FOLDER, for the ranks
that are started after these.
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

STEPS = 60
PAUSE = 0.05


class Leisurely(Sinusoid):
    """Says that it is asked for tasks, and takes its time."""

    def batch(self, step, size):
        ASKED[0].write(b".")
        time.sleep(PAUSE)
        return super().batch(step, size)


ASKED = [None]


def main(name, folder, rank="", port=""):
    initialised(name, rank, port, heartbeat_timeout_seconds=10)  # so long JAX's own end waits for one that was killed
    B = ms.get_backend(name)
    with B.joined(60), B.precision("float64"):
        index = B.process()[0]
        ASKED[0] = (folder / f"asked{index}").open("wb", buffering=0)
        (folder / f"joining{index}").write_text(str(os.getpid()))
        (folder / f"joining{index}").rename(folder / f"joined{index}")
        run = ms.meta_train(
            ALGO, NET.loss, NET.init(0, "float64"), Leisurely(shots=3, queries=3, dtype="float64"), steps=STEPS,
            tasks_per_step=4, check=False, checkpoints=Checkpoints(folder.parent / "checkpoints", every=4),
            distributed=True, prefetch=0, rank_timeout=60, backend=B,
        )  # fmt: skip
        params = {name: B.to_numpy(leaf).tobytes().hex() for name, leaf in run.params.items()}
        said = {"steps": run.steps, "params": params}
        (folder / f"rank{index}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
