"""Python imports this by itself at its start: the fault that the environment names is then in this process too."""

import os
import sys
from pathlib import Path


def _break() -> None:
    sys.path.append(str(Path(__file__).parents[1]))
    from seeded_faults import FAULTS

    FAULTS[os.environ["METASPEC_SEEDED_FAULT"]](setattr)


if os.environ.get("METASPEC_SEEDED_FAULT"):
    _break()
