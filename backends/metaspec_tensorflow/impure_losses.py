"""What a traced graph shows of a loss that is no pure function of tensors, and what errors of a trace mean."""

import re

from metaspec.errors import LossError, MetaspecError, MutationError, UnsupportedError

RANDOM = re.compile(
    r"(Stateful)?(Random(Uniform|UniformInt|StandardNormal|Shuffle|Gamma|Poisson|PoissonV2|Binomial|Crop)"
    r"|StandardNormal|StandardNormalV2|(Parameterized)?TruncatedNormal|Uniform|UniformInt|UniformFullInt"
    r"|Multinomial|RngSkip|RngReadAndSkip|NonDeterministicInts|SampleDistortedBoundingBox(V2)?|\w*CandidateSampler)"
)
WRITES = re.compile(r"Assign\w*VariableOp|Resource(Scatter|StridedSliceAssign|Apply|SparseApply)\w*")
HOST = re.compile(r"(Eager)?PyFunc(Stateless)?")
MEANINGS = (
    (
        r"has no attribute 'numpy'|Cannot convert a symbolic|symbolic tf.Tensor",
        "the value of a tensor is asked for in Python (x.numpy(), float(x), a function of NumPy's of a tensor). What "
        "leaves TensorFlow has no derivative: write TensorFlow's own functions (tf.tanh(x) for np.tanh(x))",
    ),
    (
        r"tf.Variables created|Unable to lift tensor|[Vv]ariable.*(initializ|created) .*(loop|conditional|function)",
        "it makes a tf.Variable. What is assigned to a variable has no derivative: use tensors (tf.zeros, tf.concat, "
        "tf.tensor_scatter_nd_update)",
    ),
    (
        r"recompute_grad",
        "tf.recompute_grad has no second derivative in a graph: leave it out, and give MAML(..., checkpoint='sqrt'), "
        "which keeps less and recomputes the rest",
    ),
)


def refuse_impure(operations: set[str]) -> None:
    """Raise where an operation draws random numbers, writes to a variable or calls Python.

    Raises:
        MutationError: It draws, or writes.
        UnsupportedError: It calls Python.
    """
    drawn, written, host = (sorted(filter(kind.fullmatch, operations)) for kind in (RANDOM, WRITES, HOST))
    if written:
        raise MutationError(
            f"loss: it writes to a variable ({', '.join(written)}): each evaluation would see another value, and what "
            "is assigned has no derivative. Have what changes in the batch; of Keras layers that keep a state "
            "(dropout, batch normalization), metaspec.from_model(model, loss) makes a function"
        )
    if drawn:
        raise MutationError(
            f"loss: it draws random numbers ({', '.join(drawn)}), and a meta-gradient is of a function: the gradient "
            "and the Hessian-vector products of one step would see different numbers. Put what is random (masks, "
            "noise, or a seed for tf.random.stateless_uniform) into the batch"
        )
    if host:
        raise UnsupportedError(
            f"loss: it calls Python from the graph ({', '.join(host)}): tf.numpy_function has no derivative, and "
            "tf.py_function no second one. Write TensorFlow's own functions; compute what does not depend on the "
            "parameters beforehand, and pass it in with the batch"
        )


def explained(error: Exception) -> LossError | None:
    """Return what an error of TensorFlow's, raised while the loss is traced, says of it; None where it is another."""
    if isinstance(error, MetaspecError):
        return None
    text = str(error)
    found = next((meaning for pattern, meaning in MEANINGS if re.search(pattern, text)), None)
    if found is None:
        return None
    return LossError(f"loss: {found} ({type(error).__name__}: {' '.join(text.split())[:160]})")
