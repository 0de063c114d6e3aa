"""One rank of several that train for 1,000 steps: python -m tests.ranks.long_rank BACKEND FOLDER [RANK PORT COUNT].

Writes FOLDER/rank0.json and so on: the parameters' bits and, in rank 0, their error against one process alone, and how
much of a change of the start is left after the training.
"""

import json
import sys
from pathlib import Path

import numpy as np

import metaspec as ms
from tests.ranks.engine_rank import ALGO, NET, SOURCE, error, initialised

STEPS = 1000
CHANGE = 2.0**-30


def train(B, params, distributed):
    return ms.meta_train(
        ALGO, NET.loss, params, SOURCE, steps=STEPS, tasks_per_step=5, check=False, distributed=distributed, backend=B
    )


def main(name, folder, rank="", port="", ranks="0"):
    initialised(name, rank, port, int(ranks))
    B = ms.get_backend(name)
    with B.joined(600), B.precision("float64"):
        index, count = B.process()
        start = NET.init(0, "float64")
        run = train(B, start, True)
        bits = {name: B.to_numpy(leaf).tobytes().hex() for name, leaf in run.params.items()}
        said = {"count": count, "steps": run.steps, "params": bits}
        if index == 0:
            draw = np.random.default_rng(1)
            changed = {name: x + CHANGE * np.abs(x).max() * draw.normal(size=x.shape) for name, x in start.items()}
            alone, other = (train(B, params, False).params for params in (start, changed))
            said |= {"error": error(B, run.params, alone), "growth": error(B, other, alone) / CHANGE}
        (folder / f"rank{index}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
