"""Convolutions in one pass with what follows them: what plain ones give, and plain ones where they cannot be."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from streamvsr.models import fused

EXACT = 1e-5
LAYOUTS = (torch.channels_last, torch.contiguous_format)


def test_this_torch_has_the_operators() -> None:
    """They are not documented: a torch that drops or changes them would be slower without a word."""
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        pytest.skip("torch was built without oneDNN")
    assert fused._available()


@settings(max_examples=30, deadline=None)
@given(
    st.integers(1, 2), st.integers(1, 20), st.integers(1, 20), st.integers(1, 9), st.integers(1, 13),
    st.sampled_from((1, 3, 7)), st.sampled_from(LAYOUTS), st.sampled_from((None, 0.0, 0.1)),
)  # fmt: skip
def test_fused_is_plain(
    count: int, inputs: int, outputs: int, height: int, width: int, side: int, layout: torch.memory_format,
    leak: float | None,
) -> None:  # fmt: skip
    generator = torch.Generator().manual_seed(count * inputs + outputs)
    x = torch.randn(count, inputs, height, width, generator=generator).contiguous(memory_format=layout)
    weight, bias = torch.randn(outputs, inputs, side, side, generator=generator) / side, torch.randn(outputs)
    base, before = torch.randn(count, outputs, height, width).contiguous(memory_format=layout), x.clone()
    plain = functional.conv2d(x, weight, bias, padding=side // 2)
    wanted = plain if leak is None else functional.leaky_relu(plain, leak)
    tolerance = EXACT * max(1.0, float(plain.abs().max()))
    with torch.no_grad():
        assert torch.allclose(fused.convolve(x, weight, bias, leak), wanted, atol=tolerance)
        assert torch.allclose(fused.convolve_to_few(x, weight, bias), plain, atol=tolerance)
        expected = base + plain
        assert torch.allclose(fused.convolve_onto(base, x, weight, bias), expected, atol=tolerance)
    assert torch.equal(x, before)


def test_gradients_go_through() -> None:
    x, base = (torch.randn(1, 3, 8, 8, requires_grad=True) for _ in range(2))
    weight, bias = torch.randn(3, 3, 3, 3), torch.zeros(3)
    kept = base.detach().clone()
    fused.convolve_onto(
        base, fused.convolve_to_few(fused.convolve(x, weight, bias, 0.1), weight, bias), weight, bias
    ).sum().backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0
    assert torch.equal(base, kept), "what gradients need was overwritten"


@pytest.mark.parametrize("fault", [AttributeError("no such operator"), RuntimeError("another signature"), None])
def test_plain_where_the_operators_are_of_no_use(fault: Exception | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing, changed, or giving something else."""

    def broken(x: torch.Tensor, *args: object) -> torch.Tensor:
        if fault is not None:
            raise fault
        return x

    fused._available.cache_clear()
    monkeypatch.setattr(fused, "_convolve_onto", broken)
    try:
        x, weight, bias = torch.randn(1, 3, 8, 8), torch.randn(3, 3, 3, 3), torch.randn(3)
        with torch.no_grad():
            summed = fused.convolve_onto(x.clone(), x, weight, bias)
        assert torch.allclose(summed, x + functional.conv2d(x, weight, bias, padding=1), atol=EXACT)
        assert not fused._available()
    finally:
        fused._available.cache_clear()
