"""PyTorch with everything that is compiled made native code: `metaspec verify` takes it as an adapter."""

from collections.abc import Callable
from typing import Any

from metaspec_torch.adapter import TorchBackend


class NativeTorch(TorchBackend):
    """`compile` is that of `ms.compile(f, tier="native")`."""

    def compile(self, f: Callable[..., Any]) -> Callable[..., Any]:
        """Inductor's code."""
        return self.tuning.compile_with(f, native=True, donate=())
