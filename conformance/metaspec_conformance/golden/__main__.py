"""`python -m metaspec_conformance.golden`: compute every golden vector and write the files, or check them."""

import argparse
import sys
from pathlib import Path

from metaspec_conformance.golden.certify import DIGITS, SPARE, certified
from metaspec_conformance.golden.vector_files import PLACE, texts
from metaspec_conformance.golden.vector_list import catalogue

EXAMPLE = "example: python -m metaspec_conformance.golden --check"


def main(arguments: list[str] | None = None) -> int:
    """0 if the files were written, or with --check if they are the same to the last byte; else 1."""
    parser = argparse.ArgumentParser("python -m metaspec_conformance.golden", description=__doc__, epilog=EXAMPLE)
    parser.add_argument("--check", action="store_true", help="write nothing; compare the files byte for byte")
    parser.add_argument("--place", type=Path, default=PLACE, help=f"folder of the files (default: {PLACE})")
    options = parser.parse_args(arguments)
    computed = []
    for inputs in catalogue():
        vector, digits = certified(inputs)
        computed.append((vector, digits))
        print(f"{inputs.id:45} {digits:5.1f} digits shared by two precisions", flush=True)
    files = texts(vector for vector, _ in computed)
    worst = min(digits for _, digits in computed)
    print(f"{len(computed)} vectors, at least {worst:.1f} digits shared, {DIGITS + SPARE} wanted, {DIGITS} written")
    if options.check:
        return _compare(options.place, files)
    options.place.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (options.place / name).write_text(text, encoding="utf-8", newline="\n")
    print(f"{len(files)} files written, {sum(map(len, files.values())) / 1000:.0f} kB, in {options.place}")
    return 0


def _compare(place: Path, files: dict[str, str]) -> int:
    present = {path.name: path.read_bytes().decode("utf-8") for path in place.glob("*.json")}
    different = sorted(name for name in present.keys() | files.keys() if present.get(name) != files.get(name))
    print(f"{place}: " + (f"differs in {', '.join(different)}" if different else "the same to the last byte"))
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
