"""Arguments that are paths: text and paths are taken, anything else is refused by the argument's name."""

import pytest

import metaspec as ms
from metaspec import data, errors, training
from metaspec import html as pages
from metaspec import plots as pictures


@pytest.mark.parametrize("wrong", [None, 5, ["runs"]])
@pytest.mark.parametrize(
    ("argument", "call"),
    [
        ("JsonLines: path", training.JsonLines),
        ("TensorBoard: folder", training.TensorBoard),
        ("Checkpoints: folder", training.Checkpoints),
        ("load_checkpoint: path", lambda p: training.load_checkpoint(p, {"w": 1.0}, backend="numpy")),
        ("save: path", lambda p: pictures.save(None, p)),
        ("write: path", lambda p: pages.write(p, "")),
        ("folder", data.load_image_folder),
        ("folder", data.load_omniglot),
        ("folder", data.download_omniglot),
    ],
)
def test_what_is_no_path_is_refused(argument, call, wrong):
    with pytest.raises(errors.InvalidTypeError, match=rf"^{argument}: expected a path, such as 'runs/first', got "):
        call(wrong)


def test_a_run_is_saved_nowhere_else():
    run = training.meta_train(
        ms.FOMAML(ms.GradientDescent(0.1, 1)),
        lambda p, batch: (p["w"] * batch["x"]).sum(),
        {"w": ms.asarray(1.0, backend="numpy")},
        data.Sinusoid(),
        steps=0,
        backend="numpy",
    )
    with pytest.raises(errors.InvalidTypeError, match="^save_checkpoint: path: expected a path, .* got None"):
        training.save_checkpoint(None, run)
