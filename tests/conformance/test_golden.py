"""The golden vectors as a product: what the files hold, that they do not drift, and that a reader can use them."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from metaspec_conformance.golden import PLACE, __main__, load, parse
from metaspec_conformance.golden.certify import certified
from metaspec_conformance.golden.vector_check import measure
from metaspec_conformance.golden.vector_files import texts
from metaspec_conformance.golden.vector_list import catalogue

VECTORS = load()
CHEAP = [
    i
    for i in catalogue()
    if i.algorithm.name == "FOMAML" or (i.loss in ("rosenbrock", "logistic") and i.algorithm.rule is None)
]
READER = Path(__file__).parents[2] / "examples" / "read_golden_vectors.py"
DOCUMENT = Path(__file__).parents[2] / "docs" / "golden-vectors.md"


@pytest.fixture(autouse=True)
def _soak_is_opt_in(request):
    if request.node.get_closest_marker("soak") and "soak" not in request.config.getoption("markexpr"):
        pytest.skip("computes every vector anew (a minute): -m soak")


def test_there_are_enough_and_the_files_are_small():
    names = [vector.inputs.algorithm.name for vector in VECTORS]
    assert len({vector.inputs.id for vector in VECTORS}) == len(VECTORS) > 170
    assert min(names.count(name) for name in ("MAML", "FOMAML", "Reptile", "IMAML")) > 20
    assert sum(path.stat().st_size for path in PLACE.glob("*.json")) < 700_000


def test_files_hold_the_catalogue_in_its_order_and_the_printed_form():
    by_loss = sorted(catalogue(), key=lambda inputs: inputs.loss)
    assert [vector.inputs for vector in VECTORS] == by_loss
    assert texts(VECTORS) == {path.name: path.read_bytes().decode() for path in PLACE.glob("*.json")}


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v.inputs.id)
def test_inputs_are_exact_in_binary_and_outputs_have_at_most_30_digits(vector):
    inputs = vector.inputs
    arrays = [*inputs.params.values()]
    for task in inputs.tasks:
        arrays += [*task.support.values(), *(task.query or {}).values()]
    strings = [x for array in arrays for x in array.values if not isinstance(x, int)]
    strings += re.findall(r"'(-?[\d.]+)'", repr(inputs.algorithm))
    assert all(Fraction(float(x)) == Fraction(x) for x in strings)
    for leaf in vector.expected.named().values():
        assert all(re.fullmatch(r"-?\d+(\.\d*[1-9])?", x) for x in leaf.values)
        assert all(len(re.sub(r"\D", "", x).lstrip("0")) <= 30 for x in leaf.values)


@pytest.mark.parametrize("inputs", CHEAP, ids=lambda inputs: inputs.id)
def test_no_drift(inputs):
    known = {vector.inputs.id: vector for vector in VECTORS}
    assert certified(inputs)[0] == known[inputs.id]


@pytest.mark.soak
def test_no_drift_of_any_byte():
    assert __main__.main(["--check"]) == 0


def test_command_writes_and_sees_a_digit_altered(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(__main__, "catalogue", lambda: CHEAP[:3])
    assert __main__.main(["--place", str(tmp_path), "--check"]) == 1
    assert __main__.main(["--place", str(tmp_path)]) == 0
    assert __main__.main(["--place", str(tmp_path), "--check"]) == 0
    file = tmp_path / "quadratic.json"
    file.write_text(altered(file.read_text()))
    capsys.readouterr()
    assert __main__.main(["--place", str(tmp_path), "--check"]) == 1
    assert "differs in quadratic.json" in capsys.readouterr().out


def altered(text, place=30):
    """The text with one digit of the first output that has 30 of them changed."""
    found = re.search(r'"-?0\.0*[1-9]\d{29}"', text[text.index('"expected"') :])
    at = text.index(found[0]) + len(found[0]) - 2 - (30 - place)
    return text[:at] + str((int(text[at]) + 5) % 10) + text[at + 1 :]


@pytest.mark.parametrize("dtype", ["float32", "float64", "longdouble"])
@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v.inputs.id)
def test_numpy_backend_agrees(vector, dtype):
    for measured in measure(vector, "numpy", dtype):
        assert measured.passed, measured


@pytest.mark.soak
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_backend_agrees(backend, dtype):
    found = [measured for vector in VECTORS for measured in measure(vector, backend, dtype)]
    assert [measured for measured in found if not measured.passed] == []


def test_comparison_sees_a_digit_altered():
    vector = parse(altered((PLACE / "logistic.json").read_text(), place=14))[0]
    assert not all(measured.passed for measured in measure(vector, "numpy", "float64"))
    assert all(measured.passed for measured in measure(vector, "numpy", "float32"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_first_order_is_not_taken_for_maml(dtype):
    """By at least 100 tolerances, wherever the two differ at all."""
    for vector in VECTORS:
        algorithm = vector.inputs.algorithm
        if (
            algorithm.name == "MAML"
            and algorithm.rule is None
            and algorithm.steps
            and "zero-hessian" not in vector.inputs.id
        ):
            first_order = replace(vector.inputs, algorithm=replace(algorithm, name="FOMAML"))
            wrong = measure(replace(vector, inputs=first_order), "numpy", dtype)
            assert max(m.error / m.tolerance for m in wrong) > 100, vector.inputs.id


def test_a_file_of_another_version_is_refused():
    content = json.loads((PLACE / "logistic.json").read_text())
    with pytest.raises(ValueError, match="version 2, got 'metaspec golden vectors' 3"):
        parse(json.dumps({**content, "version": 3}))


def read(file):
    done = subprocess.run([sys.executable, "-I", READER, file], capture_output=True, text=True, check=True)
    return {line.split()[0]: float(line.split()[1]) for line in done.stdout.splitlines()}


def test_the_reader_is_short_and_agrees(tmp_path):
    text = READER.read_text()
    assert len(text.splitlines()) <= 50
    assert set(re.findall(r"^(?:import|from) (\w+)", text, re.MULTILINE)) <= sys.stdlib_module_names
    file = PLACE / "tanh_network.json"
    digits = read(file)
    wanted = {v.inputs.id for v in VECTORS if v.inputs.loss == "tanh_network"}
    assert digits.keys() == {i for i in wanted if i.split("/")[1] in ("maml", "fomaml")}
    assert all(found > (11 if "/maml/" in name else 14) for name, found in digits.items())
    (tmp_path / "altered.json").write_text(altered(file.read_text(), place=8))
    assert min(read(tmp_path / "altered.json").values()) < 9


def test_every_loss_and_file_is_in_the_document():
    text = DOCUMENT.read_text()
    for path in PLACE.glob("*.json"):
        assert f"`{path.stem}`" in text
    assert f"{len(VECTORS)} vectors" in text
