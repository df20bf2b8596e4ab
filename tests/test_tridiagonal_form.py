"""The tridiagonal form: both spectra are those of two decompositions."""

from __future__ import annotations

import numpy as np
import pytest

from isotropy_metrics.statistics import Moments, moments
from isotropy_metrics.statistics.tridiagonal_form import TridiagonalForm

RNG = np.random.default_rng(0)
CLOUD = RNG.normal(size=(700, 300)) * np.arange(1, 301)


def assert_spectra(matrix, vector):
    form = TridiagonalForm(matrix, vector)
    for plus_vector, whole in ((False, matrix), (True, matrix + np.outer(vector, vector))):
        expected = np.linalg.eigvalsh(whole)[::-1]
        assert np.abs(form.eigenvalues(plus_vector) - expected).max() <= 1e-13 * max(np.abs(expected).max(), 1e-300)


@pytest.mark.parametrize("n", [1, 2, 3, 60, 300])
@pytest.mark.parametrize("length", [0.0, 1e-9, 1.0, 1e9])
def test_spectra_are_those_of_two_decompositions(n, length):
    assert_spectra(CLOUD[:, :n].T @ CLOUD[:, :n], RNG.normal(size=n) * length)


@pytest.mark.parametrize("scale", [1e-290, 1e290])
def test_extreme_matrices(scale):
    assert_spectra(CLOUD[:, :5].T @ CLOUD[:, :5] * scale / 1e10, np.full(5, np.sqrt(scale)))


def test_matrices_whose_eigenvalues_coincide_or_vanish():
    assert_spectra(np.eye(40), np.ones(40))
    assert_spectra(np.eye(40), -np.eye(40)[0])
    assert (TridiagonalForm(np.zeros((4, 4)), np.ones(4)).eigenvalues() == 0).all()
    few = CLOUD[:5, :40]
    assert_spectra(few.T @ few, few[0])


def test_what_was_given_stays_as_it_was():
    matrix, vector = CLOUD[:, :9].T @ CLOUD[:, :9], np.ones(9)
    before = matrix.copy()
    TridiagonalForm(matrix, vector).eigenvalues(plus_vector=True)
    assert (matrix == before).all() and (vector == 1).all()


def test_moments_of_wide_rows_take_it(monkeypatch):
    narrow, wide = Moments(), Moments()
    for each in (narrow, wide):
        each.update(CLOUD[:, :60] + 1000)
    expected = narrow.eigenvalues, narrow.raw_eigenvalues
    monkeypatch.setattr(moments, "WIDE", 60)
    monkeypatch.setattr(np.linalg, "eigvalsh", lambda _: pytest.fail("it decomposes"))
    for found, of_narrow in zip((wide.eigenvalues, wide.raw_eigenvalues), expected, strict=True):
        assert np.abs(found - of_narrow).max() <= 1e-13 * of_narrow.max()
    wide.update(CLOUD[:10, :60])
    assert not np.allclose(wide.eigenvalues, expected[0], rtol=1e-9)
