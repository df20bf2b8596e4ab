"""What the clusters of the tokens consist of, how many there are, and how isotropic the space is within them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np

from isotropy_metrics.measures import measure
from isotropy_metrics.study.case import StudyCase
from isotropy_metrics.study.experiments._experiment import Experiment, Outcome
from isotropy_metrics.study.report.figures import COLORS, LABELS, LINE_COLORS, line_per_checkpoint, panel
from isotropy_metrics.study.report.tables import format_interval, format_number, number_or_nan
from isotropy_metrics.study.spaces.checkpoint import AFTER, BEFORE
from isotropy_metrics.study.spaces.token_space import TokenSpace
from isotropy_metrics.study.spaces.word_tokens import has_letters, is_continuation, plain_word

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NUMBERS = (1, 2, 3, 4, 6, 9, 12, 16, 20)
"""Of clusters; 1, 3, 6, 9 and 20 are those of Rajaee & Pilehvar (ACL 2021, Table 1)."""

MOST_SEEDS = 3
"""Of k-means, whose partitions differ; the values are means over them."""

DRAWN = {
    "silhouette": "silhouette",
    "partition_isotropy_log10": "log10 I(W) within clusters",
    "intra_cluster_cosine": "cosine within a cluster",
    "inter_cluster_cosine": "cosine between clusters",
}
"""What is drawn against the number of clusters, and its title."""

COMPOSITION = 9
"""Clusters whose contents are listed, unless a number is asked for."""

N_CLUSTERED, N_SILHOUETTE = 5_000, 2_000
"""Most tokens that are clustered, and that the silhouette is computed of."""

N_TOP = 6
"""Tokens named for each cluster."""

ROWS_PER_CLUSTER = 5
"""Fewer rows than this for each cluster are not clustered."""


def run(case: StudyCase) -> Outcome:
    """By checkpoint: silhouette, cosines and log10 I(W) for each number of clusters, and the contents of clusters."""
    numbers, contents = [], []
    first = case.settings.seed
    seeds = range(first, first + min(case.settings.n_seeds, MOST_SEEDS))
    for checkpoint, space in case.spaces.items():
        chosen = _drawn(len(space.rows), N_CLUSTERED, first)
        rows = space.rows[chosen]
        most = max(1, len(rows) // ROWS_PER_CLUSTER)
        wanted = min(case.settings.n_clusters or COMPOSITION, most)
        for k in sorted({*NUMBERS, wanted}):
            if k <= most:
                partitions = [_clustered(rows, k, seed) for seed in (seeds if k > 1 else seeds[:1])]
                of_seeds = [_of_partition(rows, centered, labels, first) for centered, labels in partitions]
                numbers.append({"checkpoint": checkpoint, "n_clusters": k} | _over_seeds(of_seeds))
            if k == wanted:
                contents += [{"checkpoint": checkpoint} | row for row in _contents(space, chosen, partitions[0][1])]
    protocol = {
        "rows": f"{len(chosen)} held-out tokens drawn uniformly",
        "n_samples": len(chosen),
        "clusters": "k-means, the best of four starts, on the very rows that are described",
        "values": f"means over {len(seeds)} seeds of k-means, with the smallest and the largest of them as limits",
        "silhouette": f"Euclidean, of {min(len(chosen), N_SILHOUETTE)} of them",
        "n_clusters_listed": wanted,
        "clusters_listed": "those of the first seed",
        "stop_words": "ENGLISH_STOP_WORDS of scikit-learn",
        "layer": space.layer,
        "seed": first,
    }
    return Outcome({"numbers": numbers, "contents": contents}, protocol)


def _drawn(n: int, most: int, seed: int) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).permutation(n)[:most])


def _clustered(rows: np.ndarray, k: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows less the mean of their cluster, and which cluster each is in."""
    from isotropy_metrics.enhancement import ClusterCentering
    from isotropy_metrics.enhancement._cluster_enhancement import nearest_center

    enhancement = ClusterCentering(k, random_state=seed).fit(rows)
    return enhancement.transform(rows), nearest_center(rows, enhancement.cluster_centers_, enhancement.mean_)


def _of_partition(rows: np.ndarray, centered: np.ndarray, labels: np.ndarray, seed: int) -> dict[str, float]:
    few = _drawn(len(rows), N_SILHOUETTE, seed)
    tells = len(np.unique(labels[few])) > 1
    silhouette = measure(rows[few], ["silhouette"], references=labels[few])["silhouette"] if tells else np.nan
    spread = rows - rows.mean(axis=0, dtype=np.float64)
    within = float(np.square(centered, dtype=np.float64).sum() / np.square(spread).sum())
    intra, inter = _cosines(rows, labels)
    return {
        "silhouette": silhouette,
        "partition_isotropy_log10": measure(centered, ["partition_isotropy"])["partition_isotropy_log10"],
        "intra_cluster_cosine": intra,
        "inter_cluster_cosine": inter,
        "variance_within": within,
        "smallest_cluster": float(np.bincount(labels).min()),
    }


def _over_seeds(of_seeds: list[dict[str, float]]) -> dict[str, float | None]:
    """Means over partitions; of those that are drawn also the smallest and the largest value."""
    row: dict[str, float | None] = {}
    for key in of_seeds[0]:
        values = np.array([each[key] for each in of_seeds])
        known = bool(np.isfinite(values).all())
        row[key] = float(values.mean()) if known else None
        if key in DRAWN:
            row[f"{key}_low"], row[f"{key}_high"] = (
                (float(values.min()), float(values.max())) if known else (None, None)
            )
    return row


def _cosines(rows: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Mean cosine of two tokens of the same cluster, and of two of different clusters, exact over all pairs."""
    units = rows.astype(np.float64)
    lengths = np.linalg.norm(units, axis=1, keepdims=True)
    units = np.divide(units, lengths, out=np.zeros_like(units), where=lengths > 0)
    sums, n = np.stack([units[labels == cluster].sum(axis=0) for cluster in np.unique(labels)]), len(rows)
    sizes = np.unique(labels, return_counts=True)[1]
    n_same, n_all = float((sizes * (sizes - 1)).sum()), float(n * (n - 1))
    own = float(np.square(units).sum())
    same, total = float(np.square(sums).sum()) - own, float(np.square(sums.sum(axis=0)).sum()) - own
    inter = (total - same) / (n_all - n_same) if n_all > n_same else np.nan
    return same / n_same if n_same else np.nan, inter


def _contents(space: TokenSpace, chosen: np.ndarray, labels: np.ndarray) -> list[dict[str, Any]]:
    """What each cluster holds, the largest first."""
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    tokens, words = space.tokens[chosen], space.words[chosen]
    punctuation = np.array([not has_letters(word) for word in words])
    stop_words = np.array([plain_word(word) in ENGLISH_STOP_WORDS for word in words])
    inside = is_continuation(space)
    rows = []
    sizes = Counter(labels.tolist())
    for place, (cluster, size) in enumerate(sizes.most_common(), 1):
        members = labels == cluster
        top = Counter(tokens[members].tolist()).most_common(N_TOP)
        rows.append(
            {
                "cluster": place,
                "n_tokens": size,
                "share": size / len(labels),
                "punctuation": float(punctuation[members].mean()),
                "stop_words": float(stop_words[members].mean()),
                "pieces_inside_words": None if inside is None else float(inside[chosen][members].mean()),
                "dominant_token": top[0][0],
                "dominant_token_share": top[0][1] / size,
                "top_tokens": ", ".join(f"{token} ({count})" for token, count in top),
            }
        )
    return rows


def draw(outcome: Outcome) -> dict[str, Figure]:
    """Curves against the number of clusters, and what the clusters hold."""
    figures = {}
    numbers = outcome.tables["numbers"]
    for key, title in DRAWN.items():
        figure, axis = panel(title, "number of clusters")
        rows = [row for row in numbers if row[key] is not None]
        line_per_checkpoint(axis, rows, "n_clusters", key)
        for checkpoint, color in COLORS.items():
            own = [row for row in rows if row["checkpoint"] == checkpoint]
            k, low, high = (
                [number_or_nan(row[each]) for row in own] for each in ("n_clusters", f"{key}_low", f"{key}_high")
            )
            axis.fill_between(k, low, high, color=color, alpha=0.2, lw=0)
        figures[key] = figure
    for checkpoint in COLORS:
        figures[f"contents_{checkpoint}"] = _draw_contents(outcome, checkpoint)
    return figures


def _draw_contents(outcome: Outcome, checkpoint: str) -> Figure:
    """Of each cluster the shares of punctuation, stop words, and all else."""
    rows = [row for row in outcome.tables["contents"] if row["checkpoint"] == checkpoint]
    figure, axis = panel(f"clusters, {LABELS[checkpoint]}", "% of all tokens", "largest cluster first")
    place, size = np.arange(len(rows)), 100 * np.array([row["share"] for row in rows])
    marks, stop = (np.array([row[name] for row in rows]) for name in ("punctuation", "stop_words"))
    left = np.zeros(len(rows))
    shares = {"punctuation": marks, "stop words": stop, "other": 1 - marks - stop}
    for color, (name, share) in zip(LINE_COLORS[2:5], shares.items(), strict=True):
        axis.barh(place, size * share, 0.75, left=left, color=color, label=name)
        left += size * share
    for y, row in zip(place, rows, strict=True):
        name = f"{row['dominant_token']} {100 * row['dominant_token_share']:.0f} %"
        axis.annotate(name, (left[y], y), (4, 0), textcoords="offset points", va="center")
    axis.set_yticks(place, [str(row["cluster"]) for row in rows])
    axis.invert_yaxis()
    axis.set_xlim(0, 1.4 * size.max())
    axis.legend()
    return figure


def tell(outcome: Outcome) -> list[str]:
    """How strongly the space falls into clusters, and what one mean for each does to isotropy."""
    sentences = []
    best = {}
    for checkpoint in (BEFORE, AFTER):
        rows = [row for row in outcome.tables["numbers"] if row["checkpoint"] == checkpoint]
        scored = [row for row in rows if row["silhouette"] is not None]
        best[checkpoint] = max(scored, key=lambda row: row["silhouette"]) if scored else None
        one, most = rows[0], rows[-1]
        isotropy = format_interval(most, "partition_isotropy_log10", "{:.2f} [{:.2f} to {:.2f} over seeds]")
        sentences.append(
            f"{LABELS[checkpoint].capitalize()}, one mean for each of {most['n_clusters']} clusters brings log10 I(W) "
            f"to {isotropy}, one mean for all to {format_number(one['partition_isotropy_log10'], 3)}."
        )
    if None not in best.values():
        told = [f"{format_number(row['silhouette'], 3)} with {row['n_clusters']}" for row in best.values()]
        sentences.append(f"The best silhouette is {told[0]} clusters before fine-tuning and {told[1]} after it.")
    return sentences


EXPERIMENT = Experiment(
    name="clusters",
    code="",
    title="Clusters",
    question="Which tokens lie together, into how many clusters does the space fall, and is it isotropic within them?",
    how_to_read="Tokens of the highest layer are clustered by k-means. A silhouette near 1 means tight clusters far "
    "apart; near 0, that the number of clusters is arbitrary. log10 I(W) is that of the same tokens less the mean of "
    "their cluster, as in Table 1 of Rajaee & Pilehvar (ACL 2021), 0 is isotropic; it never tells how many "
    "directions are long, only how the extremes compare. Cosines within a cluster far above those between clusters "
    "mean that the average cosine of the whole space is that of a few cones. Beside each bar stand the commonest "
    "token of the cluster and its share of it: near 100 % it is a cluster of that token. The band is the range over "
    "seeds of k-means, which always finds clusters, also in a round cloud.",
    run=run,
    draw=draw,
    tell=tell,
)
