"""PyTorch's process-wide settings, as they must be while a loss is computed, for as long as any thread computes one."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch

_SWITCHES = (
    (torch.backends.cuda.flash_sdp_enabled, torch.backends.cuda.enable_flash_sdp),
    (torch.backends.cuda.mem_efficient_sdp_enabled, torch.backends.cuda.enable_mem_efficient_sdp),
    (torch.backends.cuda.cudnn_sdp_enabled, torch.backends.cuda.enable_cudnn_sdp),
    (torch.backends.mha.get_fastpath_enabled, torch.backends.mha.set_fastpath_enabled),
)
"""Fused attention, which has no second derivative: (how it is set, the function that sets it)."""

_LOCK = Lock()
_inside = 0
_before: list[bool] = []


@contextmanager
def attention_by_its_formula() -> Iterator[None]:
    """Within it scaled dot-product attention is computed by the operations of its formula.

    The first to enter notes the user's settings, the last to leave restores them.
    """
    global _inside
    with _LOCK:
        if _inside == 0:
            _before[:] = [is_set() for is_set, _ in _SWITCHES]
            for _, switch in _SWITCHES:
                switch(False)
        _inside += 1
    try:
        yield
    finally:
        with _LOCK:
            _inside -= 1
            if _inside == 0:
                for (_, switch), value in zip(_SWITCHES, _before, strict=True):
                    switch(value)
