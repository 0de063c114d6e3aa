"""How a user's loss might end: a number made of h, in the words of each framework (as in `user_statements`)."""

HEADS = """
np.mean((h @ p['v2'] - b['y']) ** 2)
F.mse_loss(h @ p['v2'], b['y'])
=
tf.reduce_mean(tf.math.squared_difference(tf.linalg.matvec(h, p['v2']), b['y']))

np.sum(np.abs(h @ p['v2'] - b['y']) ** 1.5)
torch.sum(torch.abs(h @ p['v2'] - b['y']) ** 1.5)
=
tf.reduce_sum(tf.abs(tf.linalg.matvec(h, p['v2']) - b['y']) ** 1.5)

np.median((h - 0.2) ** 2, axis=1).sum()
torch.median((h - 0.2) ** 2, dim=1).values.sum()
=
tf.reduce_sum(tf.sort((h - 0.2) ** 2, axis=1)[:, H // 2])

np.mean(np.logaddexp.reduce(h, axis=1) - h[np.arange(N), b['i']])
F.cross_entropy(h, b['i'])
-jnp.mean(jax.nn.log_softmax(h)[jnp.arange(N), b['i']])
tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(b['i'], h))

np.mean(np.log1p((h @ p['v2'] - b['y']) ** 2))
torch.mean(torch.log1p((h @ p['v2'] - b['y']) ** 2))
=
tf.reduce_mean(tf.math.log1p((tf.linalg.matvec(h, p['v2']) - b['y']) ** 2))

np.linalg.norm(h - 0.1, 'fro')
torch.linalg.norm(h - 0.1)
=
tf.norm(h - 0.1)

np.linalg.slogdet(h @ h.T + np.eye(N))[1]
torch.logdet(h @ h.T + torch.eye(N, dtype=h.dtype))
=
tf.linalg.slogdet(h @ tf.transpose(h) + tf.eye(N, dtype=h.dtype))[1]

np.std(h) + 0.1 * np.linalg.norm(p['v'], 1)
torch.std(h, correction=0) + 0.1 * p['v'].norm(1)
=
tf.math.reduce_std(h) + 0.1 * tf.norm(p['v'], ord=1)

np.quantile(h, 0.3) ** 2 + np.mean(h**2)
torch.quantile(h, 0.3) ** 2 + h.square().mean()
=
(0.3 * tf.sort(tf.reshape(h, [-1]))[5] + 0.7 * tf.sort(tf.reshape(h, [-1]))[6]) ** 2 + tf.reduce_mean(h**2)

np.var(h, ddof=1) + np.trapezoid(h[0]) ** 2
torch.var(h) + torch.trapezoid(h[0]) ** 2
=
tf.math.reduce_variance(h) * (N * H / (N * H - 1)) + tf.reduce_sum((h[0, 1:] + h[0, :-1]) / 2) ** 2

np.mean(np.where(np.abs(h) < 0.6, 0.5 * h**2, 0.6 * (np.abs(h) - 0.3)))
F.huber_loss(h, torch.zeros_like(h), delta=0.6)
=
tf.keras.losses.Huber(0.6, dtype='float64')(tf.zeros_like(h), h)

np.average((h**2).mean(axis=1), weights=np.exp(b['y']))
torch.sum((h**2).mean(1) * F.softmax(b['y'], 0))
=
tf.reduce_sum(tf.reduce_mean(h**2, axis=1) * tf.nn.softmax(b['y']))

np.mean(np.logaddexp(0.0, h[:, 0]) - h[:, 0] * (b['y'] > 0))
F.binary_cross_entropy_with_logits(h[:, 0], (b['y'] > 0).double())
=
tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(b['y'] > 0, h.dtype), h[:, 0]))

np.nanmean(h**2)
torch.nanmean(h**2)
=
tf.reduce_mean(tf.square(h))

np.prod(1.2 + 0.1 * np.tanh(h))
torch.prod(1.2 + 0.1 * torch.tanh(h))
=
tf.reduce_prod(1.2 + 0.1 * tf.tanh(h))

sum((h @ p['v2'] - b['y']) ** 2) / len(h)
sum((h @ p['v2'] - b['y']) ** 2) / len(h)
=
tf.add_n(tf.unstack((tf.linalg.matvec(h, p['v2']) - b['y']) ** 2)) / N

np.dot(h[:, 0], h[:, 1]) + np.ptp(h) ** 2
torch.dot(h[:, 0], h[:, 1]) + (h.max() - h.min()) ** 2
=
tf.tensordot(h[:, 0], h[:, 1], 1) + (tf.reduce_max(h) - tf.reduce_min(h)) ** 2

np.trace(h @ h.T) / h.size
torch.trace(h @ h.T) / h.numel()
=
tf.linalg.trace(h @ tf.transpose(h)) / (N * H)

-h[0] @ h[1] / (np.linalg.norm(h[0]) * np.linalg.norm(h[1]) + 0.1)
-h[0] @ h[1] / (torch.linalg.vector_norm(h[0]) * torch.linalg.vector_norm(h[1]) + 0.1)
=
-tf.reduce_sum(h[0] * h[1]) / (tf.norm(h[0]) * tf.norm(h[1]) + 0.1)
"""
