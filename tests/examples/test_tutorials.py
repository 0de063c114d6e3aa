"""The tutorials run as they stand, and make the pictures that their pages show."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "tutorials"
NEEDS = {
    "sinusoids_from_zero": ("matplotlib",),
    "torch_image_folder": ("torch", "matplotlib"),
    "jax_two_devices": ("jax", "optax", "matplotlib"),
    "keras_and_tensorflow": ("tensorflow", "keras", "matplotlib"),
    "audit_of_code": ("torch", "matplotlib"),
    "adapter_from_zero": ("jax", "matplotlib"),
    "learned_rates": ("matplotlib",),
}


def test_all_tutorials_are_known():
    assert {path.stem for path in FOLDER.glob("*.py")} == set(NEEDS)


@pytest.mark.parametrize("name", NEEDS)
def test_tutorial_runs(name, tmp_path):
    """In a process of its own: numbers of devices and Keras's backend are chosen before the first import."""
    for need in NEEDS[name]:
        if find_spec(need) is None:
            pytest.skip(f"not installed: {need}")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [sys.executable, str(FOLDER / f"{name}.py")]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stdout + done.stderr
    shown = re.findall(r"\(pictures/([\w.]+)\)", (FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    assert shown
    for picture in shown:
        assert (tmp_path / picture).stat().st_size > 1000
        assert (FOLDER / "pictures" / picture).is_file()
