"""The rule for tests that need PyTorch, which is an extra."""

import os
from importlib.util import find_spec

import pytest


def need_torch() -> None:
    """Skip the module that calls this locally where there is no PyTorch; fail it in CI."""
    if find_spec("torch") is None:
        if os.environ.get("CI"):
            pytest.fail("PyTorch is not installed, and in CI nothing may be missing", pytrace=False)
        pytest.skip("PyTorch is not installed; make test installs it", allow_module_level=True)
    import torch

    torch.set_num_threads(1)  # networks this small are slower on more
