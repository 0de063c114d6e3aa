"""Laws of parameter trees: how parameters are packed is no part of the problem."""

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np

from metaspec.task import MetaGradient
from metaspec.trees import tree_map, zeros_like
from metaspec_conformance.judging.numpy_trees import leaves
from metaspec_conformance.laws.framework.claims import Claim, Equal, Holds, Same
from metaspec_conformance.laws.framework.coupled_scenario import alone, small
from metaspec_conformance.laws.framework.law import ONE_FORMAT, law
from metaspec_conformance.laws.framework.law_context import Array, LawContext, Tree
from metaspec_conformance.laws.framework.law_scenarios import scenarios
from metaspec_conformance.laws.members.required_members import Pair
from metaspec_conformance.scenarios.scenario import Scenario

EACH = scenarios("least-squares/{}/steps-1")


def _packed(at: LawContext, packed: Tree, unpack: Callable[[Tree], Tree]) -> MetaGradient:
    """The meta-gradient where the parameters come as `packed`; trees like them come back unpacked."""
    r = at.meta_gradient(loss=lambda params, batch: at.loss(unpack(params), batch), params=packed)
    return r._replace(delta=unpack(r.delta), adapted=unpack(r.adapted))


def _agree(at: LawContext, packed: Tree, unpack: Callable[[Tree], Tree]) -> Iterator[Claim]:
    plain, other = at.meta_gradient(), _packed(at, packed, unpack)
    yield Equal("delta", other.delta, plain.delta)
    yield Equal("adapted", other.adapted, plain.adapted)


def _one_rate(scenario: Scenario) -> bool:
    """Whether the rate is one number: a tree of rates would have to be packed too."""
    return isinstance(getattr(scenario.algorithm.inner, "lr", None), float)


@law(
    "names that reverse the order of the leaves reverse the order of Δ's, and nothing else",
    "MS-TREE-1",
    "MS-TREE-2",
    on=EACH,
    applies=_one_rate,
    dtypes=ONE_FORMAT,
)
def renamed_leaves(at: LawContext) -> Iterator[Claim]:
    flat, structure = at.B.tree_flatten(at.params)
    names = [f"{len(flat) - i:03}" for i in range(len(flat))]
    renamed = dict(zip(names, flat, strict=True))
    yield from _agree(at, renamed, lambda params: at.B.tree_unflatten(structure, [params[name] for name in names]))


@law(
    "dictionaries are read by sorted key: Δ is the same to the last bit",
    "MS-TREE-1",
    on=scenarios("least-squares/maml/steps-1"),
    numeric=False,
)
def inserted_in_another_order(at: LawContext) -> Iterator[Claim]:
    there, here = at.meta_gradient(params=_backwards(at.params)), at.meta_gradient()
    yield Same("delta", there.delta, here.delta)
    yield Holds("flattened", at.B.tree_flatten(_backwards(at.params))[1] == at.B.tree_flatten(at.params)[1])


def _backwards(tree: Tree) -> Tree:
    return {key: _backwards(tree[key]) for key in reversed(tree)} if type(tree) is dict else tree


@law(
    "Δ of all leaves joined into one vector is Δ joined: Hessians couple leaves",
    "MS-TREE-1",
    "MS-TREE-2",
    on=small,
    applies=_one_rate,
)
def one_vector(at: LawContext) -> Iterator[Claim]:
    xp, (flat, structure) = at.B.xp, at.B.tree_flatten(at.params)
    sizes = [int(np.prod(leaf.shape)) for leaf in flat]
    ends = np.cumsum([0, *sizes])

    def unpack(vector: Array) -> Tree:
        parts = [vector[int(a) : int(b)] for a, b in pairwise(ends)]
        shaped = [xp.reshape(part, tuple(leaf.shape)) for part, leaf in zip(parts, flat, strict=True)]
        return at.B.tree_unflatten(structure, shaped)

    yield from _agree(at, xp.concat([xp.reshape(leaf, (-1,)) for leaf in flat]), unpack)


@law(
    "Δ of every entry as a leaf of shape () is Δ entry by entry",
    "MS-TREE-1",
    "MS-EDGE-5",
    "MS-TREE-2",
    on=small,
    applies=alone,
)
def scalar_leaves(at: LawContext) -> Iterator[Claim]:
    def unpack(entries: Tree) -> Tree:
        return {name: at.B.xp.stack(row) for name, row in entries.items()}

    scalars = {name: [leaf[i] for i in range(leaf.shape[0])] for name, leaf in at.params.items()}
    yield from _agree(at, scalars, unpack)


@law(
    "lists, tuples, named tuples, dictionaries, None and empty containers hold the same Δ, and come back as they were",
    "MS-TREE-1",
    "MS-TREE-2",
    on=small,
    applies=alone,
    dtypes=ONE_FORMAT,
)
def other_containers(at: LawContext) -> Iterator[Claim]:
    a, b = at.params["a"], at.params["b"]
    packed = Pair([a, None, ()], {"z": (b,), "none": None, "empty": {}})
    yield from _agree(at, packed, lambda params: {"a": params.left[0], "b": params.right["z"][0]})
    r = at.meta_gradient(loss=lambda p, batch: at.loss({"a": p.left[0], "b": p.right["z"][0]}, batch), params=packed)
    for name, tree in (("delta", r.delta), ("adapted", r.adapted)):
        kept = isinstance(tree, Pair) and tree.left[1:] == [None, ()] and tree.right == {**tree.right, "none": None}
        kept = kept and tree.right["empty"] == {} and isinstance(tree.right["z"], tuple) and len(tree.right) == 3
        yield Holds(f"the containers of {name}", kept, f"it is {tree!r:.200}")


@law(
    "∂l/∂w = 0 makes Δ_w exactly zero and θ_K,w = φ_w to the last bit; the other leaves do not notice",
    "MS-EDGE-2",
    "MS-TREE-2",
    on=EACH,
    applies=_one_rate,
    dtypes=ONE_FORMAT,
)
def unused_leaves(at: LawContext) -> Iterator[Claim]:
    unused = {"deep": [at.array(np.array([0.5, -1.5, 3.0]))], "scalar": at.array(np.array(2.0))}
    packed = {"a": unused, "used": at.params}
    plain, r = at.meta_gradient(), at.meta_gradient(loss=lambda p, batch: at.loss(p["used"], batch), params=packed)
    yield Equal("delta of the used", r.delta["used"], plain.delta)
    yield Equal("delta of the unused", r.delta["a"], zeros_like(at.B, unused))
    yield Same("adapted of the unused", r.adapted["a"], unused)


@law(
    "a leaf behind stop_gradient is a constant: Δ_w = 0 exactly, θ_K,w = φ_w to the last bit",
    "MS-EDGE-2",
    "MS-BACKEND-2",
    on=scenarios("least-squares/maml/steps-1", "least-squares/imaml/steps-1"),
    applies=lambda scenario: _one_rate(scenario) and len(leaves(scenario.params)) > 1,
    dtypes=ONE_FORMAT,
)
def frozen_leaves(at: LawContext) -> Iterator[Claim]:
    (first, *rest), structure = at.B.tree_flatten(at.params)

    def frozen(params: Tree, batch: Tree) -> Array:
        stopped, *others = at.B.tree_flatten(params)[0]
        return at.loss(at.B.tree_unflatten(structure, [at.B.stop_gradient(stopped), *others]), batch)

    def constant(params: list[Array], batch: Tree) -> Array:
        return at.loss(at.B.tree_unflatten(structure, [first, *params]), batch)

    stopped, closed = at.meta_gradient(loss=frozen), at.meta_gradient(loss=constant, params=rest)
    delta, adapted = (at.B.tree_flatten(tree)[0] for tree in (stopped.delta, stopped.adapted))
    yield Equal("delta of the frozen", delta[0], at.B.xp.zeros_like(first))
    yield Same("adapted of the frozen", adapted[0], first)
    yield Equal("delta of the rest", delta[1:], closed.delta)


@law(
    "a leaf without entries is a leaf: Δ and θ_K have it, and the other leaves do not notice",
    "MS-EDGE-5",
    "MS-TREE-2",
    on=scenarios("least-squares/reptile/steps-1", "least-squares/imaml/steps-1"),
    applies=_one_rate,
    dtypes=ONE_FORMAT,
)
def empty_leaves(at: LawContext) -> Iterator[Claim]:
    empty = at.array(np.zeros((0, 3)))
    r = at.meta_gradient(loss=lambda p, batch: at.loss(p["a"], batch), params={"a": at.params, "empty": empty})
    yield Equal("delta", r.delta["a"], at.meta_gradient().delta)
    yield Same("shapes", [r.delta["empty"], r.adapted["empty"]], [empty, empty])


@law(
    "two leaves that are one array, w used as (w + w')/2, share Δ: each gets half of it",
    "MS-TREE-1",
    "MS-BACKEND-1",
    "MS-TREE-2",
    on=scenarios("least-squares/fomaml/steps-1"),
    applies=lambda scenario: scenario.algorithm_name == "FOMAML" and _one_rate(scenario),
    dtypes=ONE_FORMAT,
)
def equal_leaves(at: LawContext) -> Iterator[Claim]:
    def halves(params: Tree, batch: Tree) -> Array:
        return at.loss(tree_map(at.B, lambda a, b: (a + b) / 2, *params), batch)

    twice = at.inner(lr=2 * at.algorithm.inner.lr)  # each half walks half as far
    r, plain = at.meta_gradient(twice, halves, (at.params, at.params)), at.meta_gradient()
    half = tree_map(at.B, lambda d: d / 2, plain.delta)
    yield Equal("delta", r.delta, (half, half))
    yield Equal("adapted", r.adapted, (plain.adapted, plain.adapted))
