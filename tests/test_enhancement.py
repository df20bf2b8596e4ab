"""Zero-mean and all-but-the-top against the formulae, on rows they were and were not fitted on."""

import numpy as np
import pytest

from isotropy_metrics import Moments, isoscore
from isotropy_metrics.enhancement import AllButTheTop, Centering

RNG = np.random.default_rng(0)
FIT = RNG.normal(size=(400, 6)) * [9, 4, 1, 1, 1, 1] + 3
NEW = RNG.normal(size=(50, 6)) * [9, 4, 1, 1, 1, 1] + 3


def test_centering_subtracts_the_mean_of_the_fitting_rows():
    np.testing.assert_allclose(Centering().fit(FIT).transform(NEW), NEW - FIT.mean(axis=0), rtol=1e-12)


def test_all_but_the_top_removes_the_first_right_singular_vectors_of_the_fitting_rows():
    top = np.linalg.svd(FIT - FIT.mean(axis=0), full_matrices=False)[2][:2]
    centered = NEW - FIT.mean(axis=0)
    expected = centered - centered @ top.T @ top
    enhancement = AllButTheTop(n_directions=2).fit(FIT)
    np.testing.assert_allclose(enhancement.transform(NEW), expected, atol=1e-12)
    assert isoscore(enhancement.transform(FIT))["isoscore"] > isoscore(FIT)["isoscore"]


def test_fitting_on_moments_is_fitting_on_their_rows():
    moments = Moments()
    for part in np.array_split(FIT, 7):
        moments.update(part)
    expected = AllButTheTop(n_directions=1).fit(FIT).transform(NEW)
    np.testing.assert_allclose(AllButTheTop(n_directions=1).fit(moments).transform(NEW), expected, atol=1e-12)


def test_no_direction_is_zero_mean_and_every_direction_leaves_nothing():
    np.testing.assert_allclose(AllButTheTop(0).fit(FIT).transform(NEW), Centering().fit(FIT).transform(NEW))
    assert np.abs(AllButTheTop(6).fit(FIT).transform(NEW)).max() < 1e-12


def test_default_number_of_directions_is_a_hundredth_of_the_features():
    assert len(AllButTheTop().fit(RNG.normal(size=(1000, 384))).directions_) == 4


def test_the_dtype_of_the_rows_is_kept():
    assert AllButTheTop(1).fit(FIT).transform(NEW.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Centering().transform(NEW), "not fitted"),
        (lambda: Centering().fit(FIT).transform(NEW[:, :4]), "X has 4 features, but Centering is expecting 6"),
        (lambda: AllButTheTop(7).fit(FIT), "at most 6"),
        (lambda: AllButTheTop(5).fit(FIT[:4]), "at most 3"),
        (lambda: Centering().fit(FIT).transform([[np.nan] * 6]), "row 0"),
        (lambda: Centering().fit(Moments()), "no row"),
    ],
)
def test_wrong_use_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
