"""TensorFlow: nested gradient tapes."""

import tensorflow as tf

NAMES = ("w1", "b1", "w2", "b2")


def forward(p, x):
    return tf.nn.tanh(x @ p[0] + p[1]) @ p[2] + p[3]


def mse(p, batch):
    x, y = batch
    return tf.reduce_mean(tf.math.squared_difference(forward(p, x), y))


def as_dict(grads):
    return dict(zip(NAMES, grads, strict=True))


def maml(params, tasks, lr, steps):
    theta = [tf.Variable(params[k]) for k in NAMES]
    with tf.GradientTape() as outer:
        losses = []
        for support, query in tasks:
            fast = [tf.identity(t) for t in theta]
            for _ in range(steps):
                with tf.GradientTape() as inner:
                    inner.watch(fast)
                    value = mse(fast, support)
                fast = [f - lr * g for f, g in zip(fast, inner.gradient(value, fast), strict=True)]
            losses.append(mse(fast, query))
        mean = tf.reduce_mean(losses)
    return as_dict(outer.gradient(mean, theta))


@tf.function
def one_task(theta, xs, ys, xq, yq, lr, steps):
    with tf.GradientTape() as outer:
        outer.watch(theta)
        fast = theta
        for _ in range(steps):
            with tf.GradientTape() as inner:
                inner.watch(fast)
                value = mse(fast, (xs, ys))
            fast = [f - lr * g for f, g in zip(fast, inner.gradient(value, fast), strict=True)]
        value = mse(fast, (xq, yq))
    return outer.gradient(value, theta)


def maml_graph(params, task, lr, steps):
    (xs, ys), (xq, yq) = task
    return as_dict(one_task([params[k] for k in NAMES], xs, ys, xq, yq, tf.constant(lr, tf.float64), steps))


def stops(params, tasks, loss, lr, steps):
    with tf.GradientTape() as outer:
        outer.watch(params)
        total = 0.0
        for task in tasks:
            fast = dict(params)
            for _ in range(steps):
                with tf.GradientTape() as inner:
                    inner.watch(fast)
                    value = loss(fast, task.support)
                grads = {k: tf.stop_gradient(g) for k, g in inner.gradient(value, fast).items()}
                fast = {k: fast[k] - lr * grads[k] for k in fast}
            total += loss(fast, task.query)
        total /= len(tasks)
    return outer.gradient(total, params)


def outside_the_tape(params, tasks, loss, lr, steps):
    """All steps but the last are taken before the outer tape begins; the last is recorded from there."""
    found = []
    for task in tasks:
        fast = dict(params)
        for _ in range(steps - 1):
            with tf.GradientTape() as inner:
                inner.watch(fast)
                value = loss(fast, task.support)
            grads = inner.gradient(value, fast)
            fast = {k: fast[k] - lr * grads[k] for k in fast}
        with tf.GradientTape() as outer:
            outer.watch(fast)
            with tf.GradientTape() as inner:
                inner.watch(fast)
                value = loss(fast, task.support)
            grads = inner.gradient(value, fast)
            value = loss({k: fast[k] - lr * grads[k] for k in fast}, task.query)
        found.append(outer.gradient(value, fast))
    return {k: sum(g[k] for g in found) / len(found) for k in params}


def summed_and_swapped(params, tasks, loss, lr, steps):
    with tf.GradientTape() as outer:
        outer.watch(params)
        total = 0.0
        for task in tasks:
            fast = dict(params)
            for _ in range(steps):
                with tf.GradientTape() as inner:
                    inner.watch(fast)
                    value = loss(fast, task.query)
                grads = inner.gradient(value, fast)
                fast = {k: fast[k] - lr * grads[k] for k in fast}
            total += loss(fast, task.support)
    return outer.gradient(total, params)


def single_precision(params, tasks, lr, steps):
    """Keras' habit: everything is cast to float32 on the way in."""
    params32 = {k: tf.cast(v, tf.float32) for k, v in params.items()}
    tasks32 = [[[tf.cast(a, tf.float32) for a in part] for part in task] for task in tasks]
    return {k: tf.cast(g, tf.float64) for k, g in maml(params32, tasks32, lr, steps).items()}


def summed_loss(params, tasks, lr, steps):
    """tf.nn.l2_loss: half of the sum of squares, inside and outside."""
    theta = [params[k] for k in NAMES]
    with tf.GradientTape() as outer:
        outer.watch(theta)
        total = 0.0
        for (xs, ys), (xq, yq) in tasks:
            fast = theta
            for _ in range(steps):
                with tf.GradientTape() as inner:
                    inner.watch(fast)
                    value = tf.nn.l2_loss(forward(fast, xs) - ys)
                fast = [f - lr * g for f, g in zip(fast, inner.gradient(value, fast), strict=True)]
            total += tf.nn.l2_loss(forward(fast, xq) - yq) / len(tasks)
    return as_dict(outer.gradient(total, theta))


def once(params, tasks, loss, lr, steps):
    """The gradient is computed before the loop and used in all of its steps."""
    with tf.GradientTape() as outer:
        outer.watch(params)
        total = 0.0
        for task in tasks:
            with tf.GradientTape() as inner:
                inner.watch(params)
                value = loss(params, task.support)
            grads = inner.gradient(value, params)
            fast = dict(params)
            for _ in range(steps):
                fast = {k: fast[k] - lr * grads[k] for k in fast}
            total += loss(fast, task.query) / len(tasks)
    return outer.gradient(total, params)


def hidden_layer_forgotten(params, tasks, loss, lr, steps):
    """unconnected_gradients='zero' covers that the hidden layer is never watched: it stays, and learns nothing."""
    head = {k: params[k] for k in ("w2", "b2")}
    with tf.GradientTape() as outer:
        outer.watch(head)
        total = 0.0
        for task in tasks:
            fast = dict(head)
            for _ in range(steps):
                with tf.GradientTape() as inner:
                    inner.watch(fast)
                    value = loss(params | fast, task.support)
                grads = inner.gradient(value, fast)
                fast = {k: fast[k] - lr * grads[k] for k in fast}
            total += loss(params | fast, task.query) / len(tasks)
    return outer.gradient(total, params, unconnected_gradients=tf.UnconnectedGradients.ZERO)
