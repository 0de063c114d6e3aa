"""Members of the family by forward differentiation: every number of the inner loop carries its gradient along."""

from metaspec_conformance.golden.family_loop import FamilyLoop, part
from metaspec_conformance.golden.vector_records import ALL, Array, map_values


class _Tangents:
    """Numbers with gradients in phi and in what is learned."""

    def __init__(self, jet, count):
        self.jet, self.count, self.drawn = jet, count, 0

    def variable(self, x):
        self.drawn += 1
        return self.jet(x, [(x * 0 + 1) * (i == self.drawn - 1) for i in range(self.count)], [])

    def constant(self, x):
        return self.jet(x, [x * 0] * self.count, [])


def by_tangents(algorithm, params, phi, data, query, derivatives):
    """Delta (then what is learned), theta_K and the query loss of one task, in mpmath's numbers."""
    from tests.conformance.golden_jets import Jet

    rule = algorithm.rule
    number = type(phi[0])
    given = {which: _numbers(arrays, number) for which, arrays in rule.inputs.items()}
    if "lr" not in given:
        given["lr"] = {ALL: Array((), (number(algorithm.lr),))}
    learned = [x for which in rule.learned for name in sorted(given[which]) for x in given[which][name].values]
    make = _Tangents(Jet, len(phi) + len(learned))
    variables = [make.variable(x) for x in phi]
    constants = {which: _map(make.constant, arrays) for which, arrays in given.items()}
    varied = {**constants, **{which: _map(make.variable, _sorted(given[which])) for which in rule.learned}}
    since = 0 if rule.backprop_steps is None else algorithm.steps - rule.backprop_steps

    def slope(theta, k):
        _, g, H = derivatives([x.value for x in theta], part(data, rule.minibatch, k))
        return [Jet(a, _combined(row, theta), []) for a, row in zip(g, H, strict=True)]

    def loop(k):
        return FamilyLoop(algorithm, params, varied if k >= since else constants, _root)

    theta, state = loop(since).start(variables)
    origin, path = theta, [theta]
    for k in range(algorithm.steps):
        theta, state = loop(k).step(theta, state, slope, origin, k)
        if k + 1 == since:
            theta = [Jet(x.value, v.gradient, []) for x, v in zip(theta, variables, strict=True)]
            state = [tuple(make.constant(s.value) for s in entry) for entry in state]
            origin = [make.constant(x.value) for x in origin]
        path.append(theta)
    weights = [number(w) for w in rule.query_weights or [*["0"] * (algorithm.steps - 1), "1"]]
    value, total = 0, [number(0)] * make.count
    for w, at in zip(weights, path[1:], strict=True):
        loss, g, _ = derivatives([x.value for x in at], query)
        value, total = value + w * loss, [a + w * b for a, b in zip(total, _combined(g, at), strict=True)]
    ends = [x.value for x in theta]
    if algorithm.name == "Reptile":
        total = [p - t for p, t in zip(phi, ends, strict=True)]
    elif algorithm.name == "FOMAML":
        total = derivatives(ends, query)[1]
    return total, ends, value


def _combined(row, theta):
    """The gradient of sum_i row_i theta_i."""
    return [sum(h * x.gradient[i] for h, x in zip(row, theta, strict=True)) for i in range(len(theta[0].gradient))]


def _root(x):
    return x.sqrt(x.value.context)


def _numbers(arrays, number):
    return {name: map_values(number, leaf) for name, leaf in arrays.items()}


def _sorted(arrays):
    return {name: arrays[name] for name in sorted(arrays)}


def _map(f, arrays):
    return {name: map_values(f, leaf) for name, leaf in arrays.items()}
