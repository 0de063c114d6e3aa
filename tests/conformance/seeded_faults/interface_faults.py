"""Choice of the backend, and errors that must be raised, broken on purpose."""

from typing import Any

import metaspec as ms
from metaspec.algorithms import base as algorithm
from metaspec.algorithms import diagnosis
from metaspec.api import meta_gradients as api
from metaspec.backend import selection as choice
from metaspec.checks import arguments as checks
from metaspec.checks import inputs as validation
from metaspec.losses import lifting
from metaspec.trees import tree_map
from tests.conformance.seeded_faults.fault import Patch, fault, member, method, rebind

interface = "interface"


class _Everywhere:
    """A context variable that is one for all threads."""

    def __init__(self) -> None:
        self.value: Any = None

    def get(self) -> Any:
        return self.value

    def set(self, value: Any) -> Any:
        before, self.value = self.value, value
        return before

    def reset(self, token: Any) -> None:
        self.value = token


@fault(interface)
def context_of_all_threads(patch: Patch) -> None:
    """`backend_context` chooses for every thread."""
    patch(choice, "active", _Everywhere())


@fault(interface)
def context_comes_last(patch: Patch) -> None:
    """`set_backend` comes before `backend_context`."""
    original = choice.chosen_backend
    rebind(patch, original, lambda: original() if choice._chosen is None else choice._chosen)


@fault(interface)
def argument_comes_last(patch: Patch) -> None:
    """What is chosen comes before the `backend=` argument."""
    original = choice.resolve

    def resolve(backend: Any, tree: Any, what: str = "params") -> Any:
        chosen = choice.chosen_backend()
        return original(backend if chosen is None else chosen, tree, what)

    rebind(patch, original, resolve)


@fault(interface)
def environment_variable_ignored(patch: Patch) -> None:
    """METASPEC_BACKEND chooses nothing."""
    patch(choice, "_chosen", None)


@fault(interface)
def environment_before_set_backend(patch: Patch) -> None:
    """What METASPEC_BACKEND chose at import stays chosen, whatever `set_backend` says."""
    of_the_environment, original = choice._chosen, choice.chosen_backend

    def chosen_backend() -> Any:
        active = choice.active.get()
        return (of_the_environment or original()) if active is None else active

    rebind(patch, original, chosen_backend)


@fault(interface)
def unknown_backend_is_numpy(patch: Patch) -> None:
    """A name that no backend has gives NumPy's."""
    original = choice._load

    def load(name: str) -> Any:
        try:
            return original(name)
        except ms.MetaspecError:
            return original("numpy")

    patch(choice, "_load", load)


@fault(interface)
def foreign_arrays_accepted(patch: Patch) -> None:
    """Arrays of another framework, and what is no array, are let in."""
    patch(validation, "_check_owner", lambda B, leaf, where: None)


@fault(interface)
def not_finite_unnoticed(patch: Patch) -> None:
    """NaN and infinity are returned without a word."""
    rebind(patch, diagnosis.check_finite, lambda *args, **named: None)
    rebind(patch, diagnosis.check_adapted, lambda *args, **named: None)


@fault(interface)
def always_finite(patch: Patch) -> None:
    """`diagnostics.finite` is true, whatever the numbers."""
    original = algorithm.result

    def result(B: Any, *args: Any, **named: Any) -> Any:
        r = original(B, *args, **named)
        return r._replace(diagnostics=r.diagnostics._replace(finite=r.query_loss == r.query_loss + 0 * r.query_loss))

    def meta_gradient(original: Any, self: Any, B: Any, *args: Any) -> Any:
        r = original(self, B, *args)
        return r._replace(diagnostics=r.diagnostics._replace(finite=B.xp.ones_like(r.diagnostics.finite)))

    rebind(patch, original, result)
    for kind in (ms.MAML, ms.FOMAML, ms.Reptile, ms.IMAML):
        method(patch, kind, "meta_gradient", meta_gradient)


@fault(interface)
def wrong_step_blamed(patch: Patch) -> None:
    """The error for what is not finite names the step before the one where it arose."""
    original = diagnosis._inner_origin

    def origin(*args: Any) -> str:
        text = original(*args)
        head, step, rest = text.partition("inner step ")
        number, _, tail = rest.partition(" ")
        return f"{head}{step}{int(number) - 1} {tail}" if number.isdigit() else text

    patch(diagnosis, "_inner_origin", origin)


@fault(interface)
def losses_of_any_shape(patch: Patch) -> None:
    """A loss may return anything; a vector is summed silently."""
    original = lifting._split

    def lift(B: Any, loss: Any, has_aux: bool) -> Any:
        def lifted(params: Any, batch: Any) -> Any:
            returned = loss(params, batch)
            value, aux = original(returned) if has_aux else (returned, None)
            return (B.xp.sum(value) if B.is_array(value) and value.shape else value), aux

        return lifted

    rebind(patch, lifting.lift_loss, lift)


@fault(interface)
def integer_parameters_cast(patch: Patch) -> None:
    """Integer parameters are made floating silently."""

    def enter(backend: Any, params: Any) -> Any:
        B = choice.resolve(backend, params)
        wide = tree_map(B, lambda leaf: B.asarray(leaf, None if "float" in str(leaf.dtype) else "float64"), params)
        validation.check_params(B, wide)
        return B, B.guard.detach(wide)

    patch(api, "_enter", enter)


@fault(interface)
def parameters_without_leaves_accepted(patch: Patch) -> None:
    """A tree without leaves is let in as `params`."""
    original = validation.check_params
    rebind(patch, original, lambda B, params: original(B, params) if B.tree_flatten(params)[0] else None)


@fault(interface)
def zero_tasks_give_nothing(patch: Patch) -> None:
    """An empty meta-batch is no error."""
    original = api.batch_meta_gradient

    def batch(algo: Any, loss: Any, params: Any, tasks: Any, **options: Any) -> Any:
        if not isinstance(tasks, ms.Task) and len(tasks) == 0:
            return None
        return original(algo, loss, params, tasks, **options)

    rebind(patch, original, batch)


@fault(interface)
def stacked_axes_unchecked(patch: Patch) -> None:
    """Leaves of a stacked batch that disagree in axis 0 are cut to the shortest."""
    original = api.batch_meta_gradient

    def batch(algo: Any, loss: Any, params: Any, tasks: Any, **options: Any) -> Any:
        if isinstance(tasks, ms.Task):
            B = choice.resolve(options.get("backend"), params)
            least = min((leaf.shape[0] for leaf in B.tree_flatten(tasks)[0] if getattr(leaf, "shape", ())), default=1)
            tasks = tree_map(B, lambda leaf: leaf[: max(1, least), ...], tasks)
        return original(algo, loss, params, tasks, **options)

    rebind(patch, original, batch)


@fault(interface)
def integers_unchecked(patch: Patch) -> None:
    """Steps may be negative: zero is taken."""
    rebind(patch, checks.checked_integer, lambda value, *args, least=0, **named: max(least, int(value)))


@fault(interface)
def in_place_changes_unnoticed(patch: Patch) -> None:
    """A loss that writes in place is handed copies, and its error is never raised."""

    member(
        patch,
        "read_only_view",
        lambda original, self, tree: tree_map(self.backend, lambda x: x.copy() if hasattr(x, "copy") else x, tree),
    )
