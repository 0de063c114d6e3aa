"""A function whose second derivative PyTorch leaves out is refused by name, wherever it is needed."""

import pytest

torch = pytest.importorskip("torch")

import metaspec as ms  # noqa: E402


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return 3 * x**2 * g


def loss(params, batch):
    return (Cube.apply(params["w"] * batch) ** 2).sum() + (params["head"] * batch).sum() ** 2


PARAMS = {"w": torch.tensor([0.5, 0.3]), "head": torch.ones(2)}
TASK = ms.Task(torch.ones(2), 2 * torch.ones(2))
INNER = ms.GradientDescent(0.1, 2)
FORMS = {
    "alone": lambda algo: ms.meta_gradient(algo, loss, PARAMS, TASK),
    "batched": lambda algo: ms.batch_meta_gradient(algo, loss, PARAMS, [TASK, TASK]),
    "compiled": lambda algo: ms.compile(lambda p, t: ms.meta_gradient(algo, loss, p, t))(PARAMS, TASK),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("algo", [ms.MAML(INNER), ms.IMAML(INNER, 2.0), ms.MAML(INNER, adapt="head")])
def test_second_derivatives_are_refused_by_name(form, algo):
    with pytest.raises(ms.errors.UnsupportedError, match=r"no second derivative of Cube.*once_differentiable"):
        FORMS[form](algo)


@pytest.mark.parametrize("form", FORMS)
def test_first_derivatives_are_right(form):
    delta = FORMS[form](ms.FOMAML(ms.GradientDescent(0.1, 0))).delta["w"]
    torch.testing.assert_close(delta, 6 * PARAMS["w"] ** 5 * 2.0**6)
