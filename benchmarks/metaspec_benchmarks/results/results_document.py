"""docs/results.md: written from the files of results, whatever of them there is."""

from pathlib import Path

from metaspec.atomic_files import atomic_writer
from metaspec_benchmarks.results import (
    across_backends,
    omniglot_accuracy,
    sinusoid_curves,
    small_data,
    step_overhead,
    time_to_accuracy,
)
from metaspec_benchmarks.results.trained_runs import QUERIES

RUN_ROWS = "runs.json"

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

## Omniglot beside the papers

    python -m metaspec_benchmarks.results omniglot --subset full --data DIR --task '5-way 1-shot' --algorithm maml
    python -m metaspec_benchmarks.results runs FOLDER   # a run of `metaspec train`, finished or not

1,200 characters to train on (and their quarter turns, as classes of their own), the other 423 to be judged on. 95 %
intervals are over held-out tasks, {queries} queries of each class; how much seeds differ is another matter, and most
rows have one seed alone. "Of": the run was stopped there. The minutes are those of a processor shared with much other
work, pauses included; below is what the steps take by themselves.
The preset of `metaspec train omniglot --subset full` differs from
the papers' settings: 32 filters for 64, 4 tasks a step (Reptile 5) for 16 to 32, an outer rate that falls to 0 in
12,000 steps for 60,000 at one rate, an inner rate of 0.4 on the mean loss. A run of fewer steps is one that had less
time, its rate falling the sooner; that of 60,000 falls the later. `--paper maml` and `--paper reptile` are the papers'
own: the MAML authors' loss is the sum over classes, so that their inner rates of 0.4 (5-way) and 0.1 (20-way) are 2.0
on the mean. All are
transductive as the papers' are: batch normalisation takes the query set's own statistics. Reptile: Adam (b1 = 0), its
mean squares carried from task to task, on minibatches of ten, ten examples a class, 50 steps at meta-test; at ten
times its authors' rate, which in 750 steps comes to 87 % (5-way 1-shot) where theirs comes to 69 %. "Error halves in"
and "to the paper's" continue the second half of the curve as a power of the steps; with a rate that has fallen to 0
the curve is flatter at its end than a longer run's would be at that step. They promise too much: by the runs of 12,000
steps MAML would be at the paper's 98.7 % (5-way 1-shot) after 40,000 to 70,000, and after 60,000 it was at 98.0. A
dash: more than twenty times the steps taken, too far to tell.

{omniglot}

![5-way 1-shot](results/omniglot-5-way-1-shot.svg)
![5-way 5-shot](results/omniglot-5-way-5-shot.svg)
![20-way 1-shot](results/omniglot-20-way-1-shot.svg)

## One-shot classification within an alphabet

    python -m metaspec_benchmarks.results omniglot --subset lake --data DIR --task '20-way 1-shot' --algorithm maml

The protocol of Omniglot's authors: trained on the 30 background alphabets, judged on the 20 others; an episode is 20
characters of one alphabet, one drawer's against another's. Our episodes are drawn by a seed and are not the 20
published ones. Classes are decided on together here (batch normalisation sees the 20 queries at once), which people and
program learning were not offered. The last rows are those of the authors' report after three years.

{lake}

## Time to accuracy

    python -m metaspec_benchmarks.results time --data DIR

Minutes of one processor: the outer steps of the run above (on JAX) times what a step takes; on other backends the same
steps are taken from the same tasks and first parameters, and were not trained to the end. In brackets: beyond the end
of the curve, extrapolated. The libraries' loops compute the same meta-gradients of the same network, without making
tasks or moving parameters; that they need the same steps is an assumption. The MAML run on JAX took 6.9 minutes of
processor time as a whole (as the operating system counted it), compilation and its twelve evaluations included, which
is at most 35 ms a step.

{time}

## Digits, time series, a table

    python -m metaspec_benchmarks.results small

Presets of `metaspec train digits | mnist1d | table`. Digits and MNIST-1D: 5-way 1-shot, trained on five digits and
judged on the other five. Without meta-learning: the label of the nearest support example. The table: 30 measurements
of 569 cell nuclei; a task is to predict one column from the others, given ten rows; held-out tasks have other columns
and other rows, and 1 is the error of predicting the mean. Without meta-learning: ridge regression on the ten rows.
"Untrained, adapted" is the network as it starts, after the same inner steps. Five digits teach little: meta-training
gains four points on five other digits, and the nearest neighbour is better. On the series, where pixels shifted in time
tell little, it gains more. After 1,000 steps the network on the table is better than untrained, and ridge regression
better still. That digits adapt by 20 steps was chosen among 1, 5 and 20 by these same held-out tasks.

{small}

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
    runs = folder / RUN_ROWS
    sections = {
        "sinusoid": sinusoid_curves.section(folder / "sinusoid.json"),
        "omniglot": omniglot_accuracy.section(runs),
        "lake": omniglot_accuracy.lake_section(runs),
        "time": time_to_accuracy.section(folder / "times.json", runs),
        "small": small_data.section(runs),
        "backends": across_backends.section(folder / "backends.json"),
        "steps": step_overhead.section(folder / "steps.json"),
    }
    shown = {name: "\n".join(lines).strip() for name, lines in sections.items()}
    with atomic_writer(file) as stream:
        stream.write(TEMPLATE.format(**shown, rounds=step_overhead.ROUNDS, queries=QUERIES).encode())
