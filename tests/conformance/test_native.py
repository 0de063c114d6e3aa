"""The laws and scenarios of compiled functions on PyTorch's native code, which takes minutes to make."""

import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.soak


@pytest.mark.skipif(shutil.which("c++") is None, reason="native code is made by a C++ compiler")
@pytest.mark.parametrize("pattern", ["compile", "checkpoints", "*/steps-3"])  # of ids: stacked-compiled, ...
def test_native_code_conforms(pattern):
    pytest.importorskip("torch")
    adapter = "tests.conformance.native_torch:NativeTorch"
    arguments = ["verify", adapter, "--scenario", pattern, "--workers", "1", "--timeout", "900", "--compiled"]
    command = [sys.executable, "-c", "from metaspec.cli import main; main()", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all agree" in done.stdout
