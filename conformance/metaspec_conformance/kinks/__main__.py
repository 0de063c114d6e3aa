"""`python -m metaspec_conformance.kinks TARGET`: one backend's findings as a line of JSON, for `measure_all`.

`python -m metaspec_conformance.kinks` without a target prints docs/kinks.md, measured anew on the four backends.
"""

import json
import os
import sys

from metaspec_conformance.kinks.kink_document import BACKENDS, document
from metaspec_conformance.kinks.kink_measurements import measure, measure_all
from metaspec_conformance.workers.loading import load


def main(arguments: list[str]) -> None:
    """Print."""
    if not arguments:
        print(document(measure_all(BACKENDS)), end="")
        return
    sys.path.append(os.getcwd())  # for module:attribute, after everything that is installed
    found = measure(load(arguments[0]))
    print(json.dumps({"versions": dict(found.versions), "cells": dict(found.cells)}))


if __name__ == "__main__":
    main(sys.argv[1:])
