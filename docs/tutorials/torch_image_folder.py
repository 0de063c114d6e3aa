"""Your torch module on your image folder

Few-shot classification with a `torch.nn.Module` as it is, on pictures in a folder of folders. Needs `metaspec[torch]` and
`metaspec[plots]`; half a minute on a laptop's processor.
"""

# %%
# The folder holds a folder for each class. Here it is drawn: forty classes, each of them a closed curve of its own, eight
# pictures a class, turned and shifted. Put your own folder in its place.

from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torch.nn.functional import cross_entropy

import metaspec as ms
from metaspec import data, plots

rng = np.random.default_rng(0)
for kind in range(40):
    Path(f"shapes/{kind:02}").mkdir(parents=True, exist_ok=True)
    waves = rng.normal(size=(2, 4)) / np.arange(1, 5)
    for number in range(8):
        turn, shift = rng.normal(0, 0.15), rng.normal(0, 1.5, size=2)
        t = np.linspace(0, 2 * np.pi, 60) + turn
        radius = 9 + 3 * sum(
            a * np.sin(k * (t - turn)) + b * np.cos(k * (t - turn)) for k, (a, b) in enumerate(waves.T, 1)
        )
        outline = np.stack([radius * np.cos(t), radius * np.sin(t)], 1) + 16 + shift
        picture = Image.new("RGB", (32, 32), "white")
        ImageDraw.Draw(picture).polygon([tuple(p) for p in outline], fill="teal", outline="black")
        picture.save(f"shapes/{kind:02}/{number}.png")

# %%
# The loader reads them; a split puts no class into two parts; `FewShot` makes N-way K-shot episodes of a part. PyTorch's
# convolutions want channels first, and `channels=` says so. (Flax, Keras and `ms.nn` want "last".)

pictures = data.load_image_folder("shapes", height=16, width=16, mode="RGB")
train, test = data.split_classes(pictures, (28, 12))
episodes = data.FewShot(train, ways=3, shots=2, queries=4, channels="first")
held_out = data.FewShot(test, ways=3, shots=2, queries=4, channels="first", stream="test")
print(episodes.task(0).support["x"].shape)  # (6, 3, 16, 16)
plots.save(plots.episode_grid(data.FewShot(train, ways=3, shots=2, queries=4).task(0)), "episode.svg")

# %%
# ![An episode: support and query set](pictures/episode.svg)
#
# Any module will do. `from_model` makes its loss a function of its parameters:

torch.manual_seed(0)
net = torch.nn.Sequential(
    torch.nn.Conv2d(3, 12, 3, stride=2, padding=1),
    torch.nn.ReLU(),
    torch.nn.Conv2d(12, 12, 3, stride=2, padding=1),
    torch.nn.ReLU(),
    torch.nn.Flatten(),
    torch.nn.Linear(12 * 4 * 4, 3),
)
model = ms.from_model(net, lambda net, batch: cross_entropy(net(batch["x"]), batch["y"].long()))


def accuracy(params, batch):
    logits = torch.func.functional_call(net, params, batch["x"])
    return (logits.argmax(1) == batch["y"]).to(torch.float32).mean()


# %%
# Training takes torch.optim's optimisers as they are; the loss is checked first (a module that draws random numbers, or
# whose running statistics leak from task to task, is told). On a GPU, move `net` there before `from_model`: tasks follow.

maml = ms.MAML(ms.GradientDescent(lr=0.1, steps=3))
run = ms.meta_train(
    maml,
    model.loss,
    model.params,
    episodes,
    steps=120,
    tasks_per_step=4,
    optimizer=partial(torch.optim.Adam, lr=0.003),
)
report = ms.meta_test(maml, model.loss, run.params, held_out, tasks=50, metric=accuracy)
print(f"accuracy on new classes: {report.metric_before} before, {report.metric_after} after three steps")
assert report.metric_after.mean > report.metric_before.mean + 0.1
plots.save(plots.curves([plots.losses_of("", [run.history])], y="query loss after adaptation"), "torch_loss.svg")

# %%
# ![Query loss over the outer steps](pictures/torch_loss.svg)
#
# `restore` puts the trained parameters into the module, which is then yours to save or to fine-tune:

trained = model.restore(run.params)
torch.save(trained.state_dict(), "shapes.pt")

# %%
# A loop of your own instead of `meta_train`, with `.backward()`: [recipes](../howto/recipes.md#own-loop-and-backward).
