"""`python -m metaspec_conformance.array_api_suite FOLDER BACKEND [pytest's options]`: the array API's own tests.

FOLDER is a clone of https://github.com/data-apis/array-api-tests with its submodule (git clone --recursive); its
requirements (`pip install -r FOLDER/requirements.txt`) are not metaspec's. The tests call the functions of the
backend's namespace on its plain arrays. Failures that are expected stand in `expected/BACKEND.txt` under their reason;
one that passes after all fails the run. What passes or fails by the place of an array in memory is skipped
(`expected/BACKEND-skipped.txt`).
"""

import os
import sys
from argparse import ArgumentParser
from importlib.util import find_spec
from pathlib import Path
from subprocess import run

from metaspec.errors import nearest

EXPECTED = Path(__file__).parent / "expected"
NAMESPACES = {
    "numpy": "exec('from metaspec_numpy import tracer; import numpy; xp = tracer.namespace(numpy)')",
    "tensorflow": "metaspec_tensorflow.namespace",
}
VERSION = "2024.12"
TESTS = "array_api_tests"
REQUIRED = {"pytest_jsonreport": "pytest-json-report", "ndindex": "ndindex", "hypothesis": "hypothesis"}


def main() -> int:
    """Run the tests; exit status 0 where no failure is unexpected, 2 for a wrong argument."""
    parser = ArgumentParser(prog="python -m metaspec_conformance.array_api_suite", description=__doc__)
    parser.add_argument("folder", type=Path, help="clone of data-apis/array-api-tests")
    parser.add_argument("backend", help=" or ".join(NAMESPACES))
    parser.add_argument("--max-examples", type=int, default=20, help="of Hypothesis, for each test (20)")
    chosen, options = parser.parse_known_args()
    if chosen.backend not in NAMESPACES:
        parser.error(
            f"backend: expected one of {', '.join(NAMESPACES)}, whose namespaces are metaspec's own; got "
            f"{chosen.backend!r}{nearest(chosen.backend, NAMESPACES)}"
        )
    if not (chosen.folder / TESTS).is_dir():
        parser.error(f"folder: {chosen.folder} is no clone of https://github.com/data-apis/array-api-tests")
    if not (chosen.folder / "array-api" / "spec" / VERSION).is_dir():
        parser.error(
            f"folder: {chosen.folder}/array-api has no specification {VERSION}: run git submodule update --init there"
        )
    if missing := [package for module, package in REQUIRED.items() if find_spec(module) is None]:
        parser.error(f"folder: its tests need {', '.join(missing)}: pip install {' '.join(missing)}")
    expected = EXPECTED / f"{chosen.backend}.txt"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:metaspec", "-o", "xfail_strict=true"]
    command += [] if any(option.startswith(TESTS) for option in options) else [TESTS]  # one file, if it is named
    if chosen.backend == "tensorflow":
        command += ["-p", "metaspec_conformance.array_api_suite.tensor_attributes"]
    if (skipped := EXPECTED / f"{chosen.backend}-skipped.txt").exists():
        command += [f"--skips-file={skipped}"]
    command += [f"--xfails-file={expected}", "--derandomize", "--disable-deadline"]
    command += ["--max-examples", str(chosen.max_examples), *options]
    environment = {"ARRAY_API_TESTS_MODULE": NAMESPACES[chosen.backend], "ARRAY_API_TESTS_VERSION": VERSION}
    return run(command, cwd=chosen.folder, env=os.environ | environment).returncode


if __name__ == "__main__":
    sys.exit(main())
