"""What a user might write next, in the words of each framework: NumPy, PyTorch, jax.numpy, TensorFlow.

Each block is one computation in the functions of its own that each framework has for it. `=` stands for NumPy's words
with `jnp` for `np`. Each makes h, of shape N x H, from h. (`tf.nn.gelu` keeps the root of 2 in float32.)
"""

LANGUAGES = ("numpy", "torch", "jax", "tensorflow")

STATEMENTS = """
h = np.tanh(h)
h = torch.tanh(h)
=
h = tf.tanh(h)

h = np.sin(h) + 0.1 * h
h = h.sin() + 0.1 * h
=
h = tf.sin(h) + 0.1 * h

h = np.log1p(np.exp(h))
h = F.softplus(h)
h = jax.nn.softplus(h)
h = tf.nn.softplus(h)

h = h / (1 + np.abs(h))
h = F.softsign(h)
h = jax.nn.soft_sign(h)
h = tf.nn.softsign(h)

h += p['b']
h = torch.add(h, p['b'])
=
h = tf.nn.bias_add(h, p['b'])

h -= h.mean(axis=0)
h = h - h.mean(dim=0)
=
h -= tf.reduce_mean(h, axis=0)

h = (h - h.mean(1, keepdims=True)) / np.sqrt(np.var(h, axis=1, keepdims=True) + 0.3)
h = F.layer_norm(h, (H,), eps=0.3)
h = jax.nn.standardize(h, axis=1, epsilon=0.3)
h = (h - tf.reduce_mean(h, 1, keepdims=True)) / tf.sqrt(tf.math.reduce_variance(h, axis=1, keepdims=True) + 0.3)

h = (h - np.mean(h, 0)) / (np.std(h, axis=0) + 0.4)
h = (h - torch.mean(h, 0)) / (torch.std(h, dim=0, correction=0) + 0.4)
=
h = (h - tf.reduce_mean(h, 0)) / (tf.math.reduce_std(h, axis=0) + 0.4)

h = np.arctan(h) * 1.3
h = torch.atan(h) * 1.3
=
h = tf.atan(h) * 1.3

h = h - np.max(h, axis=1, keepdims=True)
h = h - torch.amax(h, 1, keepdim=True)
=
h = h - tf.reduce_max(h, 1, keepdims=True)

h = np.exp(-h**2)
h = torch.exp(-h**2)
=
h = tf.exp(-tf.square(h))

h[:, 0] = h[:, 1] * h[:, 2]
g = h; h = h.clone(); h[:, 0] = g[:, 1] * g[:, 2]
h = h.at[:, 0].set(h[:, 1] * h[:, 2])
h = tf.concat([(h[:, 1] * h[:, 2])[:, None], h[:, 1:]], 1)

h[1:] += 0.3 * h[:-1]
g = h; h = h.clone(); h[1:] += 0.3 * g[:-1]
h = h.at[1:].add(0.3 * h[:-1])
h = tf.tensor_scatter_nd_add(h, [[1], [2], [3]], 0.3 * h[:-1])

h = np.concatenate([h[:, 2:], h[:, :2]], axis=1)
h = torch.cat([h[:, 2:], h[:, :2]], 1)
=
h = tf.concat([h[:, 2:], h[:, :2]], 1)

h = np.stack([row * (i + 1) for i, row in enumerate(h)])
h = torch.stack([row * (i + 1) for i, row in enumerate(h)])
h = jnp.stack([row * (i + 1) for i, row in enumerate(h)])
h = tf.stack([row * (i + 1) for i, row in enumerate(tf.unstack(h))])

h = np.hstack([h[:, :2], np.cos(h[:, 2:])])
h = torch.hstack([h[:, :2], torch.cos(h[:, 2:])])
=
h = tf.concat([h[:, :2], tf.cos(h[:, 2:])], -1)

h = np.einsum('ij,kj,kl->il', h, h, h) * 0.05
h = torch.einsum('ij,kj,kl->il', h, h, h) * 0.05
=
h = tf.einsum('ij,kj,kl->il', h, h, h) * 0.05

h = h @ p['s']
h = torch.mm(h, p['s'])
=
h = tf.linalg.matmul(h, p['s'])

h = np.clip(h, -1.7, 1.9)
h = torch.clamp(h, -1.7, 1.9)
=
h = tf.clip_by_value(h, -1.7, 1.9)

h = np.where(b['x'][:, :1] > 0, h, 0.3 * h)
h = torch.where(b['x'][:, :1] > 0, h, 0.3 * h)
=
h = tf.where(b['x'][:, :1] > 0, h, 0.3 * h)

h = np.linalg.solve(3.0 * np.eye(H) + 0.1 * p['s'], h.T).T
h = torch.linalg.solve(3.0 * torch.eye(H, dtype=h.dtype) + 0.1 * p['s'], h.T).T
=
h = tf.transpose(tf.linalg.solve(3.0 * tf.eye(H, dtype=h.dtype) + 0.1 * p['s'], tf.transpose(h)))

h = np.cumsum(h, axis=1) * 0.4
h = torch.cumsum(h, 1) * 0.4
=
h = tf.cumsum(h, axis=1) * 0.4

h = np.cumprod(1.0 + 0.1 * np.tanh(h), axis=1)
h = torch.cumprod(1.0 + 0.1 * torch.tanh(h), 1)
=
h = tf.math.cumprod(1.0 + 0.1 * tf.tanh(h), axis=1)

h = h.T.reshape(N, H)
h = h.T.reshape(N, H)
=
h = tf.reshape(tf.transpose(h), (N, H))

h = h.reshape(2, -1, H).transpose(1, 0, 2).reshape(N, H)
h = h.view(2, -1, H).permute(1, 0, 2).reshape(N, H)
=
h = tf.reshape(tf.transpose(tf.reshape(h, (2, -1, H)), [1, 0, 2]), (N, H))

h = np.roll(h, 1, axis=1) * 0.5 + h
h = torch.roll(h, 1, 1) * 0.5 + h
=
h = tf.roll(h, 1, axis=1) * 0.5 + h

h = np.apply_along_axis(lambda r: r * np.linalg.norm(r), 1, h)
h = h * torch.linalg.norm(h, dim=1, keepdim=True)
h = jax.vmap(lambda r: r * jnp.linalg.norm(r))(h)
h = tf.map_fn(lambda r: r * tf.norm(r), h)

g = h[::2]; g *= 1.5; h[0] = g[1]
h = h.clone(); g = h[::2]; g *= 1.5; h[0] = g[1].clone()
h = h.at[::2].multiply(1.5); h = h.at[0].set(h[2])
g = h[::2] * 1.5; h = tf.stack([g[1], h[1], g[1], h[3]])

h = np.logaddexp(h, 0.0)
h = torch.logaddexp(h, torch.zeros_like(h))
=
h = tf.reduce_logsumexp(tf.stack([h, tf.zeros_like(h)]), 0)

h = np.hypot(h, 0.5)
h = torch.hypot(h, torch.full_like(h, 0.5))
=
h = tf.sqrt(h * h + 0.25)

h = np.cbrt(h * h + 1)
h = torch.pow(h * h + 1, 1 / 3)
=
h = tf.pow(h * h + 1, 1 / 3)

h = h * np.repeat(p['v'][:1], H)
h = h * p['v'][:1].repeat(H)
=
h = h * tf.tile(p['v'][:1], [H])

h = np.kron(h, np.ones((1, 1)))
h = torch.kron(h, torch.ones(1, 1, dtype=h.dtype))
=
h = tf.identity(h)

h = h[[2, 0, 1, 3]]
h = h[[2, 0, 1, 3]]
h = h[jnp.array([2, 0, 1, 3])]
h = tf.gather(h, [2, 0, 1, 3])

h = np.take(h, b['i'], axis=0)
h = torch.index_select(h, 0, b['i'])
=
h = tf.gather(h, b['i'])

h = np.pad(h[:, 1:], ((0, 0), (0, 1)), mode='edge')
h = F.pad(h[None, :, 1:], (0, 1), mode='replicate')[0]
=
h = tf.concat([h[:, 1:], h[:, -1:]], axis=1)

h = np.pad(h, ((1, 0), (0, 0)))[:-1] + 0.5 * h
h = F.pad(h, (0, 0, 1, 0))[:-1] + 0.5 * h
=
h = tf.pad(h, [[1, 0], [0, 0]])[:-1] + 0.5 * h

h = np.diff(h, axis=1, append=h[:, :1])
h = torch.diff(h, dim=1, append=h[:, :1])
=
h = tf.roll(h, -1, 1) - h

c = h; c += 0.2; h = h * c
c = h.clone(); c += 0.2; h = c * c
c = h + 0.2; h = c * c
c = h + 0.2; h = c * c

h = h.copy(); h[h.shape[0] // 2, :] *= -1
h = h.clone(); h[h.shape[0] // 2, :] *= -1
h = h.at[h.shape[0] // 2, :].multiply(-1)
h = h * tf.constant([1.0, 1.0, -1.0, 1.0], h.dtype)[:, None]

h = special.expit(h) - special.erf(0.3 * h)
h = torch.sigmoid(h) - torch.special.erf(0.3 * h)
h = jax.nn.sigmoid(h) - jax.scipy.special.erf(0.3 * h)
h = tf.sigmoid(h) - tf.math.erf(0.3 * h)

h = np.outer(h[:, 0], h[0]) + h
h = torch.outer(h[:, 0], h[0]) + h
=
h = tf.tensordot(h[:, 0], h[0], 0) + h

h = np.add.outer(h[:, 1], h[1]) * 0.3
h = (h[:, 1].unsqueeze(1) + h[1]) * 0.3
=
h = (tf.expand_dims(h[:, 1], 1) + h[1]) * 0.3

for row in h: row -= 0.1 * row.sum()
h = h - 0.1 * h.sum(1, keepdim=True)
h = jax.vmap(lambda row: row - 0.1 * row.sum())(h)
h = tf.vectorized_map(lambda row: row - 0.1 * tf.reduce_sum(row), h)

h = np.array_split(h, 2)[0].repeat(2, axis=0)
h = torch.repeat_interleave(h.chunk(2)[0], 2, 0)
=
h = tf.repeat(tf.split(h, 2)[0], 2, axis=0)

h = np.multiply(h, 2.0, out=h)
h = torch.mul(h, 2.0)
h = jnp.multiply(h, 2.0)
h = tf.multiply(h, 2.0)

h = np.select([b['x'][:, :1] > 0.5], [h * 2], h)
h = torch.where(b['x'][:, :1] > 0.5, h * 2, h)
=
h = tf.where(b['x'][:, :1] > 0.5, h * 2, h)

h = h + 0.1 * np.linalg.svd(h + 2 * np.eye(N, H), compute_uv=False).sum()
h = h + 0.1 * torch.linalg.svdvals(h + 2 * torch.eye(N, H, dtype=h.dtype)).sum()
=
h = h + 0.1 * tf.reduce_sum(tf.linalg.svd(h + 2 * tf.eye(N, H, dtype=h.dtype), compute_uv=False))

h = np.linalg.pinv(h + 2 * np.eye(N, H)).T
h = torch.linalg.pinv(h + 2 * torch.eye(N, H, dtype=h.dtype)).T
=
h = tf.transpose(tf.linalg.pinv(h + 2 * tf.eye(N, H, dtype=h.dtype)))

h = np.linalg.inv(np.eye(N) + 0.1 * h @ h.T) @ h
h = torch.linalg.inv(torch.eye(N, dtype=h.dtype) + 0.1 * h @ h.T) @ h
=
h = tf.linalg.inv(tf.eye(N, dtype=h.dtype) + 0.1 * h @ tf.transpose(h)) @ h

h = np.linalg.cholesky(np.eye(N) + 0.1 * h @ h.T) @ h
h = torch.linalg.cholesky(torch.eye(N, dtype=h.dtype) + 0.1 * h @ h.T) @ h
=
h = tf.linalg.cholesky(tf.eye(N, dtype=h.dtype) + 0.1 * tf.matmul(h, h, transpose_b=True)) @ h

h = h @ np.linalg.matrix_power(p['s'], 2)
h = h @ torch.linalg.matrix_power(p['s'], 2)
=
h = h @ (p['s'] @ p['s'])

h = np.tensordot(h, p['s'], axes=([1], [1]))
h = F.linear(h, p['s'])
=
h = tf.tensordot(h, p['s'], axes=[[1], [1]])

h = np.flip(h, 1) + h**3 * 0.01
h = torch.flip(h, (1,)) + h**3 * 0.01
=
h = tf.reverse(h, [1]) + h**3 * 0.01

h = h.astype(np.float64).clip(-5, 5)
h = h.double().clip(-5, 5)
=
h = tf.clip_by_value(tf.cast(h, tf.float64), -5, 5)

h = np.convolve(h.ravel(), p['v'], 'same').reshape(N, H)
h = F.conv1d(h.reshape(1, 1, -1), p['v'].flip(0)[None, None], padding=1).reshape(N, H)
=
h = tf.reshape(tf.nn.conv1d(tf.reshape(h, (1, -1, 1)), tf.reverse(p['v'], [0])[:, None, None], 1, 'SAME'), (N, H))

h = np.sort(h, axis=1)
h = torch.sort(h, dim=1).values
=
h = tf.sort(h, axis=1)

h = np.take_along_axis(h, np.argsort(-h, axis=1), 1)
h = torch.gather(h, 1, torch.argsort(-h, dim=1))
=
h = tf.gather(h, tf.argsort(-h, axis=1), axis=1, batch_dims=1)

h = np.nan_to_num(h) * np.sign(p['v'][0])
h = torch.nan_to_num(h) * torch.sign(p['v'][0])
=
h = tf.where(tf.math.is_nan(h), tf.zeros_like(h), h) * tf.sign(p['v'][0])

h = np.vstack([h[:1] * 2, h[1:]])
h = torch.vstack([h[:1] * 2, h[1:]])
=
h = tf.concat([h[:1] * 2, h[1:]], 0)

h = np.tril(h) + h
h = torch.tril(h) + h
=
h = tf.linalg.band_part(h, -1, 0) + h

h = h % 7.0 + h
h = torch.remainder(h, 7.0) + h
=
h = tf.math.floormod(h, 7.0) + h

e = np.exp(h - h.max(1, keepdims=True)); h = e / e.sum(1, keepdims=True)
h = F.softmax(h, 1)
h = jax.nn.softmax(h, axis=1)
h = tf.nn.softmax(h)

h = h - np.log(np.sum(np.exp(h), axis=1, keepdims=True))
h = F.log_softmax(h, dim=1)
h = jax.nn.log_softmax(h)
h = tf.nn.log_softmax(h, axis=1)

h = np.maximum(h - 0.0117, 0)
h = F.relu(h - 0.0117)
h = jax.nn.relu(h - 0.0117)
h = tf.nn.relu(h - 0.0117)

h = 0.5 * h * (1 + special.erf(h / np.sqrt(2)))
h = F.gelu(h)
h = jax.nn.gelu(h, approximate=False)
h = 0.5 * h * (1 + tf.math.erf(h / 2**0.5))

h = np.where(h > 0, h, np.expm1(np.minimum(h, 0)))
h = F.elu(h)
h = jax.nn.elu(h)
h = tf.nn.elu(h)

h = np.where(h >= 0, h, 0.25 * h)
h = F.leaky_relu(h, 0.25)
h = jax.nn.leaky_relu(h, 0.25)
h = tf.nn.leaky_relu(h, alpha=0.25)

h = h * special.expit(h)
h = F.silu(h)
h = jax.nn.silu(h)
h = tf.nn.silu(h)

h = h.copy(); h[h > 1.03] = 1.03
h = h.masked_fill(h > 1.03, 1.03)
h = jnp.where(h > 1.03, 1.03, h)
h = tf.where(h > 1.03, tf.constant(1.03, h.dtype), h)

s = np.zeros(H); out = [s := np.tanh(s @ p['s'] + row) for row in h]; h = np.stack(out)
s = torch.zeros(H, dtype=h.dtype); out = [s := torch.tanh(s @ p['s'] + row) for row in h]; h = torch.stack(out)
h = jax.lax.scan(lambda s, row: (jnp.tanh(s @ p['s'] + row),) * 2, jnp.zeros(H, h.dtype), h)[1]
h = tf.scan(lambda s, row: tf.tanh(tf.linalg.matvec(p['s'], s, transpose_a=True) + row), h, tf.zeros(H, h.dtype))

for _ in range(3): h = h - 0.1 * (h @ p['s']) * np.cos(h)
for _ in range(3): h = h - 0.1 * (h @ p['s']) * torch.cos(h)
h = jax.lax.fori_loop(0, 3, lambda _, h: h - 0.1 * (h @ p['s']) * jnp.cos(h), h)
for _ in range(3): h = h - 0.1 * (h @ p['s']) * tf.cos(h)

h = np.zeros((N, H)) + np.mean(h) + h * np.eye(N, H)
h = torch.zeros(N, H, dtype=h.dtype) + torch.mean(h) + h * torch.eye(N, H, dtype=h.dtype)
=
h = tf.zeros((N, H), h.dtype) + tf.reduce_mean(h) + h * tf.eye(N, H, dtype=h.dtype)

m = np.fft.rfft(h, axis=1); h = h + 0.1 * np.abs(m[:, :1]) ** 2
m = torch.fft.rfft(h, dim=1); h = h + 0.1 * torch.abs(m[:, :1]) ** 2
=
m = tf.reduce_sum(h, 1, keepdims=True); h = h + 0.1 * m ** 2
"""


def blocks(text: str) -> list[dict[str, str]]:
    """Return each block as a mapping from the language to its words."""
    found = []
    for block in text.strip().split("\n\n"):
        lines = block.splitlines()
        lines[2] = lines[0].replace("np.", "jnp.") if lines[2] == "=" else lines[2]
        found.append(dict(zip(LANGUAGES, lines, strict=True)))
    return found
