"""The user's loss in the form that the algorithms see, its result and its side effects checked at every call."""

from typing import Any

from metaspec.backend.protocol import Backend, is_floating
from metaspec.backend.registry import owner_of
from metaspec.errors import InvalidTypeError, LossError, MetaspecError, MutationError
from metaspec.task import Loss, Tree

MUTATED = (
    "loss: it changed its parameters or its batch in place; write new values to new variables (p + 1, not p += 1, "
    "p[...] = 1 or p.add_(1)): both belong to the caller"
)

GIVEN = "The loss was given the batch"
CHANNELS = (
    'Pictures: FewShot(channels="first") gives [C, H, W], as torch.nn.Conv2d takes them, channels="last" [H, W, C], '
    "as Flax, Keras and metaspec.nn do; grey ones get their axis so"
)

INSTEAD = {
    "T": "xp.permute_dims(x, axes)",
    "mT": "xp.matrix_transpose(x)",
    "size": "math.prod(x.shape)",
    "ndim": "len(x.shape)",
    "__array_namespace__": "metaspec.array_namespace(x)",
}


def lift_loss(B: Backend, loss: Any, has_aux: bool) -> Loss:
    """The user's loss as (params, batch) -> (value, aux), its result and its manners checked at every call."""
    if not callable(loss):
        raise InvalidTypeError(f"loss: expected a function (params, batch) -> scalar, got {type(loss).__name__}")
    loss = B.tuning.traceable_loss(loss)

    loss_as_traced = B.tuning.traceable_loss(loss)

    def lifted(params: Tree, batch: Tree) -> tuple[Any, Any]:
        params, batch = B.guard.read_only_view((params, batch))
        leaves = B.tree_flatten((params, batch))[0]  # the loss may bind new values in its containers, as it likes
        mark = B.guard.version_counter(leaves)
        try:
            returned = loss_as_traced(params, batch)
        except ValueError as error:
            if isinstance(error.__cause__, MetaspecError):  # NumPy wraps what was raised while it looked at an element
                raise error.__cause__ from None
            if "read-only" not in str(error):
                _note_batch(B, batch, error)
                raise
            raise MutationError(MUTATED) from error
        except Exception as error:
            if isinstance(error, AttributeError) and (instead := _everywhere(B, error)):
                raise LossError(
                    f"loss: an array of backend {B.name!r} has no attribute {error.name!r}. With xp = "
                    f"metaspec.array_namespace(params), {instead} works on every backend"
                ) from error
            if isinstance(error, MetaspecError) or not (formats := _mixed_formats(B, params, batch)):
                _note_batch(B, batch, error)
                raise
            first = next(iter(str(error).strip().splitlines()), "")
            raise LossError(
                f"loss: {formats}, and an operation that takes one format raised {type(error).__name__}: {first:.200}. "
                f"Convert the batch, metaspec.asarray(batch, dtype=...), or the parameters"
            ) from error
        if B.guard.version_counter(leaves) != mark:
            raise MutationError(MUTATED)
        value, aux = _split(returned) if has_aux else (returned, None)
        _check_value(B, value)
        return value, aux

    return B.tuning.task_loss(lifted, loss)


def _note_batch(B: Backend, batch: Tree, error: Exception) -> None:
    """Add to what the loss raised which arrays it was given, as the frameworks' messages name none of the batch."""
    named = zip(B.tree_paths(batch), B.tree_flatten(batch)[0], strict=True)
    arrays = [(path, tuple(x.shape), B.dtype_name(x)) for path, x in named if B.is_array(x)]
    if isinstance(error, MetaspecError) or any(n.startswith(GIVEN) for n in getattr(error, "__notes__", ())):
        return
    error.add_note(f"{GIVEN} {', '.join(f'{path} {dtype} {shape}' for path, shape, dtype in arrays)}")
    if any(len(shape) in (3, 4) for _, shape, _ in arrays):
        error.add_note(CHANNELS)


def _everywhere(B: Backend, error: AttributeError) -> str:
    """Return what every backend has for an attribute that an array lacks; nothing where it is another object's."""
    if isinstance(error, MetaspecError) or not B.is_array(getattr(error, "obj", None)):
        return ""
    name = error.name or ""
    return INSTEAD.get(name) or (f"xp.{name}(x, ...)" if hasattr(B.xp, name) else "")


def _mixed_formats(B: Backend, params: Tree, batch: Tree) -> str:
    """Say that parameters and batch differ in their floating format; nothing where they do not."""
    names = [
        {name for leaf in B.tree_flatten(tree)[0] if B.is_array(leaf) and is_floating(name := B.dtype_name(leaf))}
        for tree in (params, batch)
    ]
    if not names[0] or not names[1] or names[0] == names[1]:
        return ""
    return (
        f"parameters are {' and '.join(sorted(names[0]))}, floating data in the batch {' and '.join(sorted(names[1]))}"
    )


def _split(returned: Any) -> tuple[Any, Any]:
    if not isinstance(returned, tuple) or len(returned) != 2:
        raise LossError(f"loss: with has_aux=True it must return (value, aux), got {type(returned).__name__}")
    return returned


def _check_value(B: Backend, value: Any) -> None:
    expected = "expected a floating scalar array (shape ())"
    if not B.is_array(value):
        hint = "; pass has_aux=True for a loss that returns (value, aux)" if isinstance(value, tuple) else ""
        raise LossError(f"loss: it returned {_describe(value)}, {expected} of backend {B.name!r}{hint}")
    if tuple(value.shape) != ():
        raise LossError(f"loss: it returned shape {tuple(value.shape)}, {expected}; reduce it, e.g. with xp.mean")
    if not is_floating(B.dtype_name(value)):
        raise LossError(f"loss: it returned dtype {B.dtype_name(value)}, {expected}")


def _describe(value: Any) -> str:
    owner = owner_of(value)
    if owner is not None:
        return f"an array of backend {owner!r}"
    if value is None:
        return "None"
    shown = f"{value!r:.80} of " if isinstance(value, str | int | float | complex) else ""  # a tracer's repr may fail
    return f"{shown}type {type(value).__name__}"
