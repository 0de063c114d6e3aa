"""The matrix of the namespace: a part of its cells in the suite, all of them behind `soak`; and that it can fail."""

import numpy as np
import pytest

import metaspec as ms
from metaspec_conformance.namespace_matrix.cells import (
    FOREIGN,
    FORMS,
    NOT_ASKED,
    REFUSED,
    RIGHT,
    SHAPES,
    WRONG,
    Cell,
    cells,
)
from metaspec_conformance.namespace_matrix.document import document
from metaspec_conformance.namespace_matrix.functions import ENTRIES

PART = [  # each was wrong, or another framework's error, on one backend or another
    ("sign", "batched", "ordinary"),
    ("sign", "all three", "ordinary"),
    ("linalg.det", "second order", "ordinary"),
    ("linalg.det", "compiled", "ordinary"),
    ("linalg.slogdet", "compiled", "ordinary"),
    ("moveaxis", "batched", "ordinary"),
    ("floor_divide", "eager", "ordinary"),
    ("sum", "second order", "empty"),
    ("matmul", "compiled", "one"),
    ("tanh", "all three", "scalar"),
]


def unsound(B, form, places):
    return {place: found for place, found in cells(B, form, places).items() if not found.sound}


def one(B, name, form, shape):
    return cells(B, form, [(name, shape)])[name, shape]


@pytest.mark.parametrize(("name", "form", "shape"), PART)
def test_cells_are_right_or_refused(B, name, form, shape):
    assert not unsound(B, form, [(name, shape)])


def test_first_cells_of_all_functions(B):
    assert not unsound(B, "eager", [(name, "ordinary") for name in ENTRIES])


@pytest.mark.soak
@pytest.mark.parametrize("form", FORMS)
def test_every_cell_is_right_or_refused(B, form):
    assert not unsound(B, form, [(name, shape) for name in ENTRIES for shape in SHAPES])


class Altered:
    """NumPy's namespace with one function replaced."""

    def __init__(self, xp, **others):
        self._xp = xp
        vars(self).update(others)

    def __getattr__(self, name):
        return getattr(self._xp, name)


def broken(f):
    B = ms.get_backend("numpy")

    class Broken(type(B)):
        @property
        def xp(self):
            return Altered(super().xp, tanh=lambda x: f(super(Broken, self).xp, x))

    return Broken()


def test_a_wrong_value_a_wrong_derivative_and_a_foreign_error_are_seen():
    def fail(xp, x):
        raise ValueError("no")

    assert one(broken(lambda xp, x: xp.tanh(x) * 1.001), "tanh", "eager", "ordinary").state == WRONG
    assert one(broken(fail), "tanh", "eager", "ordinary") == Cell(FOREIGN, "ValueError: no")
    B = ms.get_backend("numpy")
    constant = broken(lambda xp, x: xp.tanh(x) + 0.5 * (x - B.stop_gradient(x)) ** 2)  # wrong from the second on
    assert one(constant, "tanh", "eager", "ordinary").state == RIGHT
    assert one(constant, "tanh", "second order", "ordinary").state == WRONG


def test_of_several_cells_that_are_asked_together_the_wrong_one_is_found():
    B = broken(lambda xp, x: xp.tanh(x) * 1.001)
    found = cells(B, "eager", [(name, shape) for name in ("sin", "tanh", "cos", "linalg.inv") for shape in SHAPES])
    assert {name for (name, _), cell in found.items() if cell.state == WRONG} == {"tanh"}
    assert found["sin", "one"] == Cell(RIGHT)
    assert found["linalg.inv", "scalar"] == Cell(NOT_ASKED)


def test_document():
    matrix = {(name, form, shape): Cell(RIGHT) for name in ENTRIES for form in FORMS for shape in SHAPES}
    matrix["tanh", "batched", "empty"] = Cell(REFUSED, "tanh: no")
    matrix["tanh", "eager", "empty"] = Cell(NOT_ASKED)
    matrix["cosh", "compiled", "one"] = Cell(RIGHT, "not compiled: so")
    page = document(matrix, "numpy")
    assert "| `tanh` | ok | refused (empty) | ok | ok | ok |" in page
    assert "| `cosh` | ok | ok | ok, slower | ok | ok |" in page
    assert "- `tanh`: tanh: no" in page
    assert "- `cosh`: not compiled: so" in page
    assert np.all([f"`{name}`" in page for name in ENTRIES])
