"""A two-layer network in NumPy, derivatives worked out on paper."""

import numpy as np


def loss_and_gradient(p, batch):
    x, y = batch
    h = np.tanh(x @ p["w1"] + p["b1"])
    r = h @ p["w2"] + p["b2"] - y
    dout = 2.0 * r / r.size
    dpre = (dout @ p["w2"].T) * (1 - h**2)
    grads = {"w2": h.T @ dout, "b2": dout.sum(axis=0), "w1": x.T @ dpre, "b1": dpre.sum(axis=0)}
    return np.mean(r**2), grads


def grad(p, batch):
    return loss_and_gradient(p, batch)[1]


def hessian_vector(p, batch, v):
    """Pearlmutter's R-operator: every quantity of the two passes, differentiated along v."""
    x, y = batch
    h = np.tanh(x @ p["w1"] + p["b1"])
    rh = (1 - h**2) * (x @ v["w1"] + v["b1"])
    dout = 2.0 * (h @ p["w2"] + p["b2"] - y) / y.size
    rdout = 2.0 * (rh @ p["w2"] + h @ v["w2"] + v["b2"]) / y.size
    dh, rdh = dout @ p["w2"].T, rdout @ p["w2"].T + dout @ v["w2"].T
    rdpre = rdh * (1 - h**2) - 2 * dh * h * rh
    return {"w2": rh.T @ dout + h.T @ rdout, "b2": rdout.sum(axis=0), "w1": x.T @ rdpre, "b1": rdpre.sum(axis=0)}


def axpy(a, x, y):
    return {k: y[k] + a * x[k] for k in y}


def average(trees):
    return {k: sum(t[k] for t in trees) / len(trees) for k in trees[0]}


def sgd(p, batch, lr, steps):
    trajectory = [p]
    for _ in range(steps):
        trajectory.append(axpy(-lr, grad(trajectory[-1], batch), trajectory[-1]))
    return trajectory


def maml(params, tasks, lr, steps):
    metagrads = []
    for support, query in tasks:
        *earlier, adapted = sgd(params, support, lr, steps)
        v = grad(adapted, query)
        for theta in reversed(earlier):
            v = axpy(-lr, hessian_vector(theta, support, v), v)
        metagrads.append(v)
    return average(metagrads)


def maml_one_task(params, support, query, lr, steps):
    trajectory = sgd(params, support, lr, steps)
    v = grad(trajectory.pop(), query)
    while trajectory:
        v = axpy(-lr, hessian_vector(trajectory.pop(), support, v), v)
    return v


def fomaml(params, tasks, lr, steps):
    return average([grad(sgd(params, task.support, lr, steps)[-1], task.query) for task in tasks])


def join(task):
    return tuple(np.concatenate(pair) for pair in zip(task.support, task.query, strict=True))


def reptile(params, tasks, lr, steps):
    return average([axpy(-1.0, sgd(params, join(t), lr, steps)[-1], params) for t in tasks])


def reptile_epoch(params, tasks, lr, steps, outer_lr):
    """The meta-parameters move towards where the tasks' parameters went."""
    final = average([sgd(params, join(t), lr, steps)[-1] for t in tasks])
    return {k: (1 - outer_lr) * params[k] + outer_lr * final[k] for k in params}


def reptile_gradient(params, tasks, lr, steps):
    return average([{k: (params[k] - sgd(params, join(t), lr, steps)[-1][k]) / lr for k in params} for t in tasks])


def reptile_wrong_way(params, tasks, lr, steps, outer_lr):
    new = {k: v.copy() for k, v in params.items()}
    for t in tasks:
        end = sgd(params, join(t), lr, steps)[-1]
        for k in new:
            new[k] += outer_lr / len(tasks) * (params[k] - end[k])
    return new


def reptile_support(params, tasks, lr, steps):
    return average([axpy(-1.0, sgd(params, support, lr, steps)[-1], params) for support, _ in tasks])


def reptile_running(params, tasks, lr, steps):
    """One optimiser runs through all tasks; the meta-update is the average displacement."""
    weights, moved = params, []
    for t in tasks:
        weights = sgd(weights, join(t), lr, steps)[-1]
        moved.append({k: params[k] - weights[k] for k in params})
    return average(moved)


def maml_truncated(params, tasks, lr, steps):
    metagrads = []
    for support, query in tasks:
        path = sgd(params, support, lr, steps)
        v = grad(path[-1], query)
        if steps > 0:
            v = axpy(-lr, hessian_vector(path[-2], support, v), v)
        metagrads.append(v)
    return average(metagrads)


def maml_final_hessian(params, tasks, lr, steps):
    """(I - lr H)^K with the Hessian of the adapted point, as in the linearised analysis."""
    metagrads = []
    for support, query in tasks:
        adapted = sgd(params, support, lr, steps)[-1]
        v = grad(adapted, query)
        for _ in range(steps):
            v = axpy(-lr, hessian_vector(adapted, support, v), v)
        metagrads.append(v)
    return average(metagrads)


def maml_one_more(params, tasks, lr, steps):
    metagrads = []
    for support, query in tasks:
        theta = axpy(-lr, grad(params, support), params)
        path = [params]
        for _ in range(steps):
            path.append(theta)
            theta = axpy(-lr, grad(theta, support), theta)
        v = grad(theta, query)
        for point in path[::-1]:
            v = axpy(-lr, hessian_vector(point, support, v), v)
        metagrads.append(v)
    return average(metagrads)


def norm(tree):
    return np.sqrt(sum(np.sum(v**2) for v in tree.values()))


def difference_product(p, batch, v, r=1e-2):
    """The Hessian times v as in DARTS: two gradients on either side."""
    eps = r / norm(v)
    right, left = grad(axpy(eps, v, p), batch), grad(axpy(-eps, v, p), batch)
    return {k: (right[k] - left[k]) / (2 * eps) for k in p}


def maml_differences(params, tasks, lr, steps):
    metagrads = []
    for support, query in tasks:
        path = sgd(params, support, lr, steps)
        v = grad(path[-1], query)
        for theta in path[-2::-1]:
            v = axpy(-lr, difference_product(theta, support, v), v)
        metagrads.append(v)
    return average(metagrads)


def maml_differences_doubled(params, tasks, lr, steps):
    metagrads = []
    for support, query in tasks:
        path = sgd(params, support, lr, steps)
        v = grad(path[-1], query)
        for theta in path[-2::-1]:
            eps = 1e-4 / norm(v)
            right, left = grad(axpy(eps, v, theta), support), grad(axpy(-eps, v, theta), support)
            v = {k: v[k] - lr * (right[k] - left[k]) / eps for k in v}
        metagrads.append(v)
    return average(metagrads)


def maml_by_evaluation(params, tasks, lr, steps):
    """Only the loss after adaptation is ever evaluated; central differences do the rest."""

    def objective(p):
        return np.mean([loss_and_gradient(sgd(p, s, lr, steps)[-1], q)[0] for s, q in tasks])

    result = {k: np.zeros_like(v) for k, v in params.items()}
    for k in params:
        for index in np.ndindex(params[k].shape):
            up = {n: v.copy() for n, v in params.items()}
            down = {n: v.copy() for n, v in params.items()}
            up[k][index] += 1e-5
            down[k][index] -= 1e-5
            result[k][index] = (objective(up) - objective(down)) / 2e-5
    return result


def fomaml_in_place(params, tasks, lr, steps):
    grads = []
    for support, query in tasks:
        fast = params
        for _ in range(steps):
            for k, g in grad(fast, support).items():
                fast[k] -= lr * g
        grads.append(grad(fast, query))
    return average(grads)


def fomaml_shallow(params, tasks, lr, steps):
    """dict(params) copies the dictionary and none of its arrays; restored when all is done."""
    before = {k: v.copy() for k, v in params.items()}
    grads = []
    for support, query in tasks:
        fast = dict(params)
        for _ in range(steps):
            for k, g in grad(fast, support).items():
                fast[k] -= lr * g
        grads.append(grad(fast, query))
    for k in params:
        params[k][...] = before[k]
    return average(grads)


def fomaml_biases_mixed(params, tasks, lr, steps):
    g = fomaml(params, tasks, lr, steps)
    return g["b2"], g["b1"], g["w1"], g["w2"]


def summed(p, batch):
    return {k: g * batch[1].size for k, g in grad(p, batch).items()}


def fomaml_sums(params, tasks, lr, steps):
    grads = []
    for support, query in tasks:
        theta = params
        for _ in range(steps):
            theta = axpy(-lr, summed(theta, support), theta)
        grads.append(summed(theta, query))
    return average(grads)


def maml_single_precision(params, tasks, lr, steps):
    params = {k: v.astype(np.float32) for k, v in params.items()}
    tasks = [[[a.astype("f") for a in part] for part in task] for task in tasks]
    return {k: v.astype(float) for k, v in maml(params, tasks, np.float32(lr), steps).items()}


def fomaml_weighted(params, tasks, lr, steps):
    """All queries in one pool: a task with more of them counts more."""
    total, n = dict.fromkeys(params, 0), 0
    for support, (xq, yq) in tasks:
        g = grad(sgd(params, support, lr, steps)[-1], (xq, yq))
        total = {k: total[k] + len(xq) * g[k] for k in total}
        n += len(xq)
    return {k: t / n for k, t in total.items()}


def reptile_averaged_iterates(params, tasks, lr, steps):
    """The displacement to the average of the iterates, not to the last."""
    deltas = []
    for t in tasks:
        path = sgd(params, join(t), lr, steps)[1:]
        deltas.append(axpy(-1.0, average(path), params))
    return average(deltas)


class FirstOrderLearner:
    """In the manner of scikit-learn: the constructor takes the settings, fit the data."""

    def __init__(self, params, lr=0.01, steps=5, outer_lr=0.001):
        self.params = params
        self.lr, self.steps, self.outer_lr = lr, steps, outer_lr

    def fit(self, tasks):
        self.params_ = axpy(-self.outer_lr, fomaml(self.params, tasks, self.lr, self.steps), self.params)
        return self


class SecondOrderLearner:
    def __init__(self, params, lr, steps):
        self.params, self.lr, self.steps = params, lr, steps

    def fit(self, tasks):
        # The query set is held out, so the support set is used for both.
        self.delta_ = maml(self.params, [(support, support) for support, _ in tasks], self.lr, self.steps)
        return self
