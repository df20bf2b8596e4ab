"""Statistics of rows with ids: moments within classes, and samples that keep sentences whole."""

import itertools
import pickle
import tracemalloc

import numpy as np
import pytest
import torch
from clouds import gaussian

from isotropy_metrics.arrays import as_ids
from isotropy_metrics.statistics import ClassMoments, Moments, RowSample, UnitMoments

LABELS = np.random.default_rng(1).integers(0, 5, 700)
X = gaussian(700, 1 / np.arange(1, 9)) + np.random.default_rng(2).normal(size=(5, 8))[LABELS] * 3


def two_pass(rows, labels, weight=None):
    rows, weight = rows.astype(np.float64), np.ones(len(rows)) if weight is None else weight
    classes = np.unique(labels[weight > 0])
    means = np.array([np.average(rows[labels == k], axis=0, weights=weight[labels == k]) for k in classes])
    residual = rows - means[np.searchsorted(classes, labels).clip(0, len(classes) - 1)]
    return means, (residual * weight[:, None]).T @ residual


def assert_equals(moments, rows, labels, weight=None, tolerance=1e-10):
    means, within = two_pass(rows, labels, weight)
    np.testing.assert_allclose(moments.class_means, means, rtol=tolerance, atol=tolerance * np.abs(means).max())
    np.testing.assert_allclose(moments.within_scatter, within, rtol=0, atol=tolerance * np.abs(within).max())


def class_moments(*batches, **arguments):
    moments = ClassMoments()
    for rows, labels in batches:
        moments.update(rows, references=labels, **arguments)
    return moments


@pytest.mark.parametrize("n_batches", [1, 7, 700])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 2e-5)])
@pytest.mark.parametrize("shift", [0.0, 1000.0])
def test_class_moments_of_any_split_are_those_of_two_passes(n_batches, dtype, tolerance, shift):
    rows = (X + shift).astype(dtype)
    batches = zip(np.array_split(rows, n_batches), np.array_split(LABELS, n_batches), strict=True)
    moments = class_moments(*batches)
    assert_equals(moments, rows, LABELS, tolerance=tolerance)
    assert (moments.n_rows, moments.n_features, moments.n_classes) == (700, 8, 5)
    assert moments.n_rows_of_class.tolist() == np.bincount(LABELS).tolist()


def test_classes_that_collapsed_to_points_far_apart_keep_their_scatter():
    """The difference of total and between scatter would lose it: one part in 1e12 of the total."""
    rows = 1e6 * np.eye(5, 8)[LABELS] + gaussian(700, np.ones(8))
    for batches in ([(rows, LABELS)], zip(np.array_split(rows, 9), np.array_split(LABELS, 9), strict=True)):
        assert_equals(class_moments(*batches), rows, LABELS, tolerance=1e-9)


def test_class_moments_merge_in_any_order_and_leave_their_sources():
    parts = [(X[i::3], LABELS[i::3]) for i in range(3)]
    for order in itertools.permutations(range(3)):
        moments = [class_moments(part) for part in parts]
        before = [pickle.dumps(each.state_dict()) for each in moments]
        merged = ClassMoments().merge(ClassMoments())
        for i in order:
            merged.merge(moments[i]).merge(ClassMoments())
        assert_equals(merged, X, LABELS)
        assert [pickle.dumps(each.state_dict()) for each in moments] == before
        assert_equals(pickle.loads(pickle.dumps(merged)), X, LABELS)
    with pytest.raises(ValueError, match="cannot merge 3 features into 8"):
        merged.merge(class_moments((np.ones((2, 3)), [0, 1])))
    with pytest.raises(TypeError, match="ClassMoments merge with ClassMoments, got RowSample"):
        merged.merge(RowSample())


def test_weights_masks_and_classes_that_meet_only_in_one_batch():
    weight = np.random.default_rng(3).integers(0, 3, 700) / 2
    assert_equals(class_moments((X, LABELS), weight=weight), X, LABELS, weight)
    moments = class_moments((X[:3], ["a", "b", "a"]), (X[3:5], ["c", "c"]))
    assert moments.n_classes == 3 and sorted(moments.masses.tolist()) == [1.0, 2.0, 2.0]
    padded, mask = np.full((2, 4, 8), np.nan), np.array([[1, 1, 1, 0], [0, 1, 1, 1]])
    padded[mask == 1] = X[:6]
    labels = np.full((2, 4), -1)
    labels[mask == 1] = LABELS[:6]
    moments = ClassMoments()
    moments.update(padded, mask=mask, references=labels)
    assert_equals(moments, X[:6], LABELS[:6])


def test_bad_labelled_rows_are_refused_and_leave_the_statistics():
    moments = class_moments((X, LABELS))
    for rows, labels, match in (
        (X, None, "need references="),
        (X, LABELS[:5], r"references must have shape \(700,\)"),
        (X[:, :3], LABELS, "3 features, the rows so far had 8"),
        (np.full((2, 8), np.nan), [0, 1], "row 0 .*nan"),
    ):
        with pytest.raises(ValueError, match=match):
            moments.update(rows, references=labels)
    assert_equals(moments, X, LABELS)
    with pytest.raises(ValueError, match="not a state of ClassMoments: classes"):
        ClassMoments.from_state_dict({"n_rows": 1, "weight_square_sum": 1.0})


def test_unit_moments_are_the_moments_of_directions_at_any_scale():
    units = X / np.linalg.norm(X, axis=1)[:, None]
    for scale in (1.0, 1e-100, 1e100):
        moments = UnitMoments()
        moments.update(X * scale)
        np.testing.assert_allclose(moments.mean, units.mean(axis=0), atol=1e-12)
        np.testing.assert_allclose(moments.scatter, (units - units.mean(0)).T @ (units - units.mean(0)), atol=1e-9)
    moments = UnitMoments()
    moments.update((1e30 * X).astype(np.float32))
    np.testing.assert_allclose(moments.mean, units.mean(axis=0), atol=1e-6)
    again = pickle.loads(pickle.dumps(moments))
    assert type(again) is UnitMoments and again.n_rows == 700
    with pytest.raises(TypeError, match="UnitMoments merge with UnitMoments, got Moments"):
        again.merge(Moments())


@pytest.mark.parametrize("d", [1, 2, 50, 200])
@pytest.mark.parametrize("mean", [0.0, 0.3, 1e4])
def test_moments_have_the_spectrum_of_raw_rows_too(d, mean):
    rows = gaussian(100, 1 / np.arange(1, d + 1)) + mean
    moments = Moments()
    moments.update(rows)
    for centred, given in ((rows - rows.mean(axis=0), moments.eigenvalues), (rows, moments.raw_eigenvalues)):
        expected = np.zeros(d)
        expected[: min(100, d)] = np.linalg.svd(centred, compute_uv=False) ** 2
        np.testing.assert_allclose(given, expected, atol=1e-10 * expected[0])
    moments.update(rows[:5])
    assert moments.raw_eigenvalues.sum() == pytest.approx((rows**2).sum() + (rows[:5] ** 2).sum())
    with pytest.raises(ValueError, match="there are no rows yet"):
        Moments().raw_eigenvalues  # noqa: B018


# Sentences


def sampled(batches, size=100, seed=0):
    sample = RowSample(size=size, seed=seed)
    for rows, sentences in batches:
        sample.update(rows, sentences=sentences)
    return sample


def test_sentences_stay_or_go_as_a_whole_whatever_the_batches():
    rows, sentences = np.arange(1000.0).reshape(500, 2), np.arange(500) // 7
    whole = sampled([(rows, sentences)])
    assert 93 < len(whole.rows) <= 100 and not whole.is_complete
    assert set(np.unique(whole.sentences, return_counts=True)[1]) <= {7, 3}  # the last sentence has 3 rows
    order = np.argsort(whole.positions)
    for n in (2, 50, 500):
        parts = sampled(zip(np.array_split(rows, n), np.array_split(sentences, n), strict=True))
        np.testing.assert_array_equal(parts.rows[np.argsort(parts.positions)], whole.rows[order])
    shuffled = np.random.default_rng(0).permutation(500)
    other = sampled([(rows[shuffled], sentences[shuffled])])
    assert {tuple(row) for row in other.rows} == {tuple(row) for row in whole.rows}
    assert set(sampled([(rows, sentences)], seed=1).sentences) != set(whole.sentences)


def test_samples_of_parts_merge_to_the_sample_of_the_whole():
    rows, sentences = np.arange(1000.0).reshape(500, 2), np.arange(500) // 7
    whole = sampled([(rows, sentences)])
    left, right = sampled([(rows[:203], sentences[:203])]), sampled([(rows[203:], sentences[203:])])
    merged = left.merge(right)
    assert {tuple(row) for row in merged.rows} == {tuple(row) for row in whole.rows}
    again = RowSample.from_state_dict(merged.state_dict())
    assert (again.sentences == merged.sentences).all() and again.n_rows == 500


def test_every_sentence_has_the_same_chance_and_a_long_one_is_kept_alone():
    counts = np.zeros(40)
    for seed in range(400):
        kept = sampled([(np.ones((200, 2)), np.arange(200) // 5)], size=50, seed=seed).sentences
        counts[np.unique(kept)] += 1
    assert counts.sum() == 400 * 10
    assert 65 < counts.min() and counts.max() < 140  # binomial(400, 1/4): 100 ± 4 standard deviations of 8.7
    sample = sampled([(np.ones((60, 2)), np.zeros(60, int))], size=20)
    assert len(sample.rows) == 60


def test_memory_of_a_sample_with_sentences_is_bounded():
    sample = RowSample(size=200)
    tracemalloc.start()
    for batch in range(300):
        sample.update(np.ones((100, 64), np.float32) * batch, sentences=batch * 10 + np.arange(100) // 10)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000 and len(sample.rows) <= 200 < sample.n_rows


def test_ids_travel_with_their_rows_and_must_come_with_all_of_them():
    sample = RowSample(size=50)
    for start in range(0, 300, 60):
        part = np.arange(start, start + 60)
        sample.update(np.c_[part, part].astype(float), words=part % 7, references=[f"c{i % 3}" for i in part])
    assert (sample.words == sample.rows[:, 0] % 7).all()
    assert (sample.positions == sample.rows[:, 0]).all()
    labels = as_ids([f"c{i % 3}" for i in sample.positions], "references")
    assert (sample.references == labels).all() and sample.sentences is None
    with pytest.raises(ValueError, match="these rows have the ids words, the rows so far had references, words"):
        sample.update(np.ones((2, 2)), words=[1, 2])
    with pytest.raises(TypeError, match="rows have no ids 'labels'; there are: references, words, sentences"):
        sample.update(np.ones((2, 2)), labels=[1, 2])
    with pytest.raises(ValueError, match="the ids none"):
        RowSample(size=50).merge(sample).update(np.ones((1, 2)))


def test_copies_of_rows_are_told_from_their_originals():
    sample = RowSample()
    rows = np.array([[1.0, 2.0], [0.0, 1.0], [1.0, 2.0], [-0.0, 1.0], [1.0, 2.0], [3.0, 3.0]])
    sample.update(rows, words=np.arange(6))
    assert sample.is_first_copy.tolist() == [True, True, False, False, False, True]
    assert sample.without_copies().words.tolist() == [0, 1, 5]
    assert sample.without_copies().without_copies() is sample.without_copies()
    sample.update([[9.0, 9.0]], words=[6])
    assert sample.is_first_copy.sum() == 4


# Ids


def test_ids_are_whole_numbers_or_text():
    for values in ([1, 2, 1], np.array([1, 2, 1], np.int32), np.array([1.0, 2.0, 1.0]), torch.tensor([1, 2, 1])):
        assert as_ids(values, "words").tolist() == [1, 2, 1]
    texts = as_ids(["a", "b", "a"], "words")
    assert (
        texts.dtype == np.int64 and texts[0] == texts[2] != texts[1] and (0 <= texts).all() and (texts < 2**52).all()
    )
    assert (as_ids(np.array(["a", "b", "a"], dtype=object), "words") == texts).all()
    assert (as_ids([["a", "b", "a"]], "words", (1, 3)) == texts).all()
    assert as_ids([True, False], "references").tolist() == [1, 0]
    assert len(set(as_ids([str(i) for i in range(100_000)], "words").tolist())) == 100_000


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ([1.5, 2.0], "words must be text or whole numbers, got float64 with fractions"),
        ([np.nan, 1.0], "words must be text or whole numbers"),
        (["a", None], "words must be text or whole numbers, got None"),
        ([2**53, 1], r"words must be below 2\*\*53, got 9007199254740992: pass the ids as text"),
        ([1, 2, 3], r"words must have shape \(2,\) to match the embeddings, got \(3,\)"),
        ([[1], [2, 3]], "words is ragged"),
        (np.array([1, 2], dtype="datetime64[D]"), "words must be text or whole numbers, got datetime64"),
    ],
)
def test_other_ids_are_refused_with_what_came(values, match):
    with pytest.raises(ValueError, match=match):
        as_ids(values, "words", (2,))
