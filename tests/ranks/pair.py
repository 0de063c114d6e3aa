"""Two ranks of a tiny training, forked, over an engine of two pipes: what happens when one of them fails.

python -m tests.ranks.pair FOLDER runs every case of CASES and writes what became of each rank as JSON. The engine is
NumPy's adapter with another sum: it raises EOFError where the other end is closed, and blocks where it is not.
"""

import json
import os
import random
import signal
import socket
import sys
import time
import warnings
from pathlib import Path

import numpy as np

import metaspec as ms
from metaspec.backend.reducing import reduced
from metaspec.data import Sinusoid
from metaspec.nn import MLP, tanh
from metaspec.training import Checkpoints, DivergedError, Evaluation, load_checkpoint
from metaspec_numpy.adapter import NumpyBackend

NET = MLP((1, 4, 1), activation=tanh)
ALGO = ms.FOMAML(ms.GradientDescent(0.05, 1))
CARRYING = ms.Reptile(ms.Adam(0.02, 3))
STEPS = 30
TIMEOUT = 3.0


class Pair(NumpyBackend):
    """NumPy in one of two processes that a socket joins."""

    def __init__(self, index, link):
        super().__init__()
        self.index, self.link = index, link

    def process(self):
        return self.index, 2

    def all_reduce(self, tree, op="sum"):
        return reduced(self, tree, op, self._sum)

    def _sum(self, vector):
        mine = np.ascontiguousarray(vector)
        self.link.sendall(mine.tobytes())
        theirs = bytearray()
        while len(theirs) < mine.nbytes:
            more = self.link.recv(mine.nbytes - len(theirs))
            if not more:
                raise EOFError("the pipe is closed")
            theirs += more
        pair = (mine, np.frombuffer(bytes(theirs), mine.dtype))
        return pair[self.index] + pair[1 - self.index]


ACT, SHIFT, FACTOR = [None], [0], [1.0]


class Tasks(Sinusoid):
    """Does ACT, once, where the tasks of step 10 are made; SHIFT gives other tasks under the same description.

    FACTOR multiplies the targets from then on.
    """

    def batch(self, step, size):
        if step >= 10 and ACT[0] is not None:
            act, ACT[0] = ACT[0], None
            act()
        tasks = super().batch(step + SHIFT[0], size)
        if step >= 10:
            tasks.query["y"] *= FACTOR[0]
        return tasks


def train(B, folder, seed=0, algo=ALGO, **options):
    settings = {"steps": STEPS, "tasks_per_step": 5, "check": False, "rank_timeout": TIMEOUT, "prefetch": 0} | options
    return ms.meta_train(
        algo,
        NET.loss,
        NET.init(0, "float64"),
        Tasks(seed=seed, shots=3, queries=3, dtype="float64"),
        evaluation=Evaluation(Sinusoid(shots=3, queries=3, stream="test"), every=10, tasks=4, tasks_per_batch=2),
        checkpoints=Checkpoints(folder, every=4),
        backend=B,
        **settings,
    )


def _acting(act):
    def case(B, folder):
        ACT[0] = act if B.index == 1 else None
        return train(B, folder)

    return case


def _fail():
    raise ValueError("no such file: shard-17")


def _sources(B, folder):
    SHIFT[0] = B.index
    return train(B, folder)


def _diverging(B, folder):
    FACTOR[0] = 1e200 if B.index else 1.0
    return train(B, folder)


def _nudged(B, folder):
    """Rank 1's parameters move by a bit that no reduction sees."""
    from metaspec.training.training_state import TrainingState

    advance = TrainingState.advance

    def nudge(self, progress):
        advance(self, progress)
        if B.index and self.taken == 8:
            params, *rest = self.latest
            self.latest = ({k: np.nextafter(v, 1.0) for k, v in params.items()}, *rest)

    TrainingState.advance = nudge
    return train(B, folder)


def _carrying(B, folder):
    """The inner rule's state goes from step to step; rank 0 stops after step 8."""
    stop = [lambda progress: progress.record.step == 8]
    return train(B, folder, algo=CARRYING, carry_state=True, callbacks=stop)


CASES = {
    "carried": _carrying,
    "whole": lambda B, folder: train(B, folder),
    "stopped": lambda B, folder: train(B, folder, callbacks=[lambda progress: progress.record.step == 8]),
    "killed": _acting(lambda: os.kill(os.getpid(), signal.SIGKILL)),
    "paused": _acting(lambda: os.kill(os.getpid(), signal.SIGSTOP)),
    "hanging": _acting(lambda: time.sleep(60)),
    "raising": _acting(_fail),
    "diverging": _diverging,
    "other data": _sources,
    "other seed": lambda B, folder: train(B, folder, seed=B.index),
    "nudged": _nudged,
}
ENDLESS = ("paused", "hanging")


def rank(index, link, case, folder, checkpoints):
    warnings.simplefilter("ignore")
    start = time.monotonic()
    try:
        run = CASES[case](Pair(index, link), checkpoints)
        said = {"steps": run.steps, "params": _listed(run)}
        said["inner"] = [] if run.inner_state is None else _flat(run.inner_state)
        said["goals"] = [judged.goal for judged in run.evaluations]
    except Exception as error:
        said = {"error": type(error).__name__, "message": str(error)}
        if isinstance(error, DivergedError):
            said["steps"] = error.run.steps
    (folder / f"rank{index}.json").write_text(json.dumps(said | {"seconds": time.monotonic() - start}))


def started(case, folder, checkpoints=None):
    """Fork both ranks of a case."""
    folder.mkdir(parents=True)
    links = socket.socketpair()
    pids = []
    for index in (0, 1):
        pid = os.fork()
        if not pid:
            links[1 - index].close()
            with (folder / f"stderr{index}").open("w") as stream:
                os.dup2(stream.fileno(), 2)
                try:
                    rank(index, links[index], case, folder, checkpoints or folder / "checkpoints")
                finally:
                    os._exit(0)
        pids.append(pid)
    for link in links:
        link.close()
    return pids


def ended(case, folder, pids):
    """Wait for rank 0, then for rank 1, which is killed where it would not end by itself."""
    statuses = [os.waitpid(pids[0], 0)[1]]
    if case in ENDLESS:
        os.kill(pids[1], signal.SIGKILL)
    statuses.append(os.waitpid(pids[1], 0)[1])
    ranks = []
    for index, status in enumerate(statuses):
        file = folder / f"rank{index}.json"
        said = json.loads(file.read_text()) if file.exists() else {"message": (folder / f"stderr{index}").read_text()}
        ranks.append(said | {"status": os.waitstatus_to_exitcode(status)})
    return {"ranks": ranks, "saved": sorted(p.name for p in (folder / "checkpoints").glob("step-*"))}


def _listed(run):
    return {name: np.asarray(leaf).tolist() for name, leaf in run.params.items()}  # floats in JSON keep their bits


def _flat(inner):
    leaves = ms.get_backend("numpy").tree_flatten(inner)[0]
    return [number for leaf in leaves for number in np.ravel(leaf).astype(float).tolist()]


def resumed(folder):
    """One process goes on where two have ended."""
    start = load_checkpoint(folder / "checkpoints", NET.init(0, "float64"), backend="numpy").steps
    run = train("numpy", folder / "checkpoints")
    return {"start": start, "steps": run.steps, "params": _listed(run)}


def killed_again_and_again(folder, kills, seed):
    """Kill a rank, drawn, at a time, drawn, `kills` times; let the training end, and return its bits and the kills."""
    drawn, ended_by = random.Random(seed), []
    for round in range(kills):
        at = folder / f"round{round}"
        pids = started("whole", at, folder / "checkpoints")
        time.sleep(drawn.uniform(0.0, 2.0))
        rank = drawn.randrange(2)
        os.kill(pids[rank], signal.SIGKILL)
        statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
        other = at / f"rank{1 - rank}.json"
        said = json.loads(other.read_text()) if other.exists() else {"message": (at / f"stderr{1 - rank}").read_text()}
        ended_by.append([rank, statuses, said.get("message", "")])
    pids = started("whole", folder / "last", folder / "checkpoints")
    return ended("whole", folder / "last", pids)["ranks"], ended_by


def main(folder):
    waiting = {case: started(case, folder / case) for case in ENDLESS}
    found = {case: ended(case, folder / case, started(case, folder / case)) for case in CASES if case not in ENDLESS}
    found |= {case: ended(case, folder / case, pids) for case, pids in waiting.items()}
    for case in ("killed", "hanging"):
        found[case]["resumed"] = resumed(folder / case)
    alone = train("numpy", folder / "alone")
    found["alone"] = {"params": _listed(alone), "goals": [judged.goal for judged in alone.evaluations]}
    carried = _carrying("numpy", folder / "alone carrying")
    found["alone carrying"] = {"params": _listed(carried), "inner": _flat(carried.inner_state)}
    (folder / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    if len(sys.argv) == 2:
        main(Path(sys.argv[1]))
    else:  # FOLDER KILLS SEED
        print(json.dumps(killed_again_and_again(Path(sys.argv[1]), *map(int, sys.argv[2:]))))
