"""scikit-learn's own checks of transformers, over every enhancement."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from isotropy_metrics.enhancement import (
    AllButTheTop,
    Centering,
    ClusterBased,
    ClusterCentering,
    OutlierDimensionRemoval,
    PerGroup,
    QuantileNormalization,
    Standardization,
    Whitening,
)
from isotropy_metrics.enhancement.whitening import METHODS, TRUNCATING

ENHANCEMENTS = [
    Centering(),
    Standardization(),
    AllButTheTop(),
    *(Whitening(method) for method in METHODS),
    Whitening(n_components=2, shrinkage=0.1, eps=0.1),
    ClusterCentering(),
    ClusterCentering(n_clusters=3),
    ClusterBased(),
    ClusterBased(n_clusters=3, n_directions=1, min_cluster_size=1),  # which counts rows, whatever their weight
    QuantileNormalization(),
    QuantileNormalization("normal"),
    OutlierDimensionRemoval(),
    PerGroup(Centering()),
    PerGroup(Whitening(), unseen="all"),
]

CHECKS_THAT_SET_N_COMPONENTS = (
    "check_dont_overwrite_parameters",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_fit2d_1feature",
    "check_fit2d_predict1d",
    "check_fit2d_1sample",
)


WEIGHTS = "check_sample_weight_equivalence_on_dense_data"


def expected_to_fail(enhancement) -> dict[str, str]:
    if isinstance(enhancement, PerGroup):
        return expected_to_fail(enhancement.enhancement)
    if isinstance(enhancement, QuantileNormalization):
        return {WEIGHTS: "weights are importances, not counts: a row of weight 2 is one value, with one quantile"}
    if not isinstance(enhancement, Whitening):
        return {}
    reasons = {
        WEIGHTS: "weights are importances, not counts: the divisor n - 1 and "
        "the shrinkage follow the effective number of rows, which a scale of the weights does not change"
    }
    if enhancement.method not in TRUNCATING:
        reasons |= dict.fromkeys(
            CHECKS_THAT_SET_N_COMPONENTS, f"n_components is not for method={enhancement.method!r}"
        )
    return reasons


@pytest.mark.filterwarnings("ignore::isotropy_metrics.enhancement.EnhancementWarning")
@parametrize_with_checks(ENHANCEMENTS, expected_failed_checks=expected_to_fail)
def test_scikit_learn_checks(estimator, check):
    check(estimator)
