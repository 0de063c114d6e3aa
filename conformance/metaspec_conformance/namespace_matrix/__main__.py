"""`python -m metaspec_conformance.namespace_matrix [--backend NAME] [--write FOLDER]`: the matrix, or a part of it."""

import sys
from argparse import ArgumentParser
from pathlib import Path

import metaspec as ms
from metaspec_conformance.namespace_matrix.cells import FORMS, SHAPES, Cell, cells
from metaspec_conformance.namespace_matrix.document import document
from metaspec_conformance.namespace_matrix.functions import ENTRIES


def main() -> int:
    """Print the cells that are neither right nor refused; exit status 1 where there is one."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--backend", action="append", help="this backend alone (may be given again)")
    parser.add_argument("--form", action="append", choices=FORMS, help="this form alone (may be given again)")
    parser.add_argument("--function", action="append", help="this function alone (may be given again)")
    parser.add_argument("--write", type=Path, help="the folder for a page of each backend")
    chosen = parser.parse_args()
    if chosen.write and (chosen.form or chosen.function):
        parser.error("--write needs all forms and functions: leave out --form and --function")
    places = [(name, shape) for name in chosen.function or ENTRIES for shape in SHAPES]
    sound = True
    for backend in chosen.backend or ["numpy", "torch", "jax", "tensorflow"]:
        matrix: dict[tuple[str, str, str], Cell] = {}
        for form in chosen.form or FORMS:
            for (name, shape), found in cells(ms.get_backend(backend), form, places).items():
                matrix[name, form, shape] = found
                if not found.sound:
                    print(f"{backend}: {name}, {form}, {shape}: {found.state}: {found.words}", flush=True)
        sound = sound and all(found.sound for found in matrix.values())
        if chosen.write:
            (chosen.write / f"namespace-{backend}.md").write_text(document(matrix, backend))
    return int(not sound)


if __name__ == "__main__":
    sys.exit(main())
