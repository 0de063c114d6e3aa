"""Random numbers of a loss as a function of a seed in its batch.

The operations of PyTorch that draw are computed from integers in place of a generator: entry i of the n-th draw of an
evaluation is a hash of (seed, n, i). So a loss with dropout is a pure function of its parameters and its batch, the
same when it is evaluated again, and, as the hash is arithmetic of tensors, when it is recorded.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import torch

from metaspec.errors import InvalidTypeError, MutationError, UnsupportedError
from metaspec.task import Array
from metaspec_torch._private import TorchDispatchMode, is_wrapped

aten = torch.ops.aten
MASK = 0xFFFFFFFF
MULTIPLIER = 0x45D9F3B  # products of 32 bits and 27 stay below 2**63
BITS = 23  # of a uniform number; the middle of its interval has one more, and is exact in float32


class SeededDraws(TorchDispatchMode):
    """Within it operations that draw are functions of the seed, of their order and of the shape drawn.

    Args:
        seed: A scalar integer tensor.

    Raises:
        InvalidTypeError: The seed is none.
        MutationError: An operation draws that has no rule here.
        UnsupportedError: The seed has values of several tasks; the loss then runs task by task.
    """

    def __init__(self, seed: Any) -> None:
        super().__init__()
        if not isinstance(seed, torch.Tensor) or seed.shape != () or seed.is_floating_point():
            shown = f"shape {tuple(seed.shape)}, {seed.dtype}" if isinstance(seed, torch.Tensor) else f"{seed!r:.80}"
            raise InvalidTypeError(f"from_model: the seed in the batch must be a scalar integer tensor, got {shown}")
        if is_wrapped(seed):
            raise UnsupportedError(
                "from_model: a seed draws for one task at a time, outside of torch.func's transforms"
            )
        self._seed, self._drawn = seed.to(torch.int64), 0

    def __torch_dispatch__(self, f: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if torch.Tag.nondeterministic_seeded not in f.tags or kwargs.get("generator") is not None:
            return f(*args, **kwargs)
        rule = RULES.get(f)
        if rule is None:
            raise MutationError(
                f"from_model: the loss draws by {f.overloadpacket}, which has no rule for a seed; draw uniform or "
                "normal numbers, or have what is drawn in the batch"
            )
        return rule(self._uniform, *args, **kwargs)

    def _uniform(self, like: Array) -> Array:
        """Numbers in (0, 1) of the shape and the device, float64 where it is, else float32."""
        self._drawn += 1
        seed = self._seed.to(like.device)
        key = _mixed(_mixed(_mixed(seed & MASK) ^ ((seed >> 32) & MASK)) ^ self._drawn)
        bits = _mixed(_mixed(torch.arange(prod(like.shape), device=like.device)) ^ key) >> (32 - BITS)
        dtype = torch.float64 if like.dtype == torch.float64 else torch.float32
        return ((bits.to(dtype) + 0.5) * 2.0**-BITS).reshape(like.shape)


def _mixed(x: Array) -> Array:
    """A one-to-one scrambling of 32-bit integers, held in 64."""
    for _ in range(2):
        x = ((x ^ (x >> 16)) * MULTIPLIER) & MASK
    return x ^ (x >> 16)


Uniform = Callable[[Array], Array]


def _written(draw: Callable[..., Array]) -> Callable[..., Array]:
    return lambda uniform, x, *args, **options: x.copy_(draw(uniform(x), *args, **options))


def _made(draw: Callable[..., Array], make: Callable[..., Array]) -> Callable[..., Array]:
    def rule(uniform: Uniform, *args: Any, **options: Any) -> Array:
        like = make(*args, **options)
        return draw(uniform(like)).to(like.dtype)

    return rule


def _between(u: Array, low: float = 0.0, high: float = 1.0, **_: Any) -> Array:
    return low + (high - low) * u


def _normal(u: Array, mean: float = 0.0, std: float = 1.0, **_: Any) -> Array:
    return mean + std * 2**0.5 * torch.erfinv(2 * u - 1)


def _less(u: Array, p: Any = 0.5, **_: Any) -> Array:
    return u < p


def _exponential(u: Array, rate: float = 1.0, **_: Any) -> Array:
    return -torch.log(u) / rate


def _dropout(uniform: Uniform, x: Array, p: float, train: bool | None) -> tuple[Array, Array]:
    kept = uniform(x) >= p if train is not False else torch.ones_like(x, dtype=torch.bool)
    scale = 1.0 if train is False or p == 1 else 1 / (1 - p)
    return x * kept * scale, kept


def _rrelu(
    uniform: Uniform, x: Array, noise: Array, lower: Any = 0.125, upper: Any = 1 / 3, *_: Any, **__: Any
) -> Array:
    noise.copy_(torch.where(x <= 0, _between(uniform(x), lower, upper), 1.0))
    return x * noise


RULES: dict[Any, Callable[..., Any]] = {
    aten.rand.default: _made(_between, torch.empty),
    aten.rand_like.default: _made(_between, torch.empty_like),
    aten.randn.default: _made(_normal, torch.empty),
    aten.randn_like.default: _made(_normal, torch.empty_like),
    aten.uniform_.default: _written(_between),
    aten.normal_.default: _written(_normal),
    aten.exponential_.default: _written(_exponential),
    aten.bernoulli_.float: _written(_less),
    aten.bernoulli_.Tensor: _written(_less),
    aten.bernoulli.default: lambda uniform, p, **_: (uniform(p) < p).to(p.dtype),
    aten.bernoulli.p: lambda uniform, x, p=0.5, **_: (uniform(x) < p).to(x.dtype),
    aten.native_dropout.default: _dropout,
    aten.rrelu_with_noise.default: _rrelu,
}
"""(uniform numbers of a tensor's shape, the operation's arguments) -> the operation's result."""
