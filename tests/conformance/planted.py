"""A backend with a fault, for a worker process: its products with the Hessian are zero."""

import os

from metaspec import get_backend
from metaspec.conformance.plain import tree_map


class WithoutProducts(type(get_backend("numpy"))):
    def linearize_grad(self, f):
        gradient = self.grad(f)
        return lambda x, *args: (gradient(x, *args), lambda v: tree_map(lambda leaf: 0 * leaf, v))


class Ending(type(get_backend("numpy"))):
    """The process ends in the first computation."""

    def value_and_grad(self, f, has_aux=False):
        os._exit(3)
