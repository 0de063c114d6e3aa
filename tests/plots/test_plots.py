"""Pictures: what is drawn is what was computed, read off the figure; nothing global is touched."""

import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from statistics import stdev

import numpy as np
import pytest

import metaspec as ms
from metaspec import data, nn
from metaspec import plots as pictures
from metaspec.data import FewShot, FunctionMixture, LabelledImages, Sinusoid
from metaspec.errors import InvalidArgumentError, LibraryMissingError
from metaspec.training import Estimate, EvaluationReport, Judged, StepRecord

pytest.importorskip("matplotlib")

NET = nn.MLP((1, 5, 1), activation=nn.tanh)
ALGO = ms.MAML(ms.GradientDescent(0.05, 3))


def history(losses):
    return tuple(StepRecord(i, loss, 0.0) for i, loss in enumerate(losses))


def line(axes, label):
    return next(line for line in axes.get_lines() if line.get_label() == label)


def test_adaptation_curves_are_the_adapted_networks(backend):
    params, source = NET.init(0, "float64"), Sinusoid(shots=4, dtype="float64", stream="test")
    figure = pictures.adaptation_curves(ALGO, NET, params, source, tasks=(5,), steps=(0, 2), backend=backend)
    (axes,) = figure.axes
    task = source.task(5)
    numpy = ms.MAML(ms.GradientDescent(0.05, 2))
    theta = ms.adapt(numpy, NET.loss, params, task.support, backend="numpy")
    for label, expected in (("before", params), ("after 2 steps", theta)):
        x, y = (np.asarray(v) for v in line(axes, label).get_data())
        np.testing.assert_allclose(y, NET.apply(expected, x[:, None])[:, 0], rtol=1e-10, atol=1e-12)
    assert sorted(line(axes, "support set").get_xdata()) == sorted(task.support["x"][:, 0])
    x, y = (np.asarray(v) for v in line(axes, "the task's function").get_data())
    A, phase = source.amplitude_and_phase(5)
    np.testing.assert_allclose(y, A * np.sin(x - phase))
    assert x[0] == np.concatenate([task.support["x"], task.query["x"]]).min()


@pytest.mark.parametrize("source", [Sinusoid(seed=3), FunctionMixture(seed=3, shots=4)], ids=["sinusoid", "mixture"])
def test_values_are_the_tasks_own(source):
    for index in range(12):
        task = source.task(index)
        np.testing.assert_allclose(source.values(index, task.query["x"]), task.query["y"], rtol=1e-5, atol=1e-5)


def test_losses_of_one_run_are_means_of_stretches():
    curve = pictures.losses_of("a", [history([4.0, 2.0, 1.0, 3.0, 5.0])], points=2)
    assert curve.x == [2, 5]
    assert curve.mean == pytest.approx([3.0, 3.0])
    assert curve.half_width == pytest.approx([1.96 * 2**0.5 / 2**0.5, 1.96 * 2.0 / 3**0.5], rel=1e-3)
    single = pictures.losses_of("a", [history([4.0, 2.0])], points=5)
    assert single.mean == [4.0, 2.0]
    assert np.isnan(single.half_width).all()


def test_losses_of_several_runs_have_intervals_over_runs():
    runs = [history([1.0, 3.0]), history([2.0, 4.0, 100.0]), history([6.0, 8.0])]
    curve = pictures.losses_of("seeds", runs, points=1)
    assert (curve.x, curve.mean) == ([2], [4.0])
    assert curve.half_width == pytest.approx([4.303 * stdev([2.0, 3.0, 7.0]) / 3**0.5])


def test_accuracy_of_evaluations():
    report = EvaluationReport(25, Estimate(1, 0), Estimate(0.5, 0.1), Estimate(0.2, 0.01), Estimate(0.6, 0.02))
    curve = pictures.accuracy_of("a", [Judged(10, 0.4, report)])
    assert (curve.x, curve.mean, curve.half_width) == ([10], [60.0], [2.0])
    with pytest.raises(InvalidArgumentError, match="evaluations that had a metric"):
        pictures.accuracy_of("a", [Judged(10, 0.4, EvaluationReport(25, Estimate(1, 0), Estimate(0.5, 0.1)))])


def test_curves_draw_means_and_bands():
    figure = pictures.curves([pictures.Curve("a", [1, 2], [3.0, 2.0], [0.5, 0.25])], y="loss", log_y=True)
    (axes,) = figure.axes
    assert (axes.get_yscale(), axes.get_ylabel(), axes.get_xlabel()) == ("log", "loss", "outer step")
    assert line(axes, "a").get_ydata().tolist() == [3.0, 2.0]
    (band,) = axes.collections
    corners = {tuple(map(float, point)) for point in band.get_paths()[0].vertices}
    assert {(1.0, 2.5), (1.0, 3.5), (2.0, 1.75), (2.0, 2.25)} <= corners


def test_an_episode_shows_every_picture_in_its_place():
    images = (np.arange(24)[:, None, None] * 10 + np.zeros((24, 3, 3))).astype("uint8")  # a grey of its own each
    task = FewShot(LabelledImages(images, np.arange(24) % 3), ways=3, shots=2, queries=4).task(1)
    figure = pictures.episode_grid(task, queries=3)
    for axes, part, most in zip(figure.axes, task, (2, 3), strict=True):
        sheet = axes.get_images()[0].get_array()
        assert sheet.shape == (4 * most - 1, 11)
        for label in range(3):
            own = part["x"][part["y"] == label][:most]
            for row in range(most):
                shown = sheet[4 * row : 4 * row + 3, 4 * label : 4 * label + 3]
                np.testing.assert_array_equal(shown, own[row])
    with pytest.raises(InvalidArgumentError, match=r"expected pictures x \[N, H, W\]"):
        pictures.episode_grid(data.Sinusoid().task(0))


def test_a_query_that_is_wrong_gets_a_frame_and_what_it_was_taken_for():
    images = (np.arange(24)[:, None, None] * 10 + np.zeros((24, 3, 3))).astype("uint8")
    task = FewShot(LabelledImages(images, np.arange(24) % 3), ways=3, shots=2, queries=4).task(1)
    predicted = task.query["y"].copy()
    predicted[4] = 2  # the second of class 1
    below = pictures.episode_grid(task, queries=3, predicted=predicted).axes[1]
    assert below.get_title() == "query set, 11 of 12 right"
    ((frame,), (text,)) = below.patches, below.texts
    assert (frame.get_xy(), text.get_text()) == ((3.5, 3.5), "2")
    with pytest.raises(InvalidArgumentError, match="predicted: expected a class for each of the 12 queries"):
        pictures.episode_grid(task, predicted=predicted[:5])


def test_an_svg_is_whole_and_the_same_each_time(tmp_path):
    def drawn():
        return pictures.svg(pictures.curves([pictures.Curve("a & b", [1, 2], [3.0, 2.0], [0.5, 0.25])], y="y"))

    assert drawn() == drawn()
    root = ElementTree.fromstring(drawn())
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(set(ids)) == len(ids)
    used = set(re.findall(r"url\(#(\w+)\)|href=\"#([\w-]+)\"", drawn()))
    assert used
    assert {a or b for a, b in used} <= set(ids)
    figure = pictures.curves([pictures.Curve("", [1, 2], [3.0, 2.0], [0.0, 0.0])], y="y")
    pictures.save(figure, tmp_path / "new" / "a.png")
    assert (tmp_path / "new" / "a.png").read_bytes().startswith(b"\x89PNG")


def test_nothing_of_the_process_is_touched():
    code = """
import sys, matplotlib
settings = lambda: {name: matplotlib.rcParams[name] for name in matplotlib.rcParams if name != "backend"}
before = settings()
from metaspec import plots as pictures
pictures.svg(pictures.curves([pictures.Curve("a", [1, 2], [3.0, 2.0], [0.5, 0.25])], y="loss"))
assert settings() == before
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, timeout=120)


def test_refusals(monkeypatch):
    with pytest.raises(InvalidArgumentError, match="at least one history"):
        pictures.losses_of("a", [])
    with pytest.raises(InvalidArgumentError, match="expected at least one line"):
        pictures.curves([], y="y")
    with pytest.raises(InvalidArgumentError, match="must be of one length, got 1, 2 and 1"):
        pictures.Curve("a", [1], [1.0, 2.0], [0.0])
    with pytest.raises(InvalidArgumentError, match="at least one task and one number of steps"):
        pictures.adaptation_curves(ALGO, NET, NET.init(0), Sinusoid(), tasks=(), backend="numpy")
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(LibraryMissingError, match=r"needs matplotlib.*pip install 'metaspec\[plots\]'"):
        pictures.curves([pictures.Curve("a", [1], [1.0], [0.0])], y="y")
