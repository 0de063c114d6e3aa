"""`python -m metaspec_conformance.soak --backend numpy --backend jax --scenarios 20000 --json FILE`.

Draws scenarios without end in sight and keeps histograms of the errors alone, so that it takes the same memory however
long it runs. Ctrl-C ends it with what it has. The exit status is 0 only if everything agreed.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from metaspec_conformance.generators.snippets import snippet
from metaspec_conformance.scenarios.reference import reference
from metaspec_conformance.soak.groups import one
from metaspec_conformance.soak.soak_run import Soak, soak
from metaspec_conformance.workers.targets import resolved


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m metaspec_conformance.soak", description=__doc__)
    parser.add_argument("--backend", action="append", default=[], help="may be repeated; default: all installed")
    parser.add_argument("--scenarios", type=int, default=20_000, help="on each backend, the formats in turn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at-a-time", type=int, default=2, help="processes that work at a time")
    parser.add_argument("--json", type=Path, metavar="FILE", help="figures and histograms; rewritten as it goes on")
    parser.add_argument("--show", metavar="ID", help="instead: print the scenario of that id as a program to paste")
    arguments = parser.parse_args()
    backends = resolved(arguments.backend)
    if arguments.show:
        plan, scenario = one(arguments.show)
        print(snippet(scenario, backends[0], plan.dtype, reference(scenario), "as the soak drew it"))
        return 0

    def progress(found: Soak) -> None:
        done = ", ".join(f"{name} {_counted(found, name)}" for name in backends)
        print(f"{found.seconds:.0f} s: {done} of {arguments.scenarios}; {_failed(found)} failed", flush=True)
        if arguments.json:
            _write(arguments.json, found)

    found = soak(backends, arguments.scenarios, arguments.seed, arguments.at_a_time, progress)
    if arguments.json:
        _write(arguments.json, found)
    for problem in found.problems:
        print(f"FAILED reference: {problem}")
    for backend, formats in found.tallies.items():
        for dtype, tally in sorted(formats.items()):
            worst = max(tally.worst, default=(0.0,))[0]
            print(
                f"{backend} {dtype}: {sum(tally.counts.values())} scenarios, {tally.failures} failed, worst {worst:.2f}"
            )
            for message in tally.messages:
                print(f"FAILED {backend} {dtype} {message}")
    return 0 if found.passed else 1


def _counted(found: Soak, backend: str) -> int:
    return sum(sum(tally.counts.values()) for tally in found.tallies[backend].values())


def _failed(found: Soak) -> int:
    return sum(tally.failures for formats in found.tallies.values() for tally in formats.values())


def _write(file: Path, found: Soak) -> None:
    part = file.with_suffix(".part")
    part.write_text(json.dumps(found.as_json()) + "\n")
    os.replace(part, file)


if __name__ == "__main__":
    sys.exit(main())
