"""Arrays spread over devices: `jax.shard_map`, and meshes whose axes are explicit.

Within `shard_map` JAX knows over which axes of the mesh a value varies. The derivative with respect to a parameter that
is the same on all devices is then the sum over devices, which multiplies a mean loss by their number. A meta-gradient
is of the tasks that a device has, so parameters are first cast to vary as the tasks do (`jax.lax.pcast`): delta is that
of the device's tasks, and the caller takes the mean, by `jax.lax.pmean(delta, axis)` or distributed=True.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import jax

from metaspec.errors import InvalidArgumentError
from metaspec.task import Tree
from metaspec_jax import _private


def per_device(params: Tree, data: Tree) -> Tree:
    """Return the parameters varying over every axis of the mesh over which a leaf of them or of the data varies."""
    if not jax.sharding.get_abstract_mesh().manual_axes:
        return params
    axes = frozenset[Any]().union(*map(_private.varying, jax.tree.leaves((params, data))))

    def cast(leaf: Any) -> Any:
        missing = tuple(sorted(axes - _private.varying(leaf)))
        return jax.lax.pcast(leaf, missing, to="varying") if missing else leaf

    return jax.tree.map(cast, params)


def spread(params: Tree, tasks: Tree) -> Tree:
    """Return the tasks spread over the axes of the parameters' mesh over which no parameter is.

    Parameters that are whole on every device of a mesh share the tasks out; parameters that are spread over all of its
    axes have all tasks on all devices, and so have tasks whose number the devices do not divide.
    """
    placed = [leaf.sharding for leaf in jax.tree.leaves(params) if isinstance(leaf.sharding, jax.NamedSharding)]
    if not placed or placed[0].mesh.size == 1:
        return tasks
    mesh = placed[0].mesh
    taken = {
        axis for of_leaf in placed for part in of_leaf.spec for axis in (part if isinstance(part, tuple) else [part])
    }
    free = tuple(axis for axis in mesh.axis_names if axis not in taken)
    devices, count = prod(mesh.shape[axis] for axis in free), jax.tree.leaves(tasks)[0].shape[0]
    spec = jax.sharding.PartitionSpec(free) if free and count % devices == 0 else jax.sharding.PartitionSpec()
    return jax.device_put(tasks, jax.NamedSharding(mesh, spec))


def checked_value_and_grad(f: Callable[..., Any], has_aux: bool) -> Callable[..., Any]:
    """`jax.value_and_grad` of f, which must not vary over more axes than what it is differentiated in.

    Raises:
        InvalidArgumentError: It does: the loss reads data of one device's in another way than by its batch.
    """
    plain = jax.value_and_grad(f, has_aux=has_aux)

    def checked(x: Tree, *args: Any) -> Any:
        returned = plain(x, *args)
        value = returned[0][0] if has_aux else returned[0]
        more = _private.varying(value).difference(*map(_private.varying, jax.tree.leaves(x)))
        if more:
            raise InvalidArgumentError(
                f"loss: within jax.shard_map it varies over the mesh's axes {sorted(more)}, over which neither the "
                "parameters nor the task do, and JAX would add its gradients over devices; hand the loss its data by "
                'the batch, or cast the parameters: jax.lax.pcast(params, axes, to="varying")'
            )
        return returned

    def value_and_grad(x: Tree, *args: Any) -> Any:
        within = jax.sharding.get_abstract_mesh().manual_axes
        return checked(x, *args) if within else plain(x, *args)

    return value_and_grad


def explain(error: BaseException) -> None:
    """Raise InvalidArgumentError, with what to do, in place of an error of JAX's about explicit meshes."""
    words = " ".join(str(error).split())
    if type(error).__name__ == "ShardingTypeError":
        raise InvalidArgumentError(
            f"loss: on a mesh with explicit axes JAX cannot tell how a result is spread over devices: {words:.300}."
            " Say so there (out_sharding=..., jax.sharding.reshard), or make the mesh with "
            "jax.sharding.AxisType.Auto, or spread tasks (axis 0 of a stacked batch) in place of parameters"
        ) from error
    if "jax.set_mesh" in words:
        raise InvalidArgumentError(
            "params, task: the arrays are on a mesh with explicit axes, and outside of one JAX puts new arrays on "
            "a single device; work within `with jax.set_mesh(mesh):`, or compile the function by metaspec.compile"
        ) from error
