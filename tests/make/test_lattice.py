"""Functions of several depths on a lattice: exact at nodes, independent of company, as good as theory says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpz.errors import InputError
from vmpz.make.lattice import Lattice

positions = st.lists(st.tuples(*[st.floats(20.0, 28.0) for _ in range(3)]), min_size=1, max_size=20)


def lattice() -> Lattice:
    return Lattice((24.5, 24.0, 23.7), (0.05, 0.1, 0.25))


@given(positions)
def test_weights_are_barycentric(where: list[tuple[float, ...]]) -> None:
    one = lattice()
    corners = one.corners(where)
    assert np.allclose(corners.weight.sum(axis=1), 1.0, rtol=0, atol=1e-12)
    assert (corners.weight >= 0).all()
    nodes = np.array([one.position(node) for node in corners.nodes])
    back = np.einsum("nc,ncd->nd", corners.weight, nodes[corners.place])
    assert np.allclose(back, where, rtol=0, atol=1e-9)  # so every linear function comes out exactly


@given(positions)
def test_values_do_not_depend_on_company(where: list[tuple[float, ...]]) -> None:
    one = lattice()

    def value(position: np.ndarray) -> float:
        return float(np.exp(position[0] - 24.0) + position[1] * position[2])

    together = one.corners(where)
    all_values = together.logarithmic(one.tabulated(value, together))
    for number, single in enumerate(where):
        alone = one.corners([single])
        assert alone.logarithmic(one.tabulated(value, alone))[0] == all_values[number]


@given(st.lists(st.tuples(*[st.integers(-40, 40)] * 3), min_size=1, max_size=10))
def test_nodes_are_exact(numbers: list[tuple[int, ...]]) -> None:
    one = Lattice((24.5, 24.0, 23.5), (0.0625, 0.125, 0.25))  # steps that binary fractions hold
    where = np.array([one.position(np.array(number)) for number in numbers])
    corners = one.corners(where)
    assert len(corners.nodes) == len(set(numbers))  # no node that has no weight
    values = one.tabulated(lambda at: float(np.sin(at).sum()), corners)
    assert np.array_equal(corners.linear(values), [np.sin(at).sum() for at in where])
    assert np.array_equal(corners.logarithmic(values), corners.linear(values))


def test_exponentials_are_exact_in_the_logarithm() -> None:
    rng = np.random.default_rng(5)
    where = rng.uniform(22, 27, (500, 3))
    one = lattice()
    corners = one.corners(where)

    def value(at: np.ndarray) -> float:
        return float(10 ** (0.4 * at[0] + 0.2 * at[1] - 0.1 * at[2] - 12))

    made = corners.logarithmic(one.tabulated(value, corners))
    assert np.allclose(made, [value(at) for at in where], rtol=1e-12)


def test_where_a_corner_is_zero_it_is_linear_and_continuous() -> None:
    one = Lattice((0.0,), (1.0,))
    corners = one.corners([[0.25], [1.0 - 1e-12], [1.0], [1.5]])
    values = one.tabulated(lambda at: 0.0 if at[0] < 1 else 4.0 * at[0], corners)
    assert np.allclose(corners.logarithmic(values), [1.0, 4.0, 4.0, 32.0**0.5], rtol=1e-10)


def test_the_error_falls_with_the_square_of_the_step() -> None:
    where = np.random.default_rng(1).uniform(-1, 1, (2000, 2))

    def worst(step: float) -> float:
        one = Lattice((0.0, 0.0), (step, step))
        corners = one.corners(where)
        values = one.tabulated(lambda at: float(np.exp(-(at**2).sum())), corners)
        return float(np.abs(corners.linear(values) - np.exp(-(where**2).sum(axis=1))).max())

    assert 3.0 < worst(0.2) / worst(0.1) < 5.0


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e30])
def test_positions_outside_are_refused(bad: float) -> None:
    with pytest.raises(InputError, match="finite numbers near its origin"):
        lattice().corners([[24.0, bad, 23.0]])


def test_nothing_is_nothing() -> None:
    corners = lattice().corners(np.empty((0, 3)))
    assert corners.linear(np.empty(0)).size == corners.logarithmic(np.empty(0)).size == 0
