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
    cell,
)
from metaspec_conformance.namespace_matrix.document import document
from metaspec_conformance.namespace_matrix.functions import ENTRIES

PART = [
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


@pytest.mark.parametrize(("name", "form", "shape"), PART)
def test_cells_are_right_or_refused(B, name, form, shape):
    found = cell(B, name, form, shape)
    assert found.sound, found


@pytest.mark.soak
@pytest.mark.parametrize("form", FORMS)
def test_every_cell_is_right_or_refused(B, form):
    found = {(name, shape): cell(B, name, form, shape) for name in ENTRIES for shape in SHAPES}
    assert not {key: c for key, c in found.items() if not c.sound}


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

    assert cell(broken(lambda xp, x: xp.tanh(x) * 1.001), "tanh", "eager", "ordinary").state == WRONG
    assert cell(broken(fail), "tanh", "eager", "ordinary") == Cell(FOREIGN, "ValueError: no")
    B = ms.get_backend("numpy")
    constant = broken(lambda xp, x: xp.tanh(x) + 0.5 * (x - B.stop_gradient(x)) ** 2)  # wrong from the second on
    assert cell(constant, "tanh", "eager", "ordinary").state == RIGHT
    assert cell(constant, "tanh", "second order", "ordinary").state == WRONG


def test_document():
    matrix = {("numpy", name, form, shape): Cell(RIGHT) for name in ENTRIES for form in FORMS for shape in SHAPES}
    matrix["numpy", "tanh", "batched", "empty"] = Cell(REFUSED, "tanh: no")
    matrix["numpy", "tanh", "eager", "empty"] = Cell(NOT_ASKED)
    page = document(matrix, ["numpy"])
    assert "| `tanh` | ok | refused (empty) | ok | ok | ok |" in page
    assert "- `tanh`: tanh: no" in page
    assert np.all([f"`{name}`" in page for name in ENTRIES])
