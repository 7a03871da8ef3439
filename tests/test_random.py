"""Random numbers equal those of a second implementation of Philox4x64-10, and fixed words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charloom.cell_table import CELL_NAMES
from charloom.config import Config
from charloom.model import initial_parameters
from charloom.model.parameters import parameter_shapes
from charloom.random import (
    PURPOSES,
    dropout_mask,
    dropout_threshold,
    normals,
    uniforms,
    words,
)

MASK = 2**64 - 1
MULTIPLIERS = 0xD2E7470EE14C6C93, 0xCA5A826395121157
WEYL = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B


def philox4x64_10(counter, key):
    """Return four words for a counter of four words and a key of two (Salmon, Moraes, Dror and Shaw 2011)."""
    c, k = list(counter), list(key)
    for _ in range(10):
        low = [m * word & MASK for m, word in zip(MULTIPLIERS, (c[0], c[2]), strict=True)]
        high = [m * word >> 64 for m, word in zip(MULTIPLIERS, (c[0], c[2]), strict=True)]
        c = [high[1] ^ c[1] ^ k[0], low[1], high[0] ^ c[3] ^ k[1], low[0]]
        k = [(word + weyl) & MASK for word, weyl in zip(k, WEYL, strict=True)]
    return c


def word(unit, seed, purpose, update=0, layer=0, stream=0, time=0):
    """Return one word as docs/spec/mathematics.md numbers them: the block of units 0…3 has the counter 1."""
    counter = (unit // 4 + 1, time, layer << 32 | stream, update)
    return philox4x64_10(counter, (seed, PURPOSES[purpose]))[unit % 4]


def test_the_oracle_returns_the_published_words():
    """The expected words are those that the authors of Philox publish."""
    assert philox4x64_10([0] * 4, [0] * 2) == [
        0x16554D9ECA36314C, 0xDB20FE9D672D0FDC, 0xD7E772CEE186176B, 0x7E68B68AEC7BA23B,
    ]  # fmt: skip
    assert philox4x64_10([MASK] * 4, [MASK] * 2) == [
        0x87B092C3013FE90B, 0x438C3C67BE8D0224, 0x9CC7D7C69CD777B6, 0xA09CAEBF594F0BA0,
    ]  # fmt: skip


GOLDEN_INIT = [
    "0xd037f8c3f9a1d176",
    "0xc057419b4c210765",
    "0xabf13115117b0065",
    "0x7bae035dea6ea5c0",
    "0xb487ac82e7ddd46f",
]
GOLDEN_SAMPLE = ["0x7cfb1c00e915d123", "0xa1741fd8c3596bab"]


def test_random_words_are_the_same_in_every_release():
    assert [hex(w) for w in words(0, "init", 5).tolist()] == GOLDEN_INIT
    assert [hex(w) for w in words(2**64 - 1, "sample", 2, update=7, time=3).tolist()] == (
        GOLDEN_SAMPLE
    )


@given(
    seed=st.integers(0, MASK),
    purpose=st.sampled_from(sorted(PURPOSES)),
    first=st.integers(0, 2**40),
    update=st.integers(0, 2**40),
    layer=st.integers(0, 40),
    stream=st.integers(0, 2**31),
    time=st.integers(0, 2**40),
)
def test_random_words_depend_only_on_seed_purpose_and_position(seed, purpose, first, **what):
    found = words(seed, purpose, 6, first=first, **what).tolist()
    assert found == [word(first + n, seed, purpose, **what) for n in range(6)]


@given(first=st.integers(0, 50), count=st.integers(0, 30))
def test_numbers_do_not_depend_on_how_they_are_fetched(first, count):
    whole = uniforms(3, "training_sample", 80, update=9)
    part = uniforms(3, "training_sample", count, first=first, update=9)
    assert part.tolist() == whole[first : first + count].tolist()


def test_uniforms_are_the_upper_53_bits():
    raw = words(1, "gradcheck", 9)
    assert uniforms(1, "gradcheck", 9).tolist() == [int(w) // 2**11 / 2**53 for w in raw]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"purpose": "sample"},
        {"update": 1},
        {"layer": 1},
        {"stream": 1},
        {"time": 1},
        {"first": 4},
    ],
    ids=str,
)
def test_every_coordinate_changes_the_numbers(change):
    here = {"seed": 0, "purpose": "init", "count": 4}
    assert not set(words(**here).tolist()) & set(words(**here | change).tolist())


def test_purposes_have_numbers_of_their_own():
    assert len(set(PURPOSES.values())) == len(PURPOSES)


def test_uniforms_and_normals_have_their_moments():
    u, z = uniforms(5, "init", 100_000), normals(5, "init", 100_000)
    assert 0 <= u.min() < u.max() < 1
    assert u.mean() == pytest.approx(0.5, abs=0.004)
    assert u.var() == pytest.approx(1 / 12, abs=0.002)
    assert z.mean() == pytest.approx(0, abs=0.013)
    assert z.var() == pytest.approx(1, abs=0.02)
    assert (z**3).mean() == pytest.approx(0, abs=0.04)
    assert (z**4).mean() == pytest.approx(3, abs=0.1)
    assert np.mean(np.abs(z) < 1) == pytest.approx(0.6827, abs=0.006)


def test_normals_do_not_depend_on_how_many_are_drawn():
    assert normals(2, "init", 50).tolist() == normals(2, "init", 80)[:50].tolist()


def test_normals_refuse_the_number_of_a_unit():
    with pytest.raises(TypeError, match="takes no argument 'first'"):
        normals(1, "init", 3, first=1)


def test_initial_weights_are_normal_and_biases_zero():
    parameters = initial_parameters(Config(dtype="float64", sigma=0.02), 80)
    for name, count in (("layers.0.U", 8_000), ("layers.0.W", 10_000), ("V", 8_000)):
        values = parameters[name].ravel() / 0.02
        assert values.size == count
        assert abs(values.mean()) < 4 / count**0.5
        assert values.var() == pytest.approx(1, abs=6 * (2 / count) ** 0.5)
    assert not parameters["layers.0.b"].any()
    assert not parameters["c"].any()
    assert not set(parameters["layers.0.U"].ravel()) & set(parameters["V"].ravel())


def test_initial_weights_are_the_same_numbers_in_both_types():
    double = initial_parameters(Config(dtype="float64"), 9)
    single = initial_parameters(Config(dtype="float32"), 9)
    for name, values in double.items():
        assert single[name].tobytes() == values.astype(np.float32).tobytes()


def test_a_weight_does_not_depend_on_the_size_of_other_parameters():
    few = initial_parameters(Config(hidden_size=8, dtype="float64"), 5)
    many = initial_parameters(Config(hidden_size=8, dtype="float64"), 6)
    assert few["layers.0.W"].tobytes() == many["layers.0.W"].tobytes()
    assert few["V"].tobytes() == many["V"][:5].tobytes()


GOLDEN_MASK = "1011110010011111"  # of update 3, layer 1, stream 2, time 4 at seed 5, p = 0.25


def test_dropout_masks_are_the_same_in_every_release():
    mask = dropout_mask(5, 3, 1, 2, 4, 16, 0.25)
    assert "".join("1" if kept else "0" for kept in mask) == GOLDEN_MASK
    assert set(mask.tolist()) == {0.0, 1 / 0.75}


@given(
    seed=st.integers(0, MASK),
    update=st.integers(0, 2**40),
    layer=st.integers(0, 40),
    stream=st.integers(0, 2**31),
    time=st.integers(0, 2**31),
    units=st.integers(1, 40),
    dropout=st.floats(0.0, 0.999),
)
def test_four_units_of_a_mask_share_a_word_the_first_in_its_lowest_bits(
    seed, update, layer, stream, time, units, dropout
):
    mask = dropout_mask(seed, update, layer, stream, time, units, dropout)
    threshold = round(dropout * 65536)
    for unit in range(units):
        whole = word(unit // 4, seed, "dropout", update, layer, stream, time)
        dropped = (whole >> 16 * (unit % 4)) % 65536 < threshold
        assert mask[unit] == (0.0 if dropped else 65536 / (65536 - threshold))


def test_a_mask_keeps_the_mean_and_drops_its_share():
    masks = np.concatenate([dropout_mask(0, u, 0, 0, 0, 1000, 0.3) for u in range(100)])
    assert np.mean(masks == 0) == pytest.approx(0.3, abs=0.007)
    assert masks.mean() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(("dropout", "threshold"), [(0.0, 0), (0.5, 32768), (1 - 1e-9, 65535)])
def test_the_threshold_never_drops_all_values(dropout, threshold):
    assert dropout_threshold(dropout) == threshold
    assert np.isfinite(dropout_mask(0, 1, 0, 0, 0, 999, dropout)).all()


@pytest.mark.parametrize("cell", CELL_NAMES)
@pytest.mark.parametrize("init", ["normal", "uniform", "orthogonal", "course"])
def test_every_init_gives_each_parameter_its_spread(cell, init):
    H, K = 64, 70
    config = Config(cell=cell, layers=2, hidden_size=H, init=init, sigma=0.05, dtype="float64")
    parameters = initial_parameters(config, K)
    assert {n: p.shape for n, p in parameters.items()} == parameter_shapes(config, K)
    for name, p in parameters.items():
        kind, inputs = name[-1], p.shape[-1]
        own = p.ravel()
        if cell == "lstm" and kind == "b":
            assert (p[H : 2 * H] == 1).all()
            own = np.delete(p, np.s_[H : 2 * H])
        if init == "uniform" or (init == "orthogonal" and kind in "UV"):
            assert 0.9 / H**0.5 < np.abs(own).max() <= 1 / H**0.5
            spread = 1 / (3 * H) ** 0.5
        elif kind in "bcd":
            spread = 0.0
        elif init == "orthogonal":
            for block in p.reshape(-1, H, H):
                np.testing.assert_allclose(block @ block.T, np.eye(H), atol=1e-12)
            spread = 1 / H**0.5
        elif init == "course":
            spread = (1 / H if kind == "V" else 1 / (2 * inputs)) ** 0.5
        else:
            spread = 0.05
        assert own.std() == pytest.approx(spread, rel=6 / (2 * own.size) ** 0.5), name


def test_no_two_parameters_share_their_first_values():
    parameters = initial_parameters(Config(cell="gru", layers=3, hidden_size=8), 8)
    matrices = [p for p in parameters.values() if p.ndim == 2]
    firsts = [float(matrix.flat[0]) for matrix in matrices]
    assert len(set(firsts)) == len(matrices)


def test_the_forget_bias_is_a_setting():
    config = Config(cell="lstm", hidden_size=3, forget_bias=-2.5)
    assert initial_parameters(config, 5)["layers.0.b"].tolist() == [0] * 3 + [-2.5] * 3 + [0] * 6
