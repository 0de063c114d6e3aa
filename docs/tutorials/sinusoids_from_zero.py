"""Sinusoids from zero

Meta-learning on NumPy alone, from the first meta-gradient to a network that fits a sinusoid from ten points. The script
takes about ten seconds; the pictures need `metaspec[plots]`.
"""

# %%
# A **task** is a support set, which the inner loop learns from, and a query set, which judges what it learned. A *source*
# has a task for every number. Here each task is a sinusoid of its own amplitude and phase (Finn, Abbeel, Levine 2017):

import numpy as np

import metaspec as ms
from metaspec import data, nn, plots

source = data.Sinusoid(shots=10, queries=10)
task = source.task(0)
print(task.support["x"].shape, task.query["y"].shape)  # (10, 1) (10, 1)

# %%
# A **loss** is a function of parameters and a batch. `nn.MLP` is a network with such a loss; yours can be any function
# that uses the namespace of its arrays, and runs on every backend:

network = nn.MLP((1, 40, 40, 1), activation=nn.tanh)
params = network.init(seed=0)


def loss(params, batch):
    xp = ms.array_namespace(params)
    return xp.mean((network.apply(params, batch["x"]) - batch["y"]) ** 2)


# %%
# An **algorithm** says how the inner loop adapts and what the meta-gradient is. Of MAML it is the derivative of the query
# loss after adaptation, in the parameters before it:

maml = ms.MAML(ms.GradientDescent(lr=0.03, steps=2))
r = ms.meta_gradient(maml, loss, params, task, backend="numpy")
print(f"query loss after adaptation {float(r.query_loss):.3f}")  # r.delta is the meta-gradient, a tree like params

# %%
# Do you believe it? A difference quotient needs no derivative at all. It moves the parameters along one direction, adapts,
# and looks at the query loss:

rng = np.random.default_rng(0)
wide = {name: np.asarray(leaf, np.float64) for name, leaf in params.items()}
wide_task = ms.Task(*({name: leaf.astype(np.float64) for name, leaf in part.items()} for part in task))
direction = {name: rng.normal(size=leaf.shape) for name, leaf in wide.items()}


def after(step):
    moved = {name: leaf + step * direction[name] for name, leaf in wide.items()}
    theta = ms.adapt(maml, loss, moved, wide_task.support, backend="numpy")
    return float(loss(theta, wide_task.query))


h = 1e-5
quotient = (after(h) - after(-h)) / (2 * h)
delta = ms.meta_gradient(maml, loss, wide, wide_task, backend="numpy").delta
exact = sum(float(np.sum(delta[name] * direction[name])) for name in wide)
print(f"{exact:.6f} by the chain of products, {quotient:.6f} by differences")
assert abs(exact - quotient) < 1e-5 * abs(exact)

# %%
# **Training** repeats this on fresh tasks. `meta_train` compiles the step, checks the loss first, and returns a `Run`:

run = ms.meta_train(
    maml, loss, params, source, steps=2000, optimizer=ms.training.Adam(0.005), tasks_per_step=10, backend="numpy"
)
plots.save(plots.curves([plots.losses_of("", [run.history])], y="query loss after adaptation"), "sinusoid_loss.svg")

# %%
# ![Query loss over the outer steps](pictures/sinusoid_loss.svg)
#
# **Meta-testing** uses tasks that training never saw, from another stream of random numbers, and may well take more steps:

held_out = data.Sinusoid(stream="test")
ten_steps = ms.MAML(ms.GradientDescent(lr=0.03, steps=10))
report = ms.meta_test(ten_steps, loss, run.params, held_out, tasks=200, backend="numpy")
print(f"before adaptation {report.loss_before}, after ten steps {report.loss_after}")
assert report.loss_after.mean < 0.4 * report.loss_before.mean

# %%
# The same network before adaptation and after one and ten inner steps on ten points, on three held-out tasks:

figure = plots.adaptation_curves(maml, network, run.params, held_out, backend="numpy")
plots.save(figure, "adaptation.svg")

# %%
# ![Adaptation on three sinusoids](pictures/adaptation.svg)
#
# Next: give another algorithm, `ms.FOMAML`, `ms.Reptile`, `ms.IMAML`, the same arguments; choose another backend by
# `backend="jax"`, or put it on your own model ([PyTorch](torch_image_folder.py), [JAX](jax_two_devices.py),
# [TensorFlow](keras_and_tensorflow.py)). From a terminal, `metaspec train sinusoid` does all of this page.
