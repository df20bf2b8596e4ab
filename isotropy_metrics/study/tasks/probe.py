"""Probe: a classifier on frozen embeddings, which shows what can be read off them."""

from __future__ import annotations

from typing import Any

import numpy as np

PROBES = ("logistic", "mlp")
MOST_ITERATIONS = {"logistic": 5000, "mlp": 1000}


def check_probe(name: str) -> None:
    """Raises ValueError if there is no such probe."""
    if name not in PROBES:
        raise ValueError(f"there is no probe {name!r}; there are: {', '.join(PROBES)}")


def probe_predictions(
    name: str, fitting_features: np.ndarray, fitting_labels: np.ndarray, features: np.ndarray, seed: int = 0
) -> np.ndarray:
    """The classes that a probe, fitted on some items, predicts for others.

    Features are standardised on the fitting items. Where these have one class only, it is predicted.

    Args:
        name: "logistic", regression with an L2 penalty, C = 1, by L-BFGS; or "mlp", 100 hidden units, ReLU, Adam.
        fitting_features, fitting_labels: (n_fitting, n_features) and (n_fitting,).
        features: (n_items, n_features).
        seed: of the weights and batches of the MLP.
    """
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if len(np.unique(fitting_labels)) == 1:
        return np.repeat(fitting_labels[:1], len(features))
    classifier = make_pipeline(StandardScaler(), _classifier(name, seed))
    return classifier.fit(fitting_features, fitting_labels).predict(features)


def describe_probe(name: str) -> str:
    """For the protocol."""
    kind = {"logistic": "logistic regression (L2, C = 1, L-BFGS)", "mlp": "MLP (100 hidden units, ReLU, Adam)"}
    return f"{kind[name]} on standardised features of the frozen embeddings"


def _classifier(name: str, seed: int) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neural_network import MLPClassifier

    if name == "logistic":
        return LogisticRegression(max_iter=MOST_ITERATIONS[name])
    return MLPClassifier(max_iter=MOST_ITERATIONS[name], random_state=seed)
