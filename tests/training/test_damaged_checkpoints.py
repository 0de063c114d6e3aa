"""Whatever is in a folder of checkpoints: the state, an older one with a warning, or CheckpointError; none is lost."""

import errno
import os
import shutil
import warnings

import numpy as np
import pytest

import metaspec as ms
from metaspec.data import Sinusoid
from metaspec.nn import MLP, tanh
from metaspec.training import Adam, CheckpointError, Checkpoints, Evaluation, Run, load_checkpoint, save_checkpoint
from metaspec.training.run import Judged
from tests.training import attacks

NET = MLP((1, 4, 1), activation=tanh)
ALGO = ms.FOMAML(ms.GradientDescent(0.05, 1))
SOURCE, HELD_OUT = Sinusoid(shots=3, queries=3), Sinusoid(shots=3, queries=3, stream="test")
STEPS, OPTIMIZER = (2, 4, 6), Adam(0.01)
FOLDERS = tuple(f"step-{steps:08}" for steps in STEPS)


def train(steps, folder, every=2, keep=3):
    plan = Evaluation(HELD_OUT, every=2, tasks=2, tasks_per_batch=2)
    kept = Checkpoints(folder, every=every, keep=keep)
    return ms.meta_train(
        ALGO,
        NET.loss,
        NET.init(0),
        SOURCE,
        steps=steps,
        tasks_per_step=2,
        optimizer=OPTIMIZER,
        evaluation=plan,
        checkpoints=kept,
        backend="numpy",
    )


def arrays_of(run):
    trees = {"params": run.params, "best": run.best_params} | (run.optimizer_state or {})
    return {
        (part, name): (leaf.dtype, leaf.shape, leaf.tobytes())
        for part, tree in trees.items()
        for name, leaf in (tree.items() if isinstance(tree, dict) else [("", np.asarray(tree))])
    }


def facts(run):
    return arrays_of(run), run.history, run.evaluations, run.best.judged


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def genuine(tmp_path_factory):
    """A folder of three checkpoints, and what each of them holds."""
    folder = tmp_path_factory.mktemp("genuine")
    train(STEPS[-1], folder)
    assert tuple(sorted(path.name for path in folder.iterdir())) == FOLDERS
    states = {steps: facts(load(folder / name)[0]) for steps, name in zip(STEPS, FOLDERS, strict=True)}
    assert len({state[0]["params", "w0"] for state in states.values()}) == 3
    return folder, states


def load(folder):
    """(run or the CheckpointError, number of warnings); any other exception is one of the test's."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        try:
            return load_checkpoint(folder, NET.init(0), OPTIMIZER, backend="numpy"), len(told)
        except CheckpointError as error:
            return error, len(told)


def damage_a_file(rng, folder):
    file = folder / ["state.json", "state.safetensors"][rng.integers(2)]
    file.write_bytes(attacks.damaged_bytes(rng, file.read_bytes()))


def put_something_else(rng, folder):
    attacks.odd_file(rng, [folder, folder / "state.json", folder / "state.safetensors"][rng.integers(3)])


def put_another_checkpoint(rng, folder):
    other = folder.parent / FOLDERS[rng.integers(2)]
    if rng.random() < 0.3:
        shutil.copy(other / "state.safetensors", folder)
    elif rng.random() < 0.5:
        shutil.rmtree(folder)
        shutil.copytree(other, folder)
    else:
        shutil.rmtree(folder)
        folder.symlink_to(other.name)


def forge_the_description(rng, folder):
    attacks.forged(folder, lambda description: attacks.mutated(rng, description))


def forge_the_arrays(rng, folder):
    content = (folder / "state.safetensors").read_bytes()
    attacks.forged(folder, lambda description: description, attacks.forged_header(rng, content))


def put_a_newer_name(rng, folder):
    name = ["step-00000099", "step-" + "9" * 200, "step-٠٠٠٠٠٠٩٩", "step-000000006", "step-00000098"][rng.integers(5)]
    stranger = folder.parent / name
    shutil.copytree(folder, stranger)
    [damage_a_file, put_something_else, lambda rng, folder: None][rng.integers(3)](rng, stranger)


DAMAGES = [damage_a_file, put_something_else, put_another_checkpoint, put_a_newer_name]
FORGERIES = [forge_the_description, forge_the_arrays]


def check_random_attacks(genuine, folder, seeds, every=40):
    """Attack the newest checkpoint once for each seed. With every such many, the training goes on with what is left."""
    origin, states = genuine
    found = {"newest": 0, "older": 0, "refused": 0}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(origin, folder)
        attack = (DAMAGES + FORGERIES)[rng.integers(len(DAMAGES + FORGERIES))]
        attack(rng, folder / FOLDERS[-1])
        case = f"seed {seed}, {attack.__name__}"
        run, told = load(folder)
        for name in FOLDERS[:-1]:
            assert contents(folder / name) == contents(origin / name), f"{case}: an older checkpoint has changed"
        if isinstance(run, CheckpointError):
            assert attack in FORGERIES, f"{case}: {run}"  # whole, but of another model: the user's to decide
            found["refused"] += 1
        elif attack in DAMAGES:
            assert facts(run) == states[run.steps], f"{case}: a wrong state"
            gone = not os.path.lexists(folder / FOLDERS[-1])  # then the one before it is the newest
            assert told or gone or run.steps == STEPS[-1], f"{case}: an older state without a word"
            found["newest" if run.steps == STEPS[-1] else "older"] += 1
        else:
            assert arrays_of(run).keys() == states[run.steps][0].keys(), case
            assert len(run.history) == run.steps, case
            assert attack is forge_the_arrays or arrays_of(run) == states[run.steps][0], f"{case}: a wrong state"
            assert run.steps == STEPS[-1] or (told and facts(run) == states[run.steps]), case
            found["newest" if run.steps == STEPS[-1] else "older"] += 1
        if attack in DAMAGES and seed % every == 0:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                gone_on = train(8, folder, keep=1)
                assert facts(load(folder)[0])[0] == arrays_of(gone_on), case
            assert gone_on.steps == 8
            assert [record[:2] for record in gone_on.history[:6]] == [record[:2] for record in states[6][1]], case
    return found


def test_random_damages_and_forgeries(genuine, tmp_path):
    found = check_random_attacks(genuine, tmp_path / "c", range(250))
    assert min(found.values()) > 5, found


@pytest.mark.soak
@pytest.mark.parametrize("block", range(10))
def test_ten_thousand_random_damages_and_forgeries(genuine, tmp_path, block):
    check_random_attacks(genuine, tmp_path / "c", range(1000 * (block + 1), 1000 * (block + 2)))


FORGED = {
    "no arrays": (lambda d: d.pop("arrays"), "arrays: expected dict, got NoneType"),
    "evaluations are text": (lambda d: d.update(evaluations="x"), "evaluations: expected list, got str"),
    "evaluation beyond the end": (lambda d: d["evaluations"][0].__setitem__(0, 7), r"evaluations\[0\]: .*from 0 to 6"),
    "report of text": (lambda d: d["evaluations"][1].__setitem__(2, "x"), r"evaluations\[1\]: expected the figures of"),
    "best of no evaluation": (lambda d: d.update(best=99), "best: expected the number of steps of an evaluation"),
    "best is true": (lambda d: d.update(best=True), "best: expected the number of steps of an evaluation"),
    "best is missing": (lambda d: d.pop("best"), "best: expected .*got 'missing'"),
    "best is null": (lambda d: d.update(best=None), "leaves are not those of a run: 'best' is not expected"),
    "bytes are text": (lambda d: d["arrays"].update(bytes="1"), "bytes: expected an integer >= 0, got '1'"),
    "sha256 is short": (lambda d: d["arrays"].update(sha256="ab"), "sha256: expected 64 hexadecimal digits"),
    "steps are negative": (lambda d: d.update(steps=-5), "steps: expected an integer >= 0, got -5"),
    "steps of another folder": (lambda d: d.update(steps=8), "after 8 steps, in a folder called step-00000006"),
    "steps are true": (lambda d: d.update(steps=True), "steps: expected an integer >= 0, got True"),
    "version is true": (lambda d: d.update(version=True), "it has format True"),
    "versions are a list": (lambda d: d.update(versions=[]), "versions: expected dict, got list"),
    "goal is huge": (lambda d: d["evaluations"][0].__setitem__(1, 10**400), r"\[0\]: goal: .*float64's range"),
    "nothing of the setup": (lambda d: d.pop("setup"), "setup is missing"),
    "nested deeply": (lambda d: d.update(setup=attacks.nested(70)), "nested more than 64 levels deep"),
}


@pytest.mark.parametrize("name", FORGED)
def test_a_forged_description_is_seen_before_it_is_used(genuine, tmp_path, name):
    shutil.copytree(genuine[0], tmp_path / "c")
    change, message = FORGED[name]

    def changed(description):
        change(description)
        return description

    attacks.forged(tmp_path / "c" / FOLDERS[-1], changed)
    with pytest.warns(RuntimeWarning, match=f"{FOLDERS[-1]}.*{message}.*{FOLDERS[-2]} is used"):
        run = load_checkpoint(tmp_path / "c", NET.init(0), OPTIMIZER, backend="numpy")
    assert facts(run) == genuine[1][4]


def header_of(name, **entry):
    return {name: {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]} | entry}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ((1 << 62).to_bytes(8, "little") + b"{}", "not in safetensors' format"),
        (attacks.safetensors_bytes(b"{" + b" " * 2_000_000 + b"}", b""), "history/.*: expected float64"),
        (attacks.safetensors_bytes(b"[" * 200_000, b""), "not in safetensors' format"),
        (attacks.safetensors_bytes(header_of("params/w0", shape=[10**12, 10**6]), bytes(8)), "not in safetensors'"),
        (attacks.safetensors_bytes(header_of("params/w0", dtype="F99"), bytes(8)), "not in safetensors' format"),
        (attacks.safetensors_bytes(header_of("params/w0"), bytes(8)), "history/.*one figure a step, got nothing"),
        (attacks.safetensors_bytes(header_of("thesis"), bytes(8)), "'thesis' is not expected"),
        (b"", "not in safetensors' format"),
    ],
)
def test_forged_arrays_are_seen_before_they_are_used(genuine, tmp_path, content, message):
    shutil.copytree(genuine[0], tmp_path / "c")
    attacks.forged(tmp_path / "c" / FOLDERS[-1], lambda description: description, content)
    with pytest.warns(RuntimeWarning, match=f"state.safetensors: .*{message}.*{FOLDERS[-2]} is used"):
        assert facts(load_checkpoint(tmp_path / "c", NET.init(0), OPTIMIZER, backend="numpy")) == genuine[1][4]


def test_an_older_checkpoint_under_a_newer_name_is_no_newer_state(genuine, tmp_path):
    folder = tmp_path / "c"
    shutil.copytree(genuine[0], folder)
    shutil.rmtree(folder / FOLDERS[2])
    shutil.copytree(folder / FOLDERS[0], folder / FOLDERS[2])
    with pytest.raises(CheckpointError, match="the state after 2 steps, in a folder called step-00000006.*call it"):
        load_checkpoint(folder / FOLDERS[2], NET.init(0))
    assert load(folder)[0].steps == 4
    run = load_checkpoint(genuine[0], NET.init(0))
    with pytest.raises(ms.errors.InvalidArgumentError, match="has taken 6 steps; call it step-00000006"):
        save_checkpoint(folder / "step-00000009", run)


def test_what_is_damaged_does_not_push_out_what_is_whole(genuine, tmp_path):
    shutil.copytree(genuine[0], tmp_path / "c")
    (tmp_path / "c" / "step-00000099").mkdir()
    (tmp_path / "c" / FOLDERS[2] / "state.json").write_bytes(b"")
    with pytest.warns(RuntimeWarning, match="step-00000004 is used"):
        train(5, tmp_path / "c", every=100, keep=2)
    left = {path.name for path in (tmp_path / "c").iterdir()}
    assert left == {"step-00000004", "step-00000005", "step-00000006", "step-00000099"}


def test_a_folder_that_cannot_be_listed_is_no_empty_one(genuine, tmp_path, monkeypatch):
    def refused(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("metaspec.training.checkpoints.os.listdir", refused)
    with pytest.raises(CheckpointError, match="Permission denied: its checkpoints cannot be listed"):
        train(1, genuine[0])


@pytest.mark.parametrize("kind", ["file", "pipe", "link"])
def test_what_is_no_folder_is_named(tmp_path, kind):
    place = tmp_path / "c"
    {"file": place.touch, "pipe": lambda: os.mkfifo(place), "link": lambda: place.symlink_to("/nowhere/at/all")}[kind]()
    with pytest.raises(ms.MetaspecError, match="c is no folder and cannot be made one|no folder"):
        train(1, place)
    with pytest.raises(CheckpointError, match="there is no checkpoint in"):
        load_checkpoint(place, NET.init(0))
    with pytest.raises(ms.errors.InvalidArgumentError, match="expected a path"):
        Checkpoints("a\0b")


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("call", ["fsync", "mkdir", "replace", "rename"])
def test_a_full_disk_is_told_and_costs_no_older_checkpoint(genuine, tmp_path, monkeypatch, error, call):
    folder = tmp_path / "c"
    shutil.copytree(genuine[0], folder)
    genuine_call, done = getattr(os, call), []

    def failing(*args, **kwargs):
        done.append(args)
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(os, call, failing)
    with pytest.raises(CheckpointError, match=rf"step-00000008.*{os.strerror(error)}.*from before stays.*--resume"):
        train(8, folder, every=100)
    monkeypatch.setattr(os, call, genuine_call)
    assert done
    assert {path.name: contents(path) for path in folder.iterdir()} == {
        path.name: contents(path) for path in genuine[0].iterdir()
    }
    assert train(8, folder, every=100).steps == load(folder)[0].steps == 8


def test_a_failed_replacement_keeps_what_was_there(genuine, tmp_path, monkeypatch):
    shutil.copytree(genuine[0] / FOLDERS[0], tmp_path / "c")
    run, rename, calls = load(genuine[0])[0], os.rename, []

    def second_fails(source, target):
        calls.append(target)
        if len(calls) == 2:
            raise OSError(errno.EIO, "Input/output error")
        rename(source, target)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(OSError, match="Input/output"):
        save_checkpoint(tmp_path / "c", run)
    assert contents(tmp_path / "c") == contents(genuine[0] / FOLDERS[0])
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_what_could_not_be_read_again_is_not_written(genuine, tmp_path):
    run = load(genuine[0])[0]
    beyond = Run(run.params, None, run.history[:2], (Judged(3, 0.0, run.best.judged.report),))
    with pytest.raises(ms.errors.InvalidArgumentError, match=r"evaluations\[0\]: .*from 0 to 2, got 3"):
        save_checkpoint(tmp_path / "c", beyond)
    assert list(tmp_path.iterdir()) == []
