"""`python -m metaspec_conformance.namespace_matrix [--backend NAME] [--write FILE]`: the matrix, or a part of it."""

import sys
from argparse import ArgumentParser

import metaspec as ms
from metaspec_conformance.namespace_matrix.cells import FORMS, SHAPES, Cell, cell
from metaspec_conformance.namespace_matrix.document import document
from metaspec_conformance.namespace_matrix.functions import ENTRIES


def main() -> int:
    """Print the cells that are neither right nor refused; exit status 1 where there is one."""
    parser = ArgumentParser(description=__doc__)
    parser.add_argument("--backend", action="append", help="this backend alone (may be given again)")
    parser.add_argument("--form", action="append", choices=FORMS, help="this form alone (may be given again)")
    parser.add_argument("--function", action="append", help="this function alone (may be given again)")
    parser.add_argument("--write", help="the document, of all forms and functions")
    chosen = parser.parse_args()
    if chosen.write and (chosen.form or chosen.function):
        parser.error("--write needs all forms and functions: leave out --form and --function")
    backends = chosen.backend or ["numpy", "torch", "jax", "tensorflow"]
    matrix: dict[tuple[str, str, str, str], Cell] = {}
    for backend in backends:
        B = ms.get_backend(backend)
        for form in chosen.form or FORMS:
            for name in chosen.function or ENTRIES:
                for shape in SHAPES:
                    found = matrix[backend, name, form, shape] = cell(B, name, form, shape)
                    if not found.sound:
                        print(f"{backend}: {name}, {form}, {shape}: {found.state}: {found.words}", flush=True)
    if chosen.write:
        with open(chosen.write, "w") as file:
            file.write(document(matrix, backends))
    return int(not all(found.sound for found in matrix.values()))


if __name__ == "__main__":
    sys.exit(main())
