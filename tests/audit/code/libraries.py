"""Meta-learning as the users of higher, TorchOpt, JAXopt and optax write it, on the real packages."""

from functools import partial
from typing import Any

import higher
import jax
import jaxopt
import optax
import torch
import torchopt


def by_higher(model: Any, tasks: Any, loss_fn: Any, optimizer: Any, lr: float, steps: int) -> None:
    optimizer.zero_grad()
    for (xs, ys), (xq, yq) in tasks:
        inner = torch.optim.SGD(model.parameters(), lr=lr)
        with higher.innerloop_ctx(model, inner, copy_initial_weights=False) as (net, descent):
            for _ in range(steps):
                descent.step(loss_fn(net(xs), ys))
            (loss_fn(net(xq), yq) / len(tasks)).backward()
    optimizer.step()


def by_higher_first_order(model: Any, tasks: Any, loss_fn: Any, lr: float, steps: int) -> None:
    for (xs, ys), (xq, yq) in tasks:
        inner = torch.optim.SGD(model.parameters(), lr=lr)
        with higher.innerloop_ctx(model, inner, copy_initial_weights=False) as (net, descent):
            for _ in range(steps):
                descent.step(loss_fn(net(xs), ys), grad_callback=lambda grads: [g.detach() for g in grads])
            loss_fn(net(xq), yq).backward()


def by_torchopt(model: Any, tasks: Any, loss_fn: Any, lr: float, steps: int) -> None:
    inner = torchopt.MetaSGD(model, lr=lr)
    start, rates = torchopt.extract_state_dict(model), torchopt.extract_state_dict(inner)
    total = 0
    for (xs, ys), (xq, yq) in tasks:
        for _ in range(steps):
            inner.step(loss_fn(model(xs), ys))
        total = total + loss_fn(model(xq), yq) / len(tasks)
        torchopt.recover_state_dict(model, start)
        torchopt.recover_state_dict(inner, rates)
    total.backward()  # type: ignore[attr-defined]


def by_jaxopt_unrolled(params: Any, tasks: Any, loss: Any, lr: float, steps: int) -> Any:
    def outer(params: Any) -> Any:
        options = {
            "maxiter": steps,
            "tol": 0.0,
            "stepsize": lr,
            "acceleration": False,
            "implicit_diff": False,
            "jit": False,
        }
        solver = jaxopt.GradientDescent(loss, unroll=True, **options)
        return sum(loss(solver.run(params, support).params, query) for support, query in tasks) / len(tasks)

    return jax.grad(outer)(params)


def by_jaxopt_implicit(params: Any, tasks: Any, loss: Any, lr: float, steps: int, regularization: float) -> Any:
    def proximal(theta: Any, phi: Any, batch: Any) -> Any:
        off = jax.tree.map(lambda t, p: jax.numpy.sum((t - p) ** 2), theta, phi)
        return loss(theta, batch) + regularization / 2 * jax.tree.reduce(jax.numpy.add, off)

    solve = partial(jaxopt.linear_solve.solve_cg, tol=1e-15, maxiter=100)

    def outer(params: Any) -> Any:
        options = {
            "maxiter": steps,
            "tol": 0.0,
            "stepsize": lr,
            "acceleration": False,
            "implicit_diff_solve": solve,
            "jit": False,
        }
        solver = jaxopt.GradientDescent(proximal, **options)
        return sum(loss(solver.run(params, params, s).params, q) for s, q in tasks) / len(tasks)

    return jax.grad(outer)(params)


def by_torchopt_implicit(solve: Any) -> Any:
    """iMAML by implicit differentiation of the proximal problem's optimality, with one of TorchOpt's solvers."""

    def step(params: Any, tasks: Any, loss: Any, lr: float, steps: int, regularization: float) -> Any:
        names = list(params)

        def proximal(theta: Any, phi: Any, batch: Any) -> Any:
            off = sum(((t - p) ** 2).sum() for t, p in zip(theta, phi, strict=True))
            return loss(dict(zip(names, theta, strict=True)), batch) + regularization / 2 * off

        def optimality(theta: Any, phi: Any, batch: Any) -> Any:
            return torch.func.grad(proximal)(theta, phi, batch)

        @torchopt.diff.implicit.custom_root(optimality, argnums=1, solve=solve)
        def adapted(theta: Any, phi: Any, batch: Any) -> Any:
            for _ in range(steps):
                live = tuple(t.detach().requires_grad_() for t in theta)
                with torch.enable_grad():  # TorchOpt's solvers run without a recording
                    grads = torch.autograd.grad(proximal(live, phi, batch), live)
                theta = tuple((t - lr * g).detach() for t, g in zip(live, grads, strict=True))
            return theta

        phi = tuple(p.clone().requires_grad_() for p in params.values())
        queries = [(adapted(tuple(p.detach() for p in phi), phi, s), q) for s, q in tasks]
        total = sum(loss(dict(zip(names, theta, strict=True)), q) for theta, q in queries)
        return torch.autograd.grad(total / len(tasks), phi)

    return step


def by_optax(rule: Any) -> Any:
    """MAML through an inner loop of optax."""

    def step(params: Any, tasks: Any, loss: Any, steps: int) -> Any:
        def adapted(theta: Any, batch: Any) -> Any:
            state = rule.init(theta)
            for _ in range(steps):
                updates, state = rule.update(jax.grad(loss)(theta, batch), state, theta)
                theta = optax.apply_updates(theta, updates)
            return theta

        return jax.grad(lambda p: sum(loss(adapted(p, s), q) for s, q in tasks) / len(tasks))(params)

    return step
