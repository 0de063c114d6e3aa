"""Second-order forward differentiation: the rules of sum, product, exp, log and tanh, in multiple precision."""

from metaspec_conformance.golden.vector_losses import LOSSES
from metaspec_conformance.golden.vector_records import Array


class Jet:
    """A value, its gradient and its Hessian (rows up to the diagonal)."""

    def __init__(self, value, gradient, hessian):
        self.value, self.gradient, self.hessian = value, gradient, hessian

    def through(self, f0, f1, f2):
        """The chain rule for a function with value f0 and derivatives f1, f2 at self.value."""
        g = self.gradient
        rows = [[f1 * h + f2 * g[i] * g[j] for j, h in enumerate(row)] for i, row in enumerate(self.hessian)]
        return Jet(f0, [f1 * x for x in g], rows)

    def __add__(self, other):
        if not isinstance(other, Jet):
            return Jet(self.value + other, self.gradient, self.hessian)
        g = [a + b for a, b in zip(self.gradient, other.gradient, strict=True)]
        pairs = zip(self.hessian, other.hessian, strict=True)
        return Jet(self.value + other.value, g, [[a + b for a, b in zip(r, s, strict=True)] for r, s in pairs])

    def __mul__(self, other):
        if not isinstance(other, Jet):
            return self.through(self.value * other, other, 0)
        a, b, p, q = self.value, other.value, self.gradient, other.gradient
        g = [a * y + b * x for x, y in zip(p, q, strict=True)]
        rows = [
            [a * t + b * s + p[i] * q[j] + p[j] * q[i] for j, (s, t) in enumerate(zip(r, u, strict=True))]
            for i, (r, u) in enumerate(zip(self.hessian, other.hessian, strict=True))
        ]
        return Jet(a * b, g, rows)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + -1 * other

    def __rsub__(self, other):
        return -self + other

    def __truediv__(self, other):
        if isinstance(other, Jet):
            v = other.value
            return self * other.through(1 / v, -1 / v**2, 2 / v**3)
        return self * (1 / (0 * self.value + other))

    def __rtruediv__(self, other):
        v = self.value
        return other * self.through(1 / v, -1 / v**2, 2 / v**3)

    def __pow__(self, n):
        return self if n == 1 else self * self ** (n - 1)

    def sqrt(self, m):
        """The root; zero of zero, with a derivative of zero (Adadelta's first step has a constant under its root)."""
        root = m.sqrt(self.value)
        return self.through(root, 1 / (2 * root), -1 / (4 * root**3))


class JetContext:
    """The part of mpmath's context that the losses use, on jets."""

    def __init__(self, m):
        self.m = m

    def fsum(self, terms):
        return sum(terms)

    def fdot(self, a, b):
        return sum(x * y for x, y in zip(a, b, strict=True))

    def exp(self, x):
        e = self.m.exp(x.value)
        return x.through(e, e, e)

    def log(self, x):
        return x.through(self.m.log(x.value), 1 / x.value, -1 / x.value**2)

    def tanh(self, x):
        t = self.m.tanh(x.value)
        return x.through(t, 1 - t * t, -2 * t * (1 - t * t))


def by_rules(inputs, m):
    """derivatives(v, batch) of a vector's loss: its code, run on jets."""

    def derivatives(v, batch):
        variables = [_variable(m, v, i) for i in range(len(v))]
        jets = {}
        for name in sorted(inputs.params):
            size = len(inputs.params[name].values)
            jets[name], variables = Array(inputs.params[name].shape, tuple(variables[:size])), variables[size:]
        result = LOSSES[inputs.loss](JetContext(m), jets, batch)
        H = [[result.hessian[max(i, j)][min(i, j)] for j in range(len(v))] for i in range(len(v))]
        return result.value, result.gradient, H

    return derivatives


def _variable(m, v, i):
    zero = m.mpf(0)
    return Jet(v[i], [m.mpf(i == j) for j in range(len(v))], [[zero] * (k + 1) for k in range(len(v))])
