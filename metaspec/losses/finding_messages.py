"""The findings of `check_loss` in words, one function for each."""

from collections.abc import Sequence

from metaspec.losses.findings import ALL, SECOND, LossFinding

PURE = "A loss is called many times for one meta-gradient, in any order, and once for all when it is compiled"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}"


def raises(error: Exception) -> LossFinding:
    """The loss itself fails."""
    return LossFinding(
        "raises",
        "error",
        f"the loss raises {_short(error)}",
        "No algorithm can compute anything with it",
        "Call loss(params, batch) by itself and mend it; params and batch must be of the shapes and formats that it "
        "expects",
    )


def fails_again(error: Exception) -> LossFinding:
    """The loss runs in its first call, and not in its second."""
    return LossFinding(
        "state",
        "error",
        f"the loss runs once; called again on the same arguments it raises {_short(error)}",
        f"{PURE}: what the first call leaves behind breaks the next",
        "Keep no arrays from call to call (a cache, a list, an attribute, a global); compute them anew",
    )


def broken_contract(error: Exception) -> LossFinding:
    """The loss does not return a floating scalar of the backend."""
    return LossFinding(
        "contract", "error", str(error), "No algorithm can compute anything with it", "Return a floating scalar"
    )


def no_gradient(error: Exception) -> LossFinding:
    """The value is there, the gradient fails."""
    return LossFinding(
        "no-gradient",
        "error",
        f"the loss has a value, its gradient raises {_short(error)}",
        "No algorithm can compute anything with it",
        "Use functions of the framework that have derivatives, and take no values out of it (float(), numpy())",
    )


def no_second_derivative(error: Exception) -> LossFinding:
    """The gradient is there, a product with the Hessian fails."""
    return LossFinding(
        "no-second-derivative",
        "error",
        f"the loss has a gradient, a Hessian-vector product raises {_short(error)}",
        "MAML and iMAML cannot be computed; FO-MAML and Reptile can",
        "Write the function that has no second derivative out in the framework's own operations, choose another of "
        "its implementations (a fused kernel often has a plain one beside it), or use FOMAML or Reptile",
        order=2,
    )


def another_gradient(given: float, slope: float) -> LossFinding:
    """The gradient is not that of the loss's values."""
    return LossFinding(
        "gradient",
        "warning",
        f"the gradient is not that of the loss's values: along a line it is {given:.3g}, and the values change by "
        f"{slope:.3g}",
        "Every algorithm follows the gradient as the framework gives it; MAML and iMAML take what the gradient "
        "treats as constant to be constant",
        "Right if it is meant (stop_gradient, detach, a straight-through estimator); else look for a custom "
        "gradient, or a value that is taken out of the derivative",
        {"gradient": given, "differences": slope},
    )


def second_derivative(product: float, differences: float, miss: float, leaf: str) -> LossFinding:
    """A Hessian-vector product is not what differences of gradients give."""
    if product == 0:
        seen = (
            "the second derivative is silently zero: a Hessian-vector product is exactly 0, and differences of "
            f"gradients give {differences:.3g}"
        )
    else:
        seen = (
            f"the second derivative is wrong: a Hessian-vector product is {miss / max(product, differences):.2g} "
            f"(relative) off what differences of gradients give, most in {leaf}"
        )
    return LossFinding(
        "second-derivative",
        "error",
        seen,
        SECOND,
        "Usual causes: a scripted function, a custom gradient whose own backward pass is detached or not "
        "differentiable, a normalisation that stops the gradient of its mean. Write that function out in the "
        "framework's own operations (a normalisation as (x - mean) / sqrt(mean((x - mean)**2) + epsilon)), or use "
        "FOMAML or Reptile",
        {"product": product, "differences": differences, "miss": miss},
        order=2,
    )


def random(first: float, again: float, relative: float) -> LossFinding:
    """Two evaluations differ."""
    return LossFinding(
        "random",
        "error",
        f"two equal evaluations differ: the loss is {first:.9g}, then {again:.9g} (value or gradient by "
        f"{relative:.2g}, relative)",
        "A meta-gradient is of a function, and of this loss every algorithm mixes several functions: MAML's and "
        "iMAML's products belong to other draws than the gradients; compiled, the first draw may stay for ever",
        "Draw outside and pass in through the batch (masks, noise, seeds); call eval(), or training=False, on "
        "layers that draw",
        {"relative": relative},
    )


def another_function(differentiated: float, alone: float) -> LossFinding:
    """The loss has one value where it is differentiated, and another where it is not."""
    return LossFinding(
        "another-function",
        "error",
        f"the loss is {differentiated:.9g} while its gradient is computed and {alone:.9g} by itself, each time again",
        "Every algorithm follows the gradient of another function than the loss",
        "Look for questions about the type of an argument, for an `except` that hides what a framework refuses within "
        "a derivative, and for modes that depend on it",
    )


def generators_moved(names: Sequence[str], seen: bool) -> LossFinding:
    """A process-wide generator of random numbers is in another state."""
    return LossFinding(
        "random-state",
        "note" if seen else "warning",
        f"the loss draws from a process-wide generator of random numbers ({_listed(names)})",
        "The values did not show it here; compiled, a draw is made once and stays" if not seen else "It is random",
        "Draw outside and pass in through the batch",
    )


def mutated(names: Sequence[str]) -> LossFinding:
    """Parameters or batch are changed."""
    return LossFinding(
        "mutation",
        "error",
        f"the loss changes what it is given in place: {_listed(names)}",
        ALL,
        "Write new values to new variables (p + 1, not p += 1, p[...] = 1 or p.add_(1))",
    )


def state_altered(names: Sequence[str]) -> LossFinding:
    """An array that the loss can reach is changed."""
    return LossFinding(
        "state",
        "error",
        f"the loss alters arrays outside of its arguments: {_listed(names)}",
        f"{PURE}: what it leaves behind leaks from task to task, whatever the algorithm",
        "Keep statistics out of the loss (eval(), training=False, track_running_stats=False), or return them with "
        "has_aux=True",
    )


def settings_changed(names: Sequence[str]) -> LossFinding:
    """A process-wide setting is changed."""
    return LossFinding(
        "settings",
        "warning",
        f"the loss changes process-wide settings: {_listed(names)}",
        f"{PURE}; other code sees the change",
        "Change settings before the training, or within a context manager of the framework",
    )


def ignores_params() -> LossFinding:
    """Nothing depends on the parameters."""
    return LossFinding(
        "ignores-params",
        "error",
        "the loss does not depend on its parameters: every gradient is zero, and other parameters give the same value",
        "Every meta-gradient is zero, and nothing is learned",
        "Use `params`, the first argument, in the loss: a model that the loss closes over keeps parameters of its "
        "own (metaspec.from_model makes a loss of a model)",
    )


def unused_leaf(names: Sequence[str]) -> LossFinding:
    """A leaf has no effect."""
    return LossFinding(
        "unused-leaf",
        "note",
        f"the loss does not depend on {_listed(names)}",
        "Its gradient is zero for every algorithm, and it stays as it is",
        "Leave it out, if it was meant to have no use",
        dict.fromkeys(names, 0.0),
    )


def flat(names: Sequence[str], everything: bool) -> LossFinding:
    """A gradient is exactly zero in a whole neighbourhood."""
    return LossFinding(
        "flat",
        "warning" if everything else "note",
        f"the gradient of {_listed(names)} is exactly zero here, and the loss flat around it",
        "No algorithm moves it from here" + ("; nothing is learned" if everything else ""),
        "Look for units that are switched off for all examples, for saturation, and for functions that round or "
        "compare",
    )


def detached(names: Sequence[str], everything: bool) -> LossFinding:
    """The value depends on a leaf, the gradient does not."""
    return LossFinding(
        "detached",
        "error" if everything else "warning",
        f"the loss depends on {_listed(names)}, but the gradient is exactly zero",
        "Every meta-gradient is zero, and nothing is learned"
        if everything
        else "For every algorithm it stays as it is",
        "Take out what stops the gradient (stop_gradient, detach, no_grad, values as NumPy arrays or numbers, "
        "rounding), if it was not meant",
    )


def value_not_finite(value: float) -> LossFinding:
    """The loss is NaN or infinite."""
    return LossFinding(
        "non-finite",
        "error",
        f"the loss is {value} at the parameters given",
        "Every algorithm gives NaN or infinity",
        "Look at the batch (no valid label, a mean over nothing) and at logarithms, roots and divisions of zero",
    )


def gradient_not_finite(leaf: str, kink: bool) -> LossFinding:
    """The loss is finite, its gradient is not."""
    where = "at exactly these parameters (beside them it is)" if kink else "here and beside"
    return LossFinding(
        "kink" if kink else "non-finite",
        "error",
        f"the loss is finite, its gradient in {leaf} is not, {where}",
        "Every algorithm gives NaN or infinity",
        ROOT_AT_ZERO,
    )


ROOT_AT_ZERO = (
    "The usual cause is a root or a norm at zero (or a power below 1, or a logarithm), where the slope is infinite: "
    "add an epsilon inside, sqrt(x**2 + 1e-12); a `where` around it must choose the argument, not the result"
)


def second_not_finite(leaf: str) -> LossFinding:
    """Value and gradient are finite, a Hessian-vector product is not."""
    return LossFinding(
        "non-finite",
        "error",
        f"loss and gradient are finite, a Hessian-vector product is not ({leaf})",
        "MAML and iMAML give NaN or infinity; FO-MAML and Reptile are right",
        ROOT_AT_ZERO,
        order=2,
    )


def digits_lost(relative: float) -> LossFinding:
    """The format is too narrow for this loss."""
    return LossFinding(
        "digits",
        "note",
        f"the gradient has lost digits: in float64 it differs by {relative:.1g} (relative)",
        "Every algorithm's result has no more digits than that; second derivatives lose more",
        "Compute in float64, or scale the data; differences of large numbers are the usual cause",
        {"relative": relative},
    )


def form_fails(form: str, error: Exception) -> LossFinding:
    """The batched or the compiled form raises."""
    means, remedy = {
        "batched": (
            "meta_gradient works, one task at a time; batch_meta_gradient and meta_train may not",
            "Write the loss without Python branches on values and without functions that the framework cannot "
            "batch, or pass chunk_size=1",
        ),
        "compiled": (
            "meta_gradient and batch_meta_gradient work; compile and meta_train may not",
            "Write the loss without Python branches on values and without functions that the framework cannot compile",
        ),
    }[form]
    return LossFinding(form, "warning", f"the {form} form raises {_short(error)}", means, remedy)


def form_differs(form: str, what: str, relative: float) -> LossFinding:
    """The batched or the compiled form computes something else."""
    order = 1 if what == "gradient" else 2
    return LossFinding(
        form,
        "error",
        f"the {form} {what} is {relative:.2g} (relative) off the one computed by itself",
        f"What is computed {'at once for several tasks' if form == 'batched' else 'by compiled code'} is wrong: "
        + (SECOND if order == 2 else ALL),
        "Look for state, for functions of the whole array where a row was meant, and for branches on shapes; or "
        "compute " + ("task by task, chunk_size=1" if form == "batched" else "without compile"),
        {"relative": relative},
        order=order,
    )
