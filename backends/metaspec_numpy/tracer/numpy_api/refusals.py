"""What to write in place of NumPy's functions that have no rule."""

_UNKNOWN_SHAPE = "the shape of its result depends on values; use np.where(mask, x, 0), or weights of 0 and 1"
_COMPLEX = (
    "its result is complex, which has no derivative here; write the real and the imaginary part as two real arrays: a "
    "Fourier transform is a product with np.cos and -np.sin of 2 * np.pi * k * n / N"
)
_INTEGER = "it is one of integers: compute it outside of the loss and pass the result in with the batch"
_REASONS = {
    _UNKNOWN_SHAPE: """nonzero flatnonzero argwhere unique unique_all unique_counts unique_inverse unique_values union1d
        intersect1d setdiff1d setxor1d trim_zeros""",
    _COMPLEX: """eig eigvals roots poly fft ifft rfft irfft hfft ihfft fft2 ifft2 rfft2 irfft2 fftn ifftn rfftn irfftn
        fftshift ifftshift sort_complex""",
    _INTEGER: "gcd lcm bitwise_count packbits unpackbits ravel_multi_index unravel_index lexsort",
    "its result does not change with its argument; count with sums of np.where": """histogram histogram2d histogramdd
        histogram_bin_edges""",
    "the order among what it leaves unsorted is not fixed; use np.sort or np.argsort": "partition argpartition",
    "use np.sqrt, np.log, ... where the argument is in the real domain": """logn arccos arcsin arctanh log log2 log10
        power sqrt""",
    "use np.linalg.lstsq on np.vander(x, deg + 1)": "polyfit",
    "use np.log and np.linspace: np.exp(np.linspace(np.log(a), np.log(b), n))": "geomspace",
    "call it on plain arrays, outside of the loss": "save savez savez_compressed savetxt array2string",
    "go through np.ndindex(x.shape), or x.ravel()": "nditer ndenumerate broadcast flat",
    "write it for whole arrays, with functions that have rules": "vectorize frompyfunc",
    "a traced array has no memory; x.astype(...) converts, x[...] and x.copy() give a view and a copy": """memoryview
        frombuffer tobytes data ctypes base flags strides view byteswap""",
    "use arrays, with @ for the product": "matrix asmatrix bmat",
    "use arrays, with np.where(mask, x, 0) for what is masked": "masked_array masked_where masked_invalid",
    "use scipy.special.i0 on plain arrays, outside of the loss": "i0 i1",
}
_GENERAL = (
    "compose it of functions that have rules (np.sum, np.where, np.take, np.matmul, np.exp, ...), or compute it on "
    "plain arrays outside of the loss"
)
INSTEAD = {name: reason for reason, names in _REASONS.items() for name in names.split()}


def instead_of(name: str) -> str:
    """The reason why a function of that name has no rule, and what to write instead."""
    return INSTEAD.get(name, _GENERAL)
