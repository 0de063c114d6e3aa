"""A port to JAX in its own layout: NHWC, weights (in, out), nested names."""

import jax.numpy as jnp
import numpy as np

from metaspec_conformance.compare import Leaf
from tests.compare.data import batch

mapping = {
    "Dense_0": {"kernel": Leaf("fc.weight", split=(5, 2, 2, 1), axes=(2, 3, 1, 0), shape=(4, 5)), "bias": "fc.bias"},
    "Dense_1": {"kernel": Leaf("out.weight", axes=(1, 0))},
}
unflattened = {"Dense_0": {"kernel": Leaf("fc.weight", axes=(1, 0)), "bias": "fc.bias"}, "Dense_1": mapping["Dense_1"]}
forgetful = {"Dense_0": {"kernel": mapping["Dense_0"]["kernel"]}, "Dense_1": mapping["Dense_1"]}
misshapen = mapping | {"Dense_1": {"kernel": Leaf("out.weight", axes=(0, 0))}}
stringly = mapping | {"Dense_1": {"kernel": Leaf("out.weight", axes="10")}}
numbered = mapping | {"Dense_1": {"kernel": Leaf(1)}}
mixed = mapping | {"Dense_0": {"kernel": mapping["Dense_0"]["kernel"], 1: "fc.bias"}}
misnamed = mapping | {"Dense_1": {"kernel": Leaf("out.wieght", axes=(1, 0))}}

task = tuple({"x": np.moveaxis(rows["x"], 1, 3), "y": rows["y"]} for rows in (batch(0, 5), batch(1, 7)))


def loss(params, batch):
    x = batch["x"].reshape(batch["x"].shape[0], -1)
    x = jnp.tanh(x @ params["Dense_0"]["kernel"] + params["Dense_0"]["bias"])
    return jnp.mean((x @ params["Dense_1"]["kernel"] - batch["y"]) ** 2)
