"""docs/tables/namespace-BACKEND.md: what of the namespace works in which form on a backend."""

from collections import Counter
from collections.abc import Mapping

import metaspec as ms
from metaspec_conformance.namespace_matrix.cells import FORMS, NOT_ASKED, REFUSED, RIGHT, SHAPES, Cell
from metaspec_conformance.namespace_matrix.functions import ENTRIES

Matrix = Mapping[tuple[str, str, str], Cell]
"""By function, form and shape."""

HEAD = """# The array namespace on {backend}, cell by cell

Made by `python -m metaspec_conformance.namespace_matrix --backend {backend} --write docs/tables` with {versions}.

A loss that is written once calls the functions of `xp = ms.array_namespace(params)`, by the names of the [array API
standard](https://data-apis.org/array-api/latest/) (2024.12). Each is asked eager, batched (two tasks), compiled,
differentiated twice (MAML), and all three at once; on arrays of shape (3, 3), (1, 1), (0, 3) and (). In float64
values and derivatives are held against NumPy's own functions and differences of them. Of {asked} cells {counts}.

`ok`: right for every shape that NumPy itself takes. `ok, slower`: right, and the backend says that it went another way
(no batching, no compilation); `refused (...)`: these shapes are refused by metaspec; the words are below the table.

[portable-losses.md](../portable-losses.md) has what arrays themselves have on every backend.
"""


def document(matrix: Matrix, backend: str) -> str:
    """Return the page: a table, then what is said where a cell is refused or slower."""
    states = Counter(cell.state for cell in matrix.values())
    asked = len(matrix) - states.pop(NOT_ASKED, 0)
    counts = ", ".join(f"{number:,} are {state}" for state, number in states.items())
    versions = ", ".join(f"{k} {v}" for k, v in ms.get_backend(backend).versions().items())
    parts = [HEAD.format(backend=backend, versions=versions, asked=f"{asked:,}", counts=counts)]
    parts.append(f"| function | {' | '.join(FORMS)} |\n|{' --- |' * (len(FORMS) + 1)}")
    for name in ENTRIES:
        row = [_state({shape: matrix[name, form, shape] for shape in SHAPES}) for form in FORMS]
        parts.append(f"| `{name}` | {' | '.join(row)} |")
    for state, title in ((REFUSED, "Refusals"), (RIGHT, "Slower ways")):
        said = {(name, cell.words) for (name, _, _), cell in matrix.items() if cell.state == state and cell.words}
        if said:
            parts.append(f"\n{title}:\n")
            parts += [f"- `{name}`: {words.replace('|', '/')}" for name, words in sorted(said)]
    return "\n".join([*parts, ""])


def _state(cells: Mapping[str, Cell]) -> str:
    by_state: dict[str, list[str]] = {}
    for shape, cell in cells.items():
        by_state.setdefault(cell.state, []).append(shape)
    others = [f"{state} ({', '.join(shapes)})" for state, shapes in by_state.items() if state not in (RIGHT, NOT_ASKED)]
    slower = any(cell.state == RIGHT and cell.words for cell in cells.values())
    return ", ".join(others) or ("-" if RIGHT not in by_state else "ok, slower" if slower else "ok")
