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
    assert fused._available(torch.float32)


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
        summed = fused.convolve_onto(base.clone(), x, weight, bias)
        assert torch.allclose(summed, expected, atol=tolerance)
        assert torch.allclose(
            fused.convolve_onto(base.clone(), x, weight, bias, relu=True), summed.relu(), atol=tolerance
        )
        alone = fused.convolve_onto(torch.zeros_like(base), x, weight, None)
        assert torch.allclose(alone + bias[:, None, None], plain, atol=tolerance)
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
        assert not fused._available(torch.float32)
    finally:
        fused._available.cache_clear()


def test_bf16_is_plain_where_onednn_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """On processors without AVX-512: no error, and the numbers of torch's own way."""

    def refused(*_: object) -> torch.Tensor:
        raise RuntimeError("mkldnn_convolution: bf16 path needs the cpu support avx512bw, avx512vl and avx512dq")

    fused._available.cache_clear()
    monkeypatch.setattr(fused, "_convolve", refused)
    try:
        x, weight, bias = (torch.randn(shape).bfloat16() for shape in ((1, 3, 8, 8), (3, 3, 3, 3), (3,)))
        plain = functional.conv2d(x, weight, bias, padding=1)
        with torch.no_grad():
            assert torch.equal(fused.convolve(x, weight, bias), plain)
            assert torch.equal(fused.convolve_onto(x.clone(), x, weight, bias, relu=True), (x + plain).relu())
        assert not fused._available(torch.bfloat16)
    finally:
        fused._available.cache_clear()


def test_bf16_here_is_close_however_it_is_computed() -> None:
    """The trial raises nothing; where the processor has bf16 it decides for the operators."""
    assert fused._available(torch.bfloat16) in (True, False)
    x, weight, bias = torch.rand(1, 16, 9, 9), torch.rand(16, 16, 3, 3) / 9, torch.rand(16)
    with torch.no_grad():
        exact = functional.conv2d(x, weight, bias, padding=1)
        half = fused.convolve(x.bfloat16(), weight.bfloat16(), bias.bfloat16(), 0.0)
        assert half.dtype == torch.bfloat16
        assert torch.allclose(half.float(), exact.relu(), rtol=0.03, atol=0.03)


def test_who_records_what_is_computed_gets_plain_operators() -> None:
    x = torch.rand(1, 3, 96, 96)
    assert not fused.is_free(x), "gradients are recorded"
    with torch.no_grad():
        assert fused.is_free(x)
        traced = torch.jit.trace(lambda y: y + float(fused.is_free(y)), x, check_trace=False)
        assert torch.equal(traced(x), x)
        assert not fused.keeps_bits(x.half())
        assert not fused.keeps_bits(x[:, :, :8, :8]), "torch itself does not ask oneDNN for so small a map"
