"""Kill a small training again and again, at random moments, and see that it ends with the bits of one left in peace.

python -m tests.training.killing BACKEND KILLS SEED FOLDER. Children are forked before the framework has computed
anything, so that each costs milliseconds. A child kills itself with SIGKILL before the n-th thing that it does to a
file, n being drawn, or is killed by its parent after a time that is drawn.
"""

import hashlib
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import metaspec as ms
from metaspec.data import Sinusoid
from metaspec.nn import MLP, tanh
from metaspec.training import Adam, Checkpoints, Cosine, Evaluation, JsonLines, load_checkpoint
from metaspec.training.checkpoint import named_leaves

NET = MLP((1, 4, 1), activation=tanh)
ALGO = ms.FOMAML(ms.GradientDescent(0.05, 1))  # what is quickest to compile
OPTIMIZER = Adam(Cosine(0.02, 20))
STEPS = 14
WARM = ("torch",)  # much of what it imports it imports at the first trace, and it starts no thread for so little
FILE_EVENTS = ("open", "os.", "shutil.", "tempfile.")


def train(folder, backend):
    return ms.meta_train(
        ALGO,
        NET.loss,
        NET.init(0),
        Sinusoid(shots=3, queries=3),
        steps=STEPS,
        tasks_per_step=2,
        optimizer=OPTIMIZER,
        clip_norm=5.0,
        evaluation=Evaluation(Sinusoid(shots=3, queries=3, stream="test"), every=3, tasks=4, tasks_per_batch=2),
        checkpoints=Checkpoints(folder / "checkpoints", every=2, keep=2),
        callbacks=[JsonLines(folder / "metrics.jsonl")],
        backend=backend,
    )


def child(folder, backend, die_at=None):
    """Fork; the child trains, and reports how much it did to files or dies before the `die_at`-th of it."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        done = [0]

        def count(event, args):
            if event.startswith(FILE_EVENTS) and str(args[0] if args else "").startswith(str(folder)):
                done[0] += 1
                if done[0] == die_at:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        start = time.perf_counter()
        train(folder, backend)
        (folder / "effort").write_text(f"{done[0]} {time.perf_counter() - start}")
        status = 0
    finally:
        os._exit(status)


def waited(pid):
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL, status
        return "killed"
    assert os.waitstatus_to_exitcode(status) == 0, "the training failed"
    return "ended"


def fingerprint(folder):
    """Bits of everything that a training leaves, its seconds excepted."""
    run = load_checkpoint(folder / "checkpoints", NET.init(0), OPTIMIZER, backend="numpy")
    assert run.steps == STEPS
    B, whole = ms.get_backend("numpy"), hashlib.sha256((folder / "metrics.jsonl").read_bytes())
    for tree in (run.params, run.optimizer_state, run.best_params):
        for name, leaf in named_leaves(B, tree).items():
            whole.update(name.encode() + leaf.tobytes())
    whole.update(repr(([record[:2] for record in run.history], run.evaluations, run.best.judged)).encode())
    left = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert left[-2:] == ["step-00000012", "step-00000014"], left  # killed before pruning, there is one more
    return whole.hexdigest()


def main(backend, kills, seed, folder):
    drawn, killed, rounds = random.Random(seed), 0, 0
    B = ms.get_backend(backend)
    if backend in WARM:
        B.compile(lambda x: B.grad(lambda y: B.xp.sum(y * y))(x))(B.xp.ones(1))
    quiet = folder / "quiet"
    quiet.mkdir(parents=True)
    assert waited(child(quiet, backend)) == "ended"
    actions, seconds = (float(x) for x in (quiet / "effort").read_text().split())
    expected = fingerprint(quiet)
    while killed < kills:
        rounds += 1
        at = folder / f"round-{rounds}"
        at.mkdir()
        while killed < kills:
            if drawn.random() < 0.7:
                pid = child(at, backend, die_at=drawn.randint(1, int(actions)))
            else:
                pid = child(at, backend)
                time.sleep(drawn.uniform(0, seconds))
                os.kill(pid, signal.SIGKILL)
            if waited(pid) == "ended":
                break
            killed += 1
        if killed == kills:
            waited(child(at, backend))
        assert fingerprint(at) == expected, f"round {rounds}, after {killed} kills, seed {seed}"
        shutil.rmtree(at)
    print(f"{killed} kills, {rounds} trainings, {int(actions)} moments, {seconds:.2f} s each: the same bits")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
