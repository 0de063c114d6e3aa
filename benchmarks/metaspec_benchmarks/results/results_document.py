"""docs/results.md: written from the files of results, whatever of them there is."""

from pathlib import Path

from metaspec.atomic_files import atomic_writer
from metaspec_benchmarks.results import across_backends, omniglot_accuracy, sinusoid_curves, step_overhead

TEMPLATE = """# Results

Each table is written from `docs/results/*.json` by the command above it, which computes what is missing there. "Not
run" is what nobody has computed yet.

## Sinusoids

    python -m metaspec_benchmarks.results sinusoid

10-shot regression with the network 1-40-40-1 on NumPy, by the presets of `metaspec train sinusoid`; the query loss on
600 held-out tasks before and after inner steps, median over seeds (smallest–largest). The papers show curves and no
table: beside it stands what their settings (up to 70,000 outer steps) gave when they were run again, one seed each.
iMAML is trained to adapt in 32 steps of a twentieth of the others' rate, and 1 or 10 such steps go less far: nothing
in its update keeps the curvature low enough for longer ones.

{sinusoid}

## The small Omniglot

    python -m metaspec_benchmarks.results omniglot --data FOLDER --minutes 30

136 characters of five alphabets to train on (their quarter turns, and what 15 affine maps each make of them, are
classes too), 106 characters of Katakana, Sanskrit and Tagalog to be judged on; 95 % intervals over tasks. The
conv net has 32 filters. In brackets: the minutes of training that the number of outer steps was planned for. How many
inner steps adaptation takes at the end is chosen on other episodes of the training alphabets. The paper's figures are
of the full set, with 1,200 characters of more alphabets to train on, of nets with 64 filters and 60,000 steps: an
easier set to learn from, and another measure.

{omniglot}

## One training on every backend

    python -m metaspec_benchmarks.results backends

The preset of `metaspec train sinusoid` with the same seed: tasks and first parameters are the same to the bit, and
every step is right to roundoff ([error-model.md](error-model.md)). The table says at which outer step two backends'
query losses first differ by so much, relatively. They part in jumps rather than by growth: the network's ReLUs have
kinks, and once an input lies within roundoff of one, two backends take different sides of it.

{backends}

![The same curve four times](results/curves-float32.svg)
![How far apart the curves are, float32](results/gaps-float32.svg)
![How far apart the curves are, float64](results/gaps-float64.svg)

## What a training step costs beside its computation

    python -m metaspec_benchmarks.results steps --data FOLDER

The computation: the compiled outer step on tasks that lie ready. The rest of a step: making the tasks (on a thread,
which has a processor to itself only where there are two), converting them, the rate, the record. Both take turns in one
process; median (quartiles) of {rounds} rounds. Sinusoids are the smallest problem there is, 25 tasks with networks of
1,761 parameters; digits are 8 tasks, 5-way 1-shot, with a convolutional network of 16 filters; Omniglot is `metaspec
train omniglot` as it stands. Making the tasks and handing them over takes a tenth to a third of a millisecond by
itself, and up to one beside a computation that wants both processors: a large share where a step takes no longer.

{steps}
"""


def write(folder: Path, file: Path) -> None:
    """Write the document.

    Args:
        folder: Of the files of results.
        file: The document.
    """
    kinds = {
        "sinusoid": sinusoid_curves,
        "omniglot": omniglot_accuracy,
        "backends": across_backends,
        "steps": step_overhead,
    }
    sections = {name: "\n".join(kind.section(folder / f"{name}.json")).strip() for name, kind in kinds.items()}
    with atomic_writer(file) as stream:
        stream.write(TEMPLATE.format(**sections, rounds=step_overhead.ROUNDS).encode())
