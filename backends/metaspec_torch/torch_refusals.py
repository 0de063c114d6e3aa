"""PyTorch's refusals in metaspec's words: the operation, the reason, what to write instead."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from metaspec.errors import LossError, MetaspecError, MutationError, UnsupportedError
from metaspec_torch._private import differentiates_once

NO_SECOND = (
    "loss: PyTorch has no second derivative of {operation}, which MAML and iMAML need. {instead} FOMAML and Reptile "
    "need first derivatives alone"
)
ELSE = "Write it in operations that have one."
INSTEAD = {
    "cdist": 'Pass compute_mode="use_mm_for_euclid_dist" to torch.cdist (p=2), or write the distances out: '
    "(x[:, None] - y[None]).square().sum(-1).",
    "attention": "Use the mathematical path: with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH).",
    "sparse": "Build the embedding with sparse=False.",
    "embedding_bag": "Use an embedding and a mean or a sum over its axis in place of an embedding bag.",
    "cudnn_rnn": "Evaluate the recurrent layer within torch.backends.cudnn.flags(enabled=False).",
    "compile": "Pass the module or the function as it was before torch.compile.",
    "once_differentiable": "Its backward is marked once_differentiable: write it in differentiable operations and "
    "take the mark away.",
}
NOT_TWICE = (
    re.compile(r"derivative for '?(?:aten::)?(?P<operation>[\w.]+)'? is not implemented"),
    re.compile(r"(?P<operation>once_differentiable)"),
    re.compile(r"torch\.(?P<operation>compile) with aot_autograd does not currently support double backward"),
    re.compile(r"(?P<operation>\w+) does not support (?:automatic )?(?:double backward|differentiation)"),
)


@contextmanager
def explained() -> Iterator[None]:
    """Within it, a refusal of PyTorch's to differentiate is raised as an error of metaspec's; other errors pass."""
    try:
        yield
    except MetaspecError:
        raise
    except RuntimeError as error:
        known = _known(str(error))
        if known is None:
            raise
        raise known from error


def refuse_once_differentiable(nodes: Iterable[Any]) -> None:
    """Raise where a function in the recording that ends in these nodes can be differentiated only once.

    Raises:
        UnsupportedError: The function, and what to write instead.
    """
    waiting, seen = list(nodes), {None}
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        kind: Any = type(node)
        if differentiates_once(kind):
            instead = INSTEAD["once_differentiable"]
            raise UnsupportedError(NO_SECOND.format(operation=node.name().removesuffix("Backward"), instead=instead))
        waiting += [parent for parent, _ in node.next_functions]


def _known(message: str) -> MetaspecError | None:
    if "in-place" in message or "modified inplace" in message:
        return MutationError(f"loss: it changed its parameters or its batch in place ({message})")
    if "modified by an inplace operation" in message:
        return LossError(
            "loss: it changes a tensor in place after an operation whose derivative needs the value from before, so it "
            "has no gradient in plain PyTorch either. Write x = x + 1 for x += 1 and torch.where(mask, a, x) for "
            f"x[mask] = a, or clone the tensor before it is read ({message})"
        )
    if "mixed torch.Tensor and DTensor" in message:
        return UnsupportedError(
            "loss: some of its tensors are DTensors and some are not; spread the batch over the mesh too: "
            "torch.distributed.tensor.distribute_tensor(x, mesh, [Replicate()])"
        )
    if "Inference tensors cannot be saved" in message:
        return LossError(
            "loss: it computes with a tensor that was made under torch.inference_mode, which autograd keeps no "
            "derivative through; make it under torch.no_grad, or clone it outside of inference mode"
        )
    if "use_reentrant=True" in message:
        return UnsupportedError(
            "loss: torch.utils.checkpoint.checkpoint with use_reentrant=True has no gradient by torch.autograd.grad; "
            "pass use_reentrant=False"
        )
    if "dynamo-optimized function" in message:
        return UnsupportedError(
            "compile: the loss calls a function that torch.compile has made, which cannot be recorded again; call the "
            "function as it was before"
        )
    if "sparse" in message.lower():
        return UnsupportedError(NO_SECOND.format(operation="sparse gradients", instead=INSTEAD["sparse"]))
    for pattern in NOT_TWICE:
        found = pattern.search(message)
        if found:
            operation = found["operation"]
            instead = next((text for part, text in INSTEAD.items() if part in operation), ELSE)
            return UnsupportedError(NO_SECOND.format(operation=operation, instead=instead))
    return None
