"""Zero-mean, cluster-centring, all-but-the-top, cluster-based and whitening on the token states of MiniLM over STS-B.

Fitted on the tokens of training texts and applied to those of the dev split, as one would at inference; the rows
"transductive" repeat what Rajaee & Pilehvar (2021) did: clusters and directions of the very tokens that are scored.
A sentence is the mean of its tokens, a pair the cosine of its two sentences; intervals resample the pairs.

    python examples/enhance_token_states.py    # a minute on two CPU cores
"""

from __future__ import annotations

from sklearn.base import clone

from isotropy_metrics import isoscore, partition_isotropy
from isotropy_metrics.enhancement import AllButTheTop, Centering, ClusterBased, ClusterCentering, Whitening
from isotropy_metrics.study.data.bundled import minilm_path
from isotropy_metrics.study.data.text_pairs import stsb_pairs
from isotropy_metrics.study.spaces.checkpoint import Checkpoint
from isotropy_metrics.study.spaces.token_space import token_space
from isotropy_metrics.study.tasks import Similarity
from isotropy_metrics.study.tasks.scoring import score_with_interval

N_CLUSTERS, N_DIRECTIONS = 27, 12  # Rajaee & Pilehvar's for BERT and RoBERTa
GLOBAL_DIRECTIONS = 15  # and theirs for BERT
TRAIN_PAIRS = 1500

TREATMENTS = {
    "zero-mean": Centering(),
    f"clusters ({N_CLUSTERS}), zero-mean": ClusterCentering(N_CLUSTERS),
    f"all-but-the-top ({GLOBAL_DIRECTIONS})": AllButTheTop(GLOBAL_DIRECTIONS),
    f"cluster-based ({N_CLUSTERS} x {N_DIRECTIONS})": ClusterBased(N_CLUSTERS, N_DIRECTIONS),
    "whitening": Whitening("zca"),
    "transductive: clusters, zero-mean": ClusterBased(N_CLUSTERS, 0, compat="rajaee"),
    "transductive: cluster-based": ClusterBased(N_CLUSTERS, N_DIRECTIONS, compat="rajaee"),
}


def main() -> None:
    dev, train = stsb_pairs("dev"), stsb_pairs("train").sample(TRAIN_PAIRS, seed=0)
    task, model = Similarity(train, dev), Checkpoint.load(str(minilm_path()))
    space, fitting = (token_space(model, pairs.texts, layers=[-1]) for pairs in (dev, train))
    print(f"{len(space.rows):,} tokens of {2 * len(dev):,} sentences, fitted on {len(fitting.rows):,} tokens")
    print(f"{'':36}{'log10 I(W)':>10}  {'isoscore':>8}  {'Spearman x 100, 95 %':>22}  {'gain, 95 %':>24}")
    baseline = None
    for name, treatment in {"as it is": None, **TREATMENTS}.items():
        rows = space.rows
        if name.startswith("transductive"):
            rows = clone(treatment).fit_transform(rows)
        elif treatment is not None:
            rows = clone(treatment).fit(fitting.rows).transform(rows)
        similarities = task.predict(dev, space.pool(rows), train, None)
        score = score_with_interval(task, similarities, dev.labels, seed=0, compared_with=baseline)
        baseline = similarities if baseline is None else baseline
        gain = "" if "gain" not in score else "{gain:+.2f} [{gain_low:+.2f}, {gain_high:+.2f}]".format(**score)
        print(
            f"{name:36}{partition_isotropy(rows)['partition_isotropy_log10']:10.2f}  {isoscore(rows)['isoscore']:8.3f}"
            f"  {'{score:.2f} [{score_low:.1f}, {score_high:.1f}]'.format(**score):>22}  {gain:>24}"
        )


if __name__ == "__main__":
    main()
