"""Adjusted p-values against statsmodels."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from feed.experiments.statistics.multiplicity import (
    adjust_benjamini_hochberg,
    adjust_holm,
    adjust_holm_of_all,
)

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)


@settings(max_examples=20)  # statsmodels takes 60 ms for each
@given(P_VALUES)
def test_holm_is_that_of_statsmodels(p_values: list[float]) -> None:
    expected = multipletests(p_values, method="holm")[1]
    assert adjust_holm(p_values) == pytest.approx(expected.tolist(), abs=1e-12)


@given(P_VALUES)
def test_benjamini_hochberg_is_that_of_statsmodels(p_values: list[float]) -> None:
    expected = multipletests(p_values, method="fdr_bh")[1]
    assert adjust_benjamini_hochberg(p_values) == pytest.approx(expected.tolist(), abs=1e-12)


@pytest.mark.parametrize("adjust", [adjust_holm, adjust_benjamini_hochberg])
def test_a_test_without_result_neither_counts_nor_is_adjusted(adjust) -> None:
    assert adjust([None, 0.03, None]) == [None, pytest.approx(0.03), None]
    assert adjust([None]) == [None]
    assert adjust([]) == []


def test_a_test_without_result_yet_makes_it_no_easier_for_the_others() -> None:
    assert adjust_holm_of_all([None, 0.03, 0.5]) == [None, pytest.approx(0.09), 1.0]
    assert adjust_holm_of_all([0.03, 0.5]) == adjust_holm([0.03, 0.5])
