"""Calls of NumPy's functions, methods and operators, over their options, each as a function of one traced array.

x is 3 x 4, real, away from 0; p is 3 x 4, in (0.2, 0.9); s is 4 x 4, well conditioned, not symmetric; a is symmetric
and positive definite; m is p with two NaN.
"""

NUMPY_CALLS = """
np.sum(x) | np.sum(x, 0) | np.sum(x, axis=(0, 1)) | np.sum(x, axis=1, keepdims=True) | np.sum(x, initial=2.5)
np.sum(x, where=x > 0) | np.sum(x, 1, where=B, initial=1.0) | np.sum(x, dtype=np.float32) | x.sum(-1)
x.sum(axis=None) | np.add.reduce(x) | np.add.reduce(x, axis=1, keepdims=True) | np.add.reduce(x, axis=None)
np.add.reduce(x, 0, where=B) | np.prod(x) | np.prod(x, 1, keepdims=True) | x.prod(0, initial=2.0)
np.prod(x, where=B) | np.multiply.reduce(x, 1) | np.mean(x) | np.mean(x, 0) | np.mean(x, axis=(0, 1))
np.mean(x, 1, keepdims=True, where=B) | x.mean(-1) | x.mean(where=x > 0) | np.var(x) | np.var(x, 1, ddof=1)
np.var(x, correction=1) | np.var(x, 0, where=x > -5, keepdims=True) | x.var(1) | np.var(x, mean=np.mean(x))
np.std(x) | np.std(x, 0, ddof=1) | np.std(x, axis=1, keepdims=True) | x.std(ddof=1) | np.max(x) | np.max(x, 1)
np.amax(x, 0, initial=0.3) | x.max(1, keepdims=True, initial=-1.0, where=B) | np.maximum.reduce(x) | np.min(x)
np.min(x, axis=(0, 1)) | np.amin(x, 1, initial=0.1) | x.min(0) | np.minimum.reduce(x, axis=1) | np.ptp(x, 1)
x * np.all(x > 0.5, axis=0) | x * np.any(x > 0.5, axis=1, keepdims=True) | x * np.any(x > 0, where=B)
x * (x > 0).all() | x[0, np.argmax(x, axis=0)] | x * np.argmin(x) | x * x.argmax(1, keepdims=True)
x * np.count_nonzero(x > 0, axis=0) | np.average(x) | np.average(x, 1) | np.average(x, weights=W)
np.average(x, axis=0, weights=[1.0, 2.0, 3.0], keepdims=True) | np.average(W, weights=x * x)
np.average(x, axis=1, weights=x[0] ** 2) | np.average(x, weights=W, returned=True) | np.median(x)
np.median(x, axis=0) | np.median(x, axis=1, keepdims=True) | np.median(x, axis=(0, 1)) | np.median(x[:, :3], 1)
np.quantile(x, 0.3) | np.quantile(x, [0.1, 0.6], axis=1) | np.quantile(x, 0.25, axis=0, keepdims=True)
np.percentile(x, 37.0) | np.percentile(x, [10, 55], axis=1) | np.quantile(x, 0.4, method="lower")
np.quantile(x, 0.4, 1, method="higher") | np.quantile(x, 0.4, method="nearest")
np.quantile(x, 0.3, 0, method="midpoint") | np.quantile(W, p[0, 0]) | np.quantile(x, 1.0) | np.cumsum(x)
np.cumsum(x, 1) | x.cumsum(axis=0) | np.cumprod(x, 0) | np.cumprod(x) | x.cumprod(1) | np.cumulative_sum(x, axis=1)
np.cumulative_sum(x, axis=0, include_initial=True) | np.cumulative_prod(x, axis=1) | np.add.accumulate(x, 1)
np.multiply.accumulate(x) | np.maximum.accumulate(x, 0) | np.minimum.accumulate(x, axis=1)
np.subtract.accumulate(x, 1) | np.subtract.reduce(x) | np.divide.reduce(x, axis=1) | np.logaddexp.reduce(x, axis=1)
np.hypot.reduce(x) | np.maximum.reduce(x, None) | np.subtract.reduce(x, 1, keepdims=True, initial=1.0)
np.multiply.outer(x, x[0]) | np.add.outer(x[0], W) | np.subtract.outer(W, x) | np.diff(x) | np.diff(x, 2)
np.diff(x, axis=0) | np.diff(x, prepend=0.5) | np.diff(x, 1, 0, append=x[:1]) | np.ediff1d(x)
np.ediff1d(x, to_begin=1.0, to_end=[2.0]) | np.gradient(x) | np.gradient(x, axis=1)
np.gradient(x, 0.5, axis=0, edge_order=2) | np.gradient(x, 2.0, 0.1) | np.trapezoid(x)
np.trapezoid(x, dx=0.5, axis=0) | np.trapezoid(x, np.arange(4.0) ** 2) | np.trapezoid(W, x) | np.cov(x)
np.cov(x, rowvar=False) | np.cov(x[0], x[1], bias=True) | np.cov(x, ddof=0) | np.corrcoef(x) | np.sort(x)
np.sort(x, 0) | np.sort(x, axis=None) | np.sort(x, kind="stable") | x[0, np.argsort(x[0])]
x.ravel()[np.argsort(x, None)] | np.nansum(m) | np.nansum(m, 1) | np.nanmean(m) | np.nanmean(m, 0)
np.nanmean(m, 1, keepdims=True) | np.nanvar(m, 1) | np.nanstd(m) | np.nanstd(m, 0, ddof=1) | np.nanprod(m, 1)
np.nanmax(m) | np.nanmin(m, 1) | np.nancumsum(m, 1) | np.nanmedian(m) | np.nanmedian(m, 1)
np.nanquantile(m, 0.3, axis=1) | np.nanpercentile(m, 30) | np.nan_to_num(m) | np.nan_to_num(m, nan=2.0) | np.add(x, W)
np.add(2, x) | np.subtract(x, 1) | np.multiply(x, W[0]) | np.divide(W, x) | np.true_divide(x, 2) | np.power(p, 2.5)
np.power(p, W) | np.float_power(p, 3) | np.negative(x) | np.positive(x) | np.absolute(x) | np.abs(x) | np.fabs(x)
np.sign(x) * x | np.exp(x) | np.expm1(x) | np.exp2(x) | np.log(p) | np.log1p(p) | np.log2(p) | np.log10(p)
np.sqrt(p) | np.cbrt(x) | np.square(x) | np.reciprocal(x) | np.sin(x) | np.cos(x) | np.tan(p) | np.arcsin(p)
np.arccos(p) | np.arctan(x) | np.arctan2(x, W) | np.hypot(x, W) | np.sinh(x) | np.cosh(x) | np.tanh(x) | np.arcsinh(x)
np.arccosh(p + 1) | np.arctanh(p) | np.degrees(x) | np.deg2rad(x) | np.radians(x) | np.rad2deg(x) | np.logaddexp(x, W)
np.logaddexp2(x, W) | np.maximum(x, W) | np.minimum(x, 0.1) | np.fmax(x, W) | np.fmin(x, W) | np.fmod(x, 0.35)
np.mod(x, 0.35) | np.remainder(p, W[0] ** 2 + 2) | np.floor(x) * x | np.ceil(x) * x | np.trunc(x) * x | np.rint(x) * x
np.fix(x) * x | np.floor_divide(x, 0.3) * x | divmod(p, 0.3)[1] | np.divmod(x, 0.35)[1] | np.heaviside(x, 0.5) * x
np.copysign(x, W) | np.modf(x)[0] | np.ldexp(x, 2) | np.conjugate(x) | np.sinc(x) | np.sinc(x * 0)
np.clip(x, -0.5, 0.6) | np.clip(x, None, 0.6) | np.clip(x, a_min=W, a_max=None) | np.clip(x, min=0.1) | x.clip(-0.3)
x.clip(max=0.3) | np.round(x * 10) * x | np.round(x, 1) * x | np.around(x * 300, -1) * x | x.round(1) * x
np.add(x, 1, dtype=np.float32) | np.add(x, W, casting="same_kind") | np.exp(x, order="C")
np.multiply(x, x, subok=False) | np.where(x > 0, x, W) | np.where(B, x, 0) | np.where(B, 1.0, x)
np.select([x > 0.5, x > 0], [x**2, 2 * x], 1.0) | np.select([B, x > 0], [W, x])
np.choose(np.array([0, 1, 1, 0]), [x, x**2]) | np.choose([[0], [1], [2]], [x, W, 3.0], mode="wrap")
np.choose([5, 0, -1, 1], [x, x * 2], mode="clip")
np.piecewise(x, [x < 0, x >= 0], [lambda v: v**2, lambda v: np.sqrt(v)])
np.piecewise(x, [x > 0.5], [3.0, lambda v: v * 2]) | np.piecewise(p, [B], [lambda v, k: k * v, 1.0], 4.0)
np.interp(x, [-1.5, -0.4, 0.35, 1.5], [1.0, 3.0, 2.0, 5.0])
np.interp(x, [-0.1, 0.15], [1.0, 2.0], left=-3.0, right=7.0) | np.interp([0.1, 0.5, 2.5], [0.0, 1.0, 2.0, 3.0], x[0])
np.interp(W, np.cumsum(p[0]), x[1]) | x * np.isclose(x, x + 1e-9) | x * np.allclose(x, x) | x * np.array_equal(x, x)
x * np.isfinite(x) | x * np.isnan(x) | x * np.signbit(x) | x * np.isin(x > 0, [1])
x * np.searchsorted([-0.5, 0.0, 0.5], x) | x * np.digitize(x, [-0.5, 0.0, 0.5])
x * np.searchsorted(np.sort(x[0]), x, side="right") | x.reshape(4, 3) | x.reshape(-1) | x.reshape((2, -1))
np.reshape(x, (6, 2)) | np.reshape(x, (4, 3), order="F") | x.reshape(2, 6, order="F") | np.reshape(x, shape=(12,))
x.ravel() | np.ravel(x) | np.ravel(x, order="F") | x.ravel("F") | x.flatten() | x.flatten("F") | x.T | np.transpose(x)
np.transpose(x, (1, 0)) | x.transpose(1, 0) | x.transpose() | x.transpose((1, 0)) | np.swapaxes(x, 0, 1)
x.swapaxes(0, -1) | np.moveaxis(x, 0, 1) | np.rollaxis(x, 1) | np.rollaxis(x, 0, 2) | np.rot90(x) | np.rot90(x, 2)
np.rot90(x, 3) | np.rot90(x, -1, (1, 0)) | np.matrix_transpose(x) | x.mT | np.expand_dims(x, 1)
np.expand_dims(x, (0, 2)) | np.squeeze(x[:, :1]) | np.squeeze(x[None], 0) | x[:1].squeeze() | np.atleast_1d(x[0, 0])
np.atleast_2d(x[0]) | np.atleast_3d(x) | np.atleast_3d(x[0]) | np.atleast_2d(x, x[0])[1] | np.flip(x) | np.flip(x, 1)
np.flip(x, (0, 1)) | np.fliplr(x) | np.flipud(x) | np.roll(x, 1) | np.roll(x, -2, 1) | np.roll(x, (1, 2), (0, 1))
np.tile(x, 2) | np.tile(x, (2, 1, 2)) | np.repeat(x, 2) | np.repeat(x, 3, axis=1) | x.repeat(2, 0)
np.repeat(x, [1, 0, 2], axis=0) | np.resize(x, (2, 7)) | np.resize(x, 5) | np.broadcast_to(x, (2, 3, 4))
np.broadcast_arrays(x, x[0])[1] | np.concatenate([x, W]) | np.concatenate((x, x), axis=1)
np.concatenate([x, W], axis=None) | np.concatenate([x, x], 0, dtype=np.float32) | np.stack([x, W])
np.stack([x, x], axis=-1) | np.stack([x[0, 0], 2.0, x[1, 1]]) | np.hstack([x, W]) | np.hstack((x[0], 1.0))
np.vstack([x, x[0]]) | np.dstack([x, W]) | np.dstack((x[0], x[1])) | np.column_stack([x[0], x[1]])
np.column_stack((x, x[:, 0])) | np.append(x, W) | np.append(x, x[:1], 0) | np.append(x, 2.0)
np.block([[x, W], [W[:1], x[:1]]]) | np.block([x[0], 1.0]) | np.insert(x[0], 1, 5.0) | np.insert(x, 1, 5.0, axis=1)
np.insert(x, -1, x[0] * 2, axis=0) | np.delete(x, 1) | np.delete(x, [0, 2], axis=1) | np.delete(x, slice(1, 3), 0)
np.split(x, 2, axis=1)[1] | np.split(x, [1, 2])[0] | np.array_split(x, 3, axis=1)[0] | np.hsplit(x, 2)[1]
np.vsplit(x, 3)[2] | np.dsplit(x[None], 2)[0] | np.unstack(x, axis=1)[2] | np.take(x, [0, 5])
np.take(x, [[1], [0]], axis=1) | x.take([2, -1], 0) | np.take(x, [7, -9], mode="wrap")
np.take(x, [7, -9], 1, mode="clip") | np.take(x, 2) | np.take_along_axis(x, np.argsort(W), 1)
np.take_along_axis(x, np.array([3, 1]), None) | np.compress([True, False, True], x, axis=0)
np.compress([False, True], x) | np.extract(B, x) | np.diagonal(x) | np.diagonal(x, 1) | x.diagonal(-1) | np.diag(x)
np.diag(x[0]) | np.diag(x[0], -2) | np.diagflat(x) | np.diagflat(x[0], 1) | np.trace(x) | np.trace(x, 1) | x.trace()
np.tril(x) | np.triu(x, 1) | np.tril(x, k=-1) | np.vander(x[0]) | np.vander(x[0], 3, increasing=True)
np.meshgrid(x[0], W[1])[0] | np.meshgrid(x[0], x[1], indexing="ij")[1] | np.pad(x, 1) | np.pad(x, (1, 2))
np.pad(x, ((0, 1), (2, 0)), constant_values=3.0) | np.pad(x, 2, mode="edge") | np.pad(x, ((1, 1), (2, 1)), "reflect")
np.pad(x, 1, "symmetric") | np.pad(x, ((2, 0), (0, 3)), mode="wrap") | np.zeros_like(x) + x | np.ones_like(x) * x
np.full_like(x, 2.5) * x | np.full_like(x, x[0, 0]) | np.copy(x) | x.copy() | np.linspace(x[0], W[0], 5)
np.linspace(x[0, 0], 2.0, 4, endpoint=False) | np.logspace(x[0], 1.0, 3) | np.linspace(0, x, 3, axis=1)
np.apply_along_axis(lambda r: r * r.sum(), 1, x) | np.apply_along_axis(np.sum, 0, x) | np.real(x) | np.imag(x) + x
x.real | x.conj() | np.angle(x) * x | x.astype(np.float32) | x.astype("float64") | x.astype(float, copy=False)
np.astype(x, np.float32) | np.dot(x, x.T) | np.dot(x, W[0]) | np.dot(2.0, x) | x.dot(W.T) | np.vdot(x, W)
np.inner(x, W) | np.inner(x[0], x[1]) | np.outer(x, W[0]) | np.matmul(x, W.T) | x @ x.T | W @ x.T | x @ W[0]
W[:, 0] @ x | np.vecdot(x, W) | np.matvec(x, W[0]) | np.vecmat(x[0], s) | np.tensordot(x, W) | np.tensordot(x, W, 0)
np.tensordot(x, W, axes=([1], [1])) | np.tensordot(x, x, axes=[[0, 1], [0, 1]]) | np.einsum("ij,kj->ik", x, W)
np.einsum("ij->j", x) | np.einsum("ij,ij", x, x, optimize=True) | np.einsum("...j,j->...", x, W[0])
np.einsum("ii->i", x[:, :3]) | np.kron(x, W[:2]) | np.kron(x[0], x) | np.kron(W, x[0]) | np.cross(x[:, :3], x[:, 1:])
np.cross(x[:, :3], W[:, 1:], axis=0) | np.convolve(x[0], W[0]) | np.convolve(x[0], x[1, :2], "same")
np.convolve(x[0, :2], x[1], mode="valid") | np.correlate(x[0], W[0, :3]) | np.correlate(x[0], x[1], "full")
np.correlate(x[0, :2], W[0], "same") | np.correlate(x[0], W[0, :2], "same") | np.correlate(x[0, :3], x[1], "full")
np.polyval(x[0], x[1]) | np.polyval([1.0, 2.0, 3.0], x) | np.polyadd(x[0], x[1, :2]) | np.polysub(x[0], W[0])
np.polymul(x[0], x[1, :3]) | np.polyder(x[0]) | np.polyder(x[0], 2) | np.bincount([0, 2, 2, 1], weights=x[0])
np.bincount([0, 1, 1, 0], x[1], minlength=4) | np.multiply(x, x, where=B, out=x * 1) | np.linalg.norm(x)
np.linalg.norm(x, axis=1) | np.linalg.norm(x, 1) | np.linalg.norm(x, np.inf) | np.linalg.norm(x, -1)
np.linalg.norm(x, -np.inf) | np.linalg.norm(x, 2) | np.linalg.norm(x, -2) | np.linalg.norm(x, "nuc")
np.linalg.norm(x, "fro", keepdims=True) | np.linalg.norm(x, ord=3, axis=0) | np.linalg.norm(x[0], 1)
np.linalg.norm(x, 2, axis=(1, 0)) | np.linalg.norm(x[0], np.inf) | np.linalg.norm(x[0], 0.5)
np.linalg.norm(x[None], axis=(1, 2)) | np.linalg.vector_norm(x, axis=0, ord=1)
np.linalg.matrix_norm(x, ord=1, keepdims=True) | np.linalg.det(s) | np.linalg.inv(s) | np.linalg.slogdet(s)[1]
np.linalg.slogdet(s).sign * s | np.linalg.solve(s, W.T) | np.linalg.solve(s, s[0]) | np.linalg.solve(S, s)
np.linalg.cholesky(a) | np.linalg.cholesky(s @ s.T) | np.linalg.cholesky(a + np.triu(s, 1))
np.linalg.cholesky(a, upper=True) | np.linalg.eigvalsh(a) | np.linalg.eigvalsh(a + s, UPLO="U") | np.linalg.eigh(a)[0]
np.linalg.eigh(s)[0] | np.linalg.eigh(s, "U")[0] | np.linalg.eigh(s).eigenvectors
np.linalg.eigh(s, UPLO="U").eigenvectors | np.linalg.qr(x.T)[0] | np.linalg.qr(x.T).R | np.linalg.qr(s)[0]
np.linalg.qr(s, "complete")[1] | np.linalg.qr(x)[0] | np.linalg.qr(x, mode="complete").R | np.linalg.qr(x, "r")
np.linalg.qr(np.stack([s, s * 2])).Q | np.linalg.svd(x, full_matrices=False)[0]
np.linalg.svd(x, full_matrices=False)[1] | np.linalg.svd(x, False).Vh | np.linalg.svd(x.T, False)[0]
np.linalg.svd(s)[2] | np.linalg.svd(s)[0] | np.linalg.svd(x, compute_uv=False) | np.linalg.svdvals(x)
np.linalg.pinv(x) | np.linalg.pinv(x.T) | np.linalg.pinv(s) | np.linalg.pinv(np.stack([x, x * 2]))
np.linalg.lstsq(x.T, W.T)[0] | np.linalg.lstsq(x.T, x[0] ** 2)[0] | np.linalg.lstsq(x.T, W[0])[1]
np.linalg.lstsq(x, W[:, 0])[0] | np.linalg.matrix_rank(x) * x | np.linalg.cond(s) | np.linalg.cond(s, 1)
np.linalg.cond(s, -2) | np.linalg.matrix_power(s, 3) | np.linalg.matrix_power(s, -2)
np.linalg.matrix_power(s, 0) + s | np.linalg.multi_dot([x, W.T, x]) | np.linalg.multi_dot((x[0], s, W[0]))
np.linalg.tensorinv(s, ind=1) | np.linalg.tensorsolve(s, W[0]) | np.linalg.outer(x[0], W[0])
np.linalg.cross(x[:, :3], W[:, :3]) | np.linalg.diagonal(x, offset=1) | np.linalg.trace(x) | np.linalg.vecdot(x, W)
np.linalg.matmul(x, s) | np.linalg.tensordot(x, W, axes=1 + 1) | np.linalg.matrix_transpose(x)
np.corrcoef(x, rowvar=False)[0, 1] | x[0] | x[..., 1] | x[:, None] | x[1:, ::2] | x[[0, 2]] | x[B]
x[np.array([0, 1]), [1, 2]] | x + 1 | 1 - x | x * W | W / x | x // 0.35 * x | x % 0.35 | 2.0**x | p**W | p**0.5 | x**2
x**-1 | x**0 * x | -x | +x | abs(x) | x @ x.T | x * (x > 0) | x * (x <= W) | x * ((x > 0) & (x < 0.5)) | x * (1 == 1)
sum(x) | sum(x[0]) | max(x[0], key=lambda e: 1) | x + [1.0, 2.0, 3.0, 4.0] | np.float64(2.0) * x | x * np.float32(0.5)
np.float32(0.5) - x | x / np.int64(3) | np.array(2.0) * x | len(x) * x | x.size * x.ndim * x
np.mean(np.tanh(x @ s + W[0]), axis=0) | (x - x.mean(0)) / x.std(0) | np.log(np.sum(np.exp(x - x.max()))) + x.max()
np.einsum("ij,jk,lk->il", x, s, W) | np.array([[1.0, 2.0]], like=x) + x[0, 0]
np.broadcast_to(x[0], x.shape) * x | np.copy(x[0], order="C") | np.ix_([0], [1])[0] * x | x * np.shape(x)[0]
x * np.size(x, 1) | x * np.ndim(x)
"""

SCIPY_CALLS = """
special.expit(x) | special.logit(p) | special.log_expit(x) | special.erf(x) | special.erfc(x) | special.erfcx(x)
special.ndtr(x) | special.log_ndtr(x) | special.gammaln(p + 1) | special.gamma(p + 1) | special.digamma(p)
special.psi(p) | special.betaln(p, W**2) | special.beta(p, 2.0) | special.xlogy(x, p) | special.xlogy(0.0, p)
special.xlog1py(x, p) | special.entr(p) | special.rel_entr(p, W**2) | special.kl_div(p, W**2) | special.exp10(x)
special.loggamma(p) | special.beta(p * 400, 2.0) | special.betaln(p * 1e3, 3.0) | special.beta(p, x + 3)
"""


NUMPY_ONLY = """
    cbrt exp2 fmod logaddexp2 svd svdvals pinv erf erfc erfcx polygamma gammaln loggamma gamma beta betaln
    log_ndtr ndtr expit logit
"""


def calls(text: str) -> list[str]:
    return [call.strip() for line in text.strip().splitlines() for call in line.split(" | ")]
