"""The clouds of Marbut et al. (2023), and what their `isotropy_measures_100dim.csv` says of them, to four digits.

The numbers come out equal only if numpy's legacy generator, seeded with 11, is asked for the same things in the same
order as in their `latent_space_models.py` (github.com/amarbut/isotropy).
"""

from __future__ import annotations

import numpy as np

SEED, DIMENSIONS, ROWS_PER_DIMENSION = 11, 100, 250

PUBLISHED = {  # eigenvalue early enrichment, Vasicek ratio MSE
    "sphere": (0.0353, 0.0009),
    "shell": (0.0361, 0.0010),
    "nested shell": (0.0422, 0.0014),
    "cone": (0.0458, 0.0097),
    "clusters": (0.5394, 0.2624),
    "uneven clusters": (0.5397, 0.2574),
    "shifted clusters": (0.6746, 0.2386),
}


def cloud(name):
    """Rows (25,000, 100) of one of the seven clouds."""
    random = np.random.RandomState(SEED)
    return CLOUDS[name](random, DIMENSIONS, ROWS_PER_DIMENSION * DIMENSIONS)


def directions(random, n, d):
    normal = random.normal(size=(n, d))
    return normal / np.linalg.norm(normal, axis=1, keepdims=True)


def radii(random, n, d, largest=1.0):
    """Of points uniform in a ball of radius 1; of another largest radius, as they drew them."""
    return random.uniform(0, largest, size=n)[:, None] ** (1 / d)


def sphere(random, d, n):
    return radii(random, n, d) * directions(random, n, d)


def shell(random, d, n):
    return directions(random, n, d)


def nested_shell(random, d, n):
    return np.repeat([0.5, 1.0], n // 2)[:, None] * directions(random, n, d)


def cone(random, d, n):
    height = radii(random, n, d)
    across = radii(random, n, d - 1, largest=height[:, 0] * np.tan(1 / np.sqrt(d)))
    return np.concatenate([height, across * directions(random, n, d - 1)], axis=1)


def clusters(random, d, n, uneven=False, shifted=False):
    """For each dimension two clusters, at a random place and at the opposite one."""
    places = random.uniform(-1, 1, size=(d, d))
    pairs = []
    for place in places:
        first, second = place, -place
        if shifted:
            first = first + random.uniform(-1, 0, size=d)
            second = second + random.uniform(0, 1, size=d)
        n_first = random.choice(n // d) if uneven else n // d // 2
        pairs.append(random.normal(first, min(1 / d, 0.2), size=(n_first, d)))
        pairs.append(random.normal(second, min(1 / d, 0.2), size=(n // d - n_first, d)))
    return np.concatenate(pairs)


CLOUDS = {
    "sphere": sphere,
    "shell": shell,
    "nested shell": nested_shell,
    "cone": cone,
    "clusters": clusters,
    "uneven clusters": lambda random, d, n: clusters(random, d, n, uneven=True),
    "shifted clusters": lambda random, d, n: clusters(random, d, n, shifted=True),
}
