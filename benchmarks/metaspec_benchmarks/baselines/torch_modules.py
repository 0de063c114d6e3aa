"""metaspec's forms of a user's loss: a module of `torch.nn` in one task's loss."""

from collections.abc import Callable
from functools import partial
from typing import Any

import metaspec as ms
from metaspec.api import Tier
from metaspec.task import Task, Tree
from metaspec_benchmarks.baselines.torch_model import TorchModel, model
from metaspec_benchmarks.benchmark_cases import LONG, BenchmarkCase
from metaspec_benchmarks.timed_forms import Built, TimedForm


def forms() -> list[TimedForm]:
    """Eager, with the module called by `functional_call` and by `from_model`; compiled and native, by the former."""
    return [
        TimedForm("metaspec, eager, torch.nn", "metaspec", partial(_build, _called, None)),
        TimedForm("metaspec, eager, from_model", "metaspec", partial(_build, _from_model, None)),
        TimedForm("metaspec, torch.nn", "metaspec", partial(_build, _called, "default")),
        TimedForm("metaspec, native, torch.nn", "metaspec", partial(_build, _called, "native"), slow=True),
    ]


def _called(m: TorchModel) -> Callable[[Tree, Tree], Any]:
    return lambda params, batch: m.of_params(params, *batch)


def _from_model(m: TorchModel) -> Callable[[Tree, Tree], Any]:
    loss: Callable[[Tree, Tree], Any] = ms.from_model(m.module, lambda net, batch: m.loss(net(batch[0]), batch[1])).loss
    return loss


def _build(loss_of: Callable[[TorchModel], Any], tier: Tier | None, case: BenchmarkCase) -> Built | None:
    if tier == "native" and case.steps > LONG:
        return None
    m, algo = model(case), case.algorithm()
    loss, tasks = loss_of(m), Task(m.support, m.query)
    params = {name: leaf.detach() for name, leaf in m.module.named_parameters()}

    def step(params: Tree, tasks: Task) -> Any:
        r = ms.batch_meta_gradient(algo, loss, params, tasks)
        return r.delta, r.query_loss

    call = step if tier is None else ms.compile(step, tier=tier, backend="torch")
    return Built(lambda: call(params, tasks), lambda found: m.arrays(found[0]))
