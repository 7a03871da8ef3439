"""The native engine's vector functions are within their stated error."""

import numpy as np
import pytest

from charloom.engines import native_problem

if native_problem() is not None:
    pytest.skip(f"{native_problem()}", allow_module_level=True)

from charloom.engines.native import open_kernels

UNITS_IN_THE_LAST_PLACE = {
    "exp": 1.1,
    "log": 2.1,
    "tanh": 3.0,
    "sigmoid": 2.5,
    "reciprocal_root": 2.5,
    "reciprocal": 2.5,
    "root": 2.5,
}


def numbers_for_log(rng: np.random.Generator, dtype: type) -> np.ndarray:
    """Return probabilities, numbers near 1, where the logarithm is near 0, and numbers of all sizes."""
    limits = np.log2(np.finfo(dtype).smallest_normal), np.log2(np.finfo(dtype).max)
    probabilities = 10 ** rng.uniform(-30, 0, 32_000)
    near_one = 1 + rng.choice([-1, 1], 16_000) * 10 ** rng.uniform(-8, -0.3, 16_000)
    return np.concatenate([probabilities, near_one, 2 ** rng.uniform(*limits, 16_000)])


@pytest.mark.parametrize("function", list(UNITS_IN_THE_LAST_PLACE))
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_vector_functions_are_within_their_stated_error(native, function, dtype):
    rng = np.random.default_rng(3)
    x = {
        "exp": rng.uniform(-80 if dtype == np.float32 else -700, 0, 64_000),
        "log": numbers_for_log(rng, dtype),
        "tanh": rng.choice([-1, 1], 64_000) * 10 ** rng.uniform(-6, 1.5, 64_000),
        "sigmoid": rng.uniform(-80 if dtype == np.float32 else -700, 30, 64_000),
        "reciprocal_root": 10 ** rng.uniform(-8, 6, 64_000),
        "reciprocal": 10 ** rng.uniform(-8, 6, 64_000),
        "root": 10 ** rng.uniform(-30, 6, 64_000),
    }[function].astype(dtype)
    y = np.empty_like(x)
    open_kernels(np.dtype(dtype).name, native.isa).apply(function, x, y)
    exact = {
        "exp": np.exp,
        "log": np.log,
        "tanh": np.tanh,
        "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
        "reciprocal_root": lambda v: 1 / np.sqrt(v),
        "reciprocal": lambda v: 1 / v,
        "root": np.sqrt,
    }
    truth = exact[function](x.astype(np.longdouble))
    error = np.abs(y - truth) / np.spacing(np.abs(truth).astype(dtype))
    assert error.max() <= UNITS_IN_THE_LAST_PLACE[function]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_logarithm_is_right_at_the_ends_of_its_range(native, dtype):
    info = np.finfo(dtype)
    ends = [1, 1e-30, 1 + info.eps, 1 - info.epsneg, np.sqrt(0.5), np.sqrt(2), 0.5, 2]
    ends += [info.smallest_normal, info.max]
    x = np.resize(np.array(ends, dtype), 16)
    x = np.where(np.arange(16) < 10, x, np.nextafter(x, dtype(1)))
    y = np.empty_like(x)
    open_kernels(np.dtype(dtype).name, native.isa).apply("log", x, y)
    truth = np.log(x.astype(np.longdouble))
    error = np.abs(y - truth) / np.spacing(np.abs(truth).astype(dtype))
    assert error.max() <= UNITS_IN_THE_LAST_PLACE["log"]
    assert y[0] == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_vector_functions_keep_nan_and_signs(native, dtype):
    x = np.array([np.nan, -np.nan, 0.0, -0.0, 300.0, -300.0, -np.inf, np.inf] * 2, dtype=dtype)
    kernels = open_kernels(np.dtype(dtype).name, native.isa)
    tanh, exp = np.empty_like(x), np.empty_like(x)
    kernels.apply("tanh", x, tanh)
    kernels.apply("exp", np.minimum(x, 0), exp)
    assert np.array_equal(tanh, np.tanh(x), equal_nan=True)
    assert np.array_equal(np.signbit(tanh[2:]), np.signbit(x[2:]))
    assert np.isnan(exp[:2]).all()
    assert exp[2] == exp[3] == 1
    assert exp[6] == 0
    root = np.empty(16, dtype=dtype)
    kernels.apply("root", np.zeros(16, dtype=dtype), root)
    assert not root.any()
