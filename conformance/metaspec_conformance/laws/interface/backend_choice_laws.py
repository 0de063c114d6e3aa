"""Laws of which backend a call uses. Shallow copies of the backend stand for other backends of the same arrays."""

import asyncio
from collections.abc import Callable, Iterator
from contextvars import Context
from copy import copy
from functools import partial
from threading import Barrier, Thread
from typing import Any

import metaspec as ms
from metaspec.backend.registry import owner_of, registrations
from metaspec.backend.selection import VARIABLE, chosen_backend
from metaspec.errors import BackendMismatchError, BackendNotChosenError, BackendNotInstalledError, UnknownBackendError
from metaspec_conformance.laws.framework.claims import Claim, Holds, raises
from metaspec_conformance.laws.framework.coupled_scenario import alone, small
from metaspec_conformance.laws.framework.law import PROTOCOL, law
from metaspec_conformance.laws.framework.law_context import Array, LawContext, Tree
from metaspec_conformance.workers.python_program import run_program

choice = partial(law, on=small, applies=alone, subject=PROTOCOL, numeric=False, dtypes=("float32",))


def _used(at: LawContext, **options: Any) -> Any:
    """The backend that a call computes with, as the loss sees it."""
    seen: list[Any] = []

    def loss(params: Tree, batch: Tree) -> Array:
        seen.append(ms.get_backend())
        return at.loss(params, batch)

    ms.adapt(at.algorithm, loss, at.params, at.task.support, **options)
    return seen[0]


def _unchosen(call: Callable[[], Any]) -> Any:
    """The call where no context and no earlier choice has a say; what was chosen is chosen again afterwards."""
    before = Context().run(chosen_backend)

    def bare() -> Any:
        ms.set_backend(None)
        try:
            return call()
        finally:
            ms.set_backend(before)

    return Context().run(bare)


@choice("backend= before backend_context before set_backend before the owner of the arrays", "MS-CHOICE-1")
def order_of_choice(at: LawContext) -> Iterator[Claim]:
    by_argument, by_context, inner_context, by_setting = (copy(at.B) for _ in range(4))
    registered = owner_of(at.B.tree_flatten(at.params)[0][0]) == at.B.name and at.B.name in registrations()

    def used() -> dict[str, tuple[Any, Any]]:
        found = {"the arrays": (_used(at), ms.get_backend(at.B.name))} if registered else {}
        ms.set_backend(by_setting)
        found["set_backend"] = _used(at), by_setting
        with ms.backend_context(by_context):
            found["backend_context"] = _used(at), by_context
            with ms.backend_context(inner_context):
                found["the innermost context"] = _used(at), inner_context
            found["the context again"] = _used(at), by_context
            found["backend="] = _used(at, backend=by_argument), by_argument
        found["set_backend again"] = _used(at), by_setting
        return found

    for name, (found, wanted) in _unchosen(used).items():
        yield Holds(name, found is wanted, f"it is {found!r}, expected {wanted!r}")


@choice(
    f"{VARIABLE} is read at import, and set_backend comes before it; a framework that is missing says what to install",
    "MS-CHOICE-1",
)
def backend_of_the_environment(at: LawContext) -> Iterator[Claim]:
    name = at.B.name if at.B.name in registrations() else "numpy"
    program = f"""
import os, sys
for module in {registrations()[name].requires!r}:
    sys.modules[module] = None
import metaspec as ms
from metaspec.backend.selection import chosen_backend
os.environ[{VARIABLE!r}] = "another"
print(chosen_backend())
try:
    ms.get_backend()
except ms.errors.BackendNotInstalledError as error:
    print(error)
other = type("Other", (ms.Backend,), dict.fromkeys(ms.Backend.__abstractmethods__))()
ms.set_backend(other)
print(chosen_backend() is other, ms.get_backend() is other)
"""
    ran = run_program(program, timeout=60, **{VARIABLE: name})
    chosen, missing, later = [*ran.stdout.splitlines(), "", "", ""][:3]
    yield Holds("chosen", chosen == name, f"it is {chosen!r}, expected {name!r} {ran.stderr[-200:]}")
    install = registrations()[name].install
    yield Holds("missing", install in missing, f"the message does not say {install!r}: {missing!r} {ran.stderr[-200:]}")
    yield Holds("set_backend", later == "True True", f"after it the variable's is still chosen {ran.stderr[-200:]}")


@choice("arrays of another framework, or of several, are an error; nothing is converted", "MS-CHOICE-2")
def foreign_arrays(at: LawContext) -> Iterator[Claim]:
    others = [registration for name, registration in registrations().items() if name != at.B.name]
    foreign = type("Foreign", (), {"__module__": others[0].arrays[0]})()
    mixed = {**at.params, "b": foreign}
    task = ms.Task({**at.task.support, "x": foreign}, at.task.query)
    yield raises("params", BackendMismatchError, lambda: at.meta_gradient(params={"a": foreign, "b": foreign}))
    yield raises("one leaf", BackendMismatchError, lambda: at.meta_gradient(params=mixed))
    yield raises("support", BackendMismatchError, lambda: at.meta_gradient(task=task))
    yield raises("query", BackendMismatchError, lambda: at.meta_gradient(task=ms.Task(task.query, task.support)))
    yield raises("a batch", BackendMismatchError, lambda: at.batch_meta_gradient(tasks=[at.task, task]))
    yield raises("adapt", BackendMismatchError, lambda: at.adapt(support=task.support))
    compiled = ms.compile(lambda params: params, backend=at.B)
    yield raises("compile", BackendMismatchError, lambda: compiled(mixed))


@choice("a name that nobody has and no choice at all are errors that list what there is", "MS-CHOICE-1")
def no_backend(at: LawContext) -> Iterator[Claim]:
    yield raises("unknown", UnknownBackendError, lambda: ms.get_backend("no such backend"))
    yield raises("unknown, set", UnknownBackendError, lambda: ms.set_backend("no such backend"))
    plain = ms.MAML(ms.GradientDescent(0.1, 1))

    def unchosen() -> str:
        try:
            ms.meta_gradient(plain, lambda params, batch: params, object(), ms.Task(None, None))
        except BackendNotChosenError as error:
            return str(error)
        return ""

    message = _unchosen(unchosen)
    installed = [r.name for r in registrations().values() if r.installed]
    yield Holds("lists what is installed", bool(message) and all(name in message for name in installed), message)
    missing = [r.name for r in registrations().values() if not r.installed]
    for name in missing:
        yield raises(f"{name} is not installed", BackendNotInstalledError, partial(ms.get_backend, name))


@choice("a backend_context holds in its own thread and in its own asyncio task, and nowhere else", "MS-CHOICE-1")
def choice_by_thread(at: LawContext) -> Iterator[Claim]:
    backends = [copy(at.B) for _ in range(4)]
    _used(at)  # the data are there before the threads are
    for name, run in (("threads", _in_threads), ("asyncio tasks", _in_tasks)):
        found, outside = _unchosen(partial(run, at, backends))
        alike = all(seen is wanted for seen, wanted in zip(found, backends, strict=True))
        yield Holds(name, alike, f"{[id(x) for x in found]} for {[id(x) for x in backends]}")
        yield Holds(f"outside of the {name}", outside is None, f"{outside!r} is chosen")


def _in_threads(at: LawContext, backends: list[Any]) -> tuple[list[Any], Any]:
    barrier = Barrier(len(backends))
    found: list[Any] = [None] * len(backends)

    def work(i: int) -> None:
        with ms.backend_context(backends[i]):
            barrier.wait(timeout=60)  # every context is open in its thread
            found[i] = _used(at)
            barrier.wait(timeout=60)

    threads = [Thread(target=work, args=(i,)) for i in range(len(backends))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found, chosen_backend()


def _in_tasks(at: LawContext, backends: list[Any]) -> tuple[list[Any], Any]:
    async def work(backend: Any) -> Any:
        with ms.backend_context(backend):
            await asyncio.sleep(0)  # every context is open in its task
            await asyncio.sleep(0)
            return _used(at)

    async def together() -> tuple[list[Any], Any]:
        tasks = [asyncio.ensure_future(work(backend)) for backend in backends]
        await asyncio.sleep(0)
        outside = chosen_backend()
        return [await task for task in tasks], outside

    return asyncio.run(together())
