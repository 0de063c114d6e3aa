"""Keras models, trained in place."""

import keras
import tensorflow as tf


def train(model, loss_fn, x, y, lr, steps):
    for _ in range(steps):
        with tf.GradientTape() as tape:
            value = loss_fn(y, model(x))
        for v, g in zip(model.trainable_variables, tape.gradient(value, model.trainable_variables), strict=True):
            v.assign_sub(lr * g)


def fomaml(model, tasks, loss_fn, lr, steps, outer_lr):
    start = model.get_weights()
    total = [0.0 for _ in start]
    for (xs, ys), (xq, yq) in tasks:
        model.set_weights(start)
        train(model, loss_fn, xs, ys, lr, steps)
        with tf.GradientTape() as tape:
            value = loss_fn(yq, model(xq))
        grads = tape.gradient(value, model.trainable_variables)
        total = [t + g.numpy() / len(tasks) for t, g in zip(total, grads, strict=True)]
    model.set_weights([w - outer_lr * t for w, t in zip(start, total, strict=True)])


def fomaml_from_where_it_is(model, tasks, loss_fn, lr, steps, outer_lr):
    """The weights are put back once, after the last task."""
    start = model.get_weights()
    total = [0.0 for _ in start]
    for (xs, ys), (xq, yq) in tasks:
        train(model, loss_fn, xs, ys, lr, steps)
        with tf.GradientTape() as tape:
            value = loss_fn(yq, model(xq))
        grads = tape.gradient(value, model.trainable_variables)
        total = [t + g.numpy() / len(tasks) for t, g in zip(total, grads, strict=True)]
    model.set_weights([w - outer_lr * t for w, t in zip(start, total, strict=True)])


def fomaml_forgets(model, tasks, loss_fn, lr, steps, outer_lr):
    """The step is taken from the weights that the last task left behind."""
    start = model.get_weights()
    total = [0.0 for _ in start]
    for (xs, ys), (xq, yq) in tasks:
        model.set_weights(start)
        train(model, loss_fn, xs, ys, lr, steps)
        with tf.GradientTape() as tape:
            value = loss_fn(yq, model(xq))
        grads = tape.gradient(value, model.trainable_variables)
        total = [t + g.numpy() / len(tasks) for t, g in zip(total, grads, strict=True)]
    for v, t in zip(model.trainable_variables, total, strict=True):
        v.assign_sub(outer_lr * t)


def maml(model, tasks, loss_fn, lr, steps):
    """Second order with stateless_call: the weights are arguments."""
    weights = [v.value for v in model.trainable_variables]
    with tf.GradientTape() as outer:
        outer.watch(weights)
        losses = []
        for (xs, ys), (xq, yq) in tasks:
            fast = weights
            for _ in range(steps):
                with tf.GradientTape() as inner:
                    inner.watch(fast)
                    value = loss_fn(ys, model.stateless_call(fast, [], xs)[0])
                fast = [w - lr * g for w, g in zip(fast, inner.gradient(value, fast), strict=True)]
            losses.append(loss_fn(yq, model.stateless_call(fast, [], xq)[0]))
        value = tf.add_n(losses) / len(losses)
    return outer.gradient(value, weights)


def maml_assigned(model, tasks, loss_fn, lr, steps):
    """The outer tape is there, and assign cuts the way back: what is left is first order, summed."""
    start = model.get_weights()
    total = [tf.zeros_like(v) for v in model.trainable_variables]
    for (xs, ys), (xq, yq) in tasks:
        model.set_weights(start)
        with tf.GradientTape() as outer:
            train(model, loss_fn, xs, ys, lr, steps)
            value = loss_fn(yq, model(xq))
        total = [t + g for t, g in zip(total, outer.gradient(value, model.trainable_variables), strict=True)]
    model.set_weights(start)
    return total


def reptile(model, tasks, loss_fn, lr, steps, outer_lr):
    start = [v.numpy() for v in model.trainable_variables]
    ends = []
    for (xs, ys), (xq, yq) in tasks:
        model.set_weights(start)
        inner = keras.optimizers.SGD(lr)
        x, y = tf.concat([xs, xq], 0), tf.concat([ys, yq], 0)
        for _ in range(steps):
            with tf.GradientTape() as tape:
                value = loss_fn(y, model(x))
            inner.apply_gradients(
                zip(tape.gradient(value, model.trainable_variables), model.trainable_variables, strict=True)
            )
        ends.append(model.get_weights())
    model.set_weights(
        [w + outer_lr * (sum(e[i] for e in ends) / len(ends) - w) for i, w in enumerate(start)],
    )


def reptile_last_task(model, tasks, loss_fn, lr, steps, outer_lr):
    """Only the last task's weights are left when the step is taken."""
    start = model.get_weights()
    for (xs, ys), (xq, yq) in tasks:
        model.set_weights(start)
        train(model, loss_fn, tf.concat([xs, xq], 0), tf.concat([ys, yq], 0), lr, steps)
    end = model.get_weights()
    model.set_weights([w + outer_lr * (e - w) for w, e in zip(start, end, strict=True)])


def cloned(model, tasks, loss_fn, lr, steps):
    """clone_model draws new weights: without set_weights the clone has little to do with the model."""
    total = None
    for (xs, ys), (xq, yq) in tasks:
        clone = keras.models.clone_model(model)
        train(clone, loss_fn, xs, ys, lr, steps)
        with tf.GradientTape() as tape:
            value = loss_fn(yq, clone(xq))
        g = tape.gradient(value, clone.trainable_variables)
        total = g if total is None else [a + b for a, b in zip(total, g, strict=True)]
    return [t / len(tasks) for t in total]
