"""`python -m tests.random_losses.counting [--first N] [--losses N] [--backend NAME]`: how many forms agree."""

import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator, Sequence

import metaspec as ms
from tests.random_losses.loss_trial import Trial, sources
from tests.random_losses.user_statements import LANGUAGES

AGREES, REFUSED, WRONG = "agrees", "refused", "wrong"


def outcomes(seed: int, backends: Sequence[str]) -> Iterator[tuple[str, str, str, str]]:
    """Yield (backend, form, outcome, words) of one loss."""
    try:
        trial = Trial(seed)
    except Exception as error:
        outcome = REFUSED if isinstance(error, ms.MetaspecError) else WRONG
        yield "numpy", "differences", outcome, _words(error)
        return
    yield "numpy", "differences" + (" (at a kink)" if trial.kink else ""), AGREES, ""
    for backend in backends:
        for form, compute in trial.forms(backend):
            try:
                compute()
            except ms.MetaspecError as error:
                yield backend, form, REFUSED, _words(error)
            except Exception as error:
                yield backend, form, WRONG, _words(error)
            else:
                yield backend, form, AGREES, ""


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def main() -> int:
    """Print the counts, each refusal and whatever is wrong; exit status 1 where something is."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--losses", type=int, default=1000, help="how many")
    parser.add_argument("--backend", action="append", choices=LANGUAGES, help="this one alone (may be given again)")
    chosen = parser.parse_args()
    counts: Counter[tuple[str, str, str]] = Counter()
    try:
        for seed in range(chosen.first, chosen.first + chosen.losses):
            for backend, form, outcome, words in outcomes(seed, chosen.backend or LANGUAGES):
                counts[backend, form, outcome] += 1
                if outcome != AGREES:
                    print(f"{seed}, {backend}, {form}: {outcome}: {words}\n{sources(seed)[backend]}", flush=True)
    finally:  # what was counted before an interrupt, too
        for (backend, form, outcome), count in sorted(counts.items()):
            print(f"{backend}, {form}: {count} {outcome}", flush=True)
    return int(any(outcome == WRONG for *_, outcome in counts))


if __name__ == "__main__":
    sys.exit(main())
