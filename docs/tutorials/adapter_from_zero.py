"""Write an adapter

An adapter is a class with nine members; all algorithms, batches and training follow from them. This page writes one for
JAX anew, in forty lines, and has it certified. Needs `metaspec[jax]`, and `metaspec[plots]` for the picture.
"""

# %%
# JAX has reverse mode and a namespace like NumPy's, so each member is a line or two. (The adapter that comes with
# metaspec is longer because it is also fast.) `precision` must switch float64 on within the context, and there alone;
# `is_concrete` says where Python may look at values.

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from metaspec.backend.protocol import Backend
from metaspec.errors import DtypeNotHonouredError
from metaspec.trees import tree_map


class MiniJax(Backend):
    name = "minijax"
    xp = jnp

    def versions(self):
        return {"jax": jax.__version__}

    @contextmanager
    def precision(self, dtype):
        with jax.enable_x64(dtype == "float64" or jax.config.jax_enable_x64), jax.default_matmul_precision("highest"):
            yield

    def asarray(self, x, dtype=None, device=None):
        wanted = dtype or getattr(x, "dtype", None)
        try:
            found = jnp.array(x) if wanted is None else jnp.array(x, dtype=jnp.dtype(wanted))
        except TypeError as error:
            raise DtypeNotHonouredError(f"asarray: no dtype {wanted!r} here") from error
        if wanted is not None and found.dtype != np.dtype(wanted):
            raise DtypeNotHonouredError(f"asarray: {wanted} would become {found.dtype}; use precision({str(wanted)!r})")
        return jax.device_put(found, device)

    def to_numpy(self, x):
        return np.array(x)

    def is_array(self, x):  # needed here alone: by default these would be arrays of the backend "jax"
        return isinstance(x, jax.Array)

    def is_concrete(self, x):
        return not isinstance(x, jax.core.Tracer)

    def value_and_grad(self, f, has_aux=False):
        return jax.value_and_grad(f, has_aux=has_aux)

    def vjp(self, f, *primals):
        return jax.vjp(f, *primals)

    def stop_gradient(self, tree):
        return tree_map(self, jax.lax.stop_gradient, tree)


# %%
# `metaspec verify` takes it by its place, without a package around it. Each scenario is computed in a process of its own
# and held against extended precision; here a part of the list, the whole takes minutes:

if __name__ == "__main__":
    here = Path(__file__)
    place = f"{here.stem}:MiniJax"  # a module and an attribute of it
    command = [sys.executable, "-m", "metaspec", "verify", place, "--dtype", "float64", "--scenario", "least-squares/*"]
    command += ["--json", "adapter.json"]
    said = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(here.parent)}, capture_output=True, text=True)
    print(said.stdout)
    assert said.returncode == 0, said.stdout + said.stderr

# %%
# Errors are in units of roundoff times the problem's amplification; the tolerance is 16. All lie far below:

if __name__ == "__main__":
    from metaspec.plots.figures import COLOURS, panels, save

    with open("adapter.json") as stream:
        outcomes = json.load(stream)["outcomes"]
    worst = {o["scenario"].removeprefix("least-squares/"): o["worst"]["error"] for o in outcomes if o["worst"]}
    figure, (axes,) = panels(1, 1, 6.4, 3.6)
    axes.barh(list(worst), list(worst.values()), color=COLOURS[0])
    axes.axvline(16, color=COLOURS[1], label="tolerance")
    axes.set(xlabel="worst error")
    axes.legend(frameon=False)
    save(figure, "adapter.svg")

# %%
# ![Errors of the adapter on least squares](pictures/adapter.svg)
#
# To publish one: `metaspec new-adapter NAME` writes a package with an entry point, whose tests say what to write next.
# [Writing an adapter](../adapters.md) has every member's duties, speed, and the whole way to a registry.
