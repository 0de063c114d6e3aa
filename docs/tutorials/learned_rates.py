"""Learn rates and regularisation

Whatever number the inner rule takes may be learned with the parameters: one rate for all, one for each leaf, for each
entry (Meta-SGD), for each step (MAML++); iMAML's strength of regularisation too. NumPy alone; a few seconds.
"""

# %%
# `ms.Learned(0.05, per="leaf", per_step=True)` stands where a number would. What is trained is then the parameters *and*
# the rates: `algo.init(params)` puts them into one tree, which every function takes in place of `params`:

import metaspec as ms
from metaspec import data, nn, plots

network = nn.MLP((1, 40, 40, 1), activation=nn.tanh)
source = data.Sinusoid()
params = network.init(seed=0)

learned = ms.MAML(ms.GradientDescent(ms.Learned(0.05, per="leaf", per_step=True), steps=2))
meta = learned.init(params)
print({name: rate.tolist() for name, rate in meta.learned["lr"].items()})  # two steps' rates of each leaf

# %%
# Train it beside fixed rates of the same start:

adam = ms.training.Adam(0.003)
options = {"steps": 1000, "tasks_per_step": 10, "optimizer": adam, "backend": "numpy"}
fixed = ms.MAML(ms.GradientDescent(0.05, steps=2))
runs = {
    "rates fixed": ms.meta_train(fixed, network.loss, params, source, **options),
    "rates learned": ms.meta_train(learned, network.loss, meta, source, **options),
}
curves = [plots.losses_of(name, [run.history]) for name, run in runs.items()]
plots.save(plots.curves(curves, y="query loss after adaptation", log_y=True), "learned_rates.svg")
late = {name: sum(record.query_loss for record in run.history[-250:]) / 250 for name, run in runs.items()}
print(late)
assert late["rates learned"] < late["rates fixed"]

# %%
# ![Query loss with fixed and with learned rates](pictures/learned_rates.svg)
#
# What came of the rates: a negative one is allowed (Meta-SGD's may become so); `positive=True` forbids it.

for name, rate in runs["rates learned"].params.learned["lr"].items():
    print(f"{name}: {rate[0]:.3f}, {rate[1]:.3f}")

# %%
# **Regularisation.** iMAML pulls the adapted parameters back to where they started, with strength lambda, and its
# meta-gradient needs the solution alone. The strengths may be a tree, or learned, one for each leaf:

implicit = ms.IMAML(
    ms.GradientDescent(0.02, steps=16),
    ms.Learned(2.0, per="leaf", positive=True),
    solver=ms.ConjugateGradient(steps=5),
)
meta = implicit.init(params)
r = ms.meta_gradient(implicit, network.loss, meta, source.task(0), backend="numpy")
print({name: round(float(slope), 4) for name, slope in r.delta.learned["regularization"].items()})
assert set(r.delta.learned["regularization"]) == set(params)

# %%
# Named members of the family are such choices of arguments: `ms.MetaSGD(0.1)` is a rate for each entry,
# `ms.MAMLPlusPlus(0.1, steps=5, query_weights=...)` one for each leaf and step, `ms.ANIL(rule, "head/**")` moves the head
# alone. [The family](../family.md) lists them with their formulas; `ms.decay_weights(rule, 1e-4)` and
# `ms.clip_by_norm(rule, 1.0)` go around any inner rule.
