"""Pairs of texts: what files they are read from, and what is wrong with some."""

import pandas
import pytest

from isotropy_metrics.study.tasks import load_task


def test_csv_tsv_jsonl_and_parquet_give_the_same_pairs(tmp_path, stsb_folder):
    pairs = load_task().test.sample(30, 0)
    table = pandas.DataFrame({"a": pairs.first, "b": pairs.second, "s": pairs.labels})
    table.to_csv(tmp_path / "p.csv", index=False)
    table.to_json(tmp_path / "p.jsonl", orient="records", lines=True)
    table.to_parquet(tmp_path / "p.parquet")
    rows = zip(pairs.first, pairs.second, pairs.labels, strict=True)
    (tmp_path / "p.tsv").write_text("a\tb\ts\n" + "".join(f"{a}\t{b}\t{s}\n" for a, b, s in rows))
    loaded = [
        load_task(str(tmp_path / f"p.{ending}"), ["a", "b", "s"]) for ending in ("csv", "tsv", "jsonl", "parquet")
    ]
    train, test = loaded[0].train, loaded[0].test
    assert [len(train), len(test)] == [24, 6]
    scores = dict(zip(zip(pairs.first, pairs.second, strict=True), pairs.labels, strict=True))
    assert dict(zip(zip(train.first, train.second, strict=True), train.labels, strict=True)).items() <= scores.items()
    assert set(train.first + test.first) == set(pairs.first)
    for task in loaded[1:]:
        assert (task.train.first, task.test.second) == (train.first, test.second)
        assert task.test.labels.tolist() == test.labels.tolist()


def test_words_that_pandas_takes_for_missing_values_are_texts_and_rows_keep_their_number(tmp_path):
    path = tmp_path / "p.csv"
    lines = [f"None,{i},{i},{split}" for i, split in enumerate(3 * ["train"] + 3 * ["test"])]
    path.write_text("\n".join(["sentence1,sentence2,score,split", *lines]))
    task = load_task(str(path))
    assert (task.train.first[0], task.test.second[0]) == ("None", "3")
    path.write_text("\n".join(["sentence1,sentence2,score,split", *lines[:5], "a,b,many,test"]))
    with pytest.raises(ValueError, match="row 5 of column 'score' is not a number: 'many'"):
        load_task(str(path))


@pytest.mark.parametrize("scores", [[1, 1, 1, 1, 1, 1], [1, 2, 3, 4, 5, 5]])
def test_scores_that_do_not_differ_cannot_be_ranked(tmp_path, scores):
    path = tmp_path / "p.csv"
    rows = [
        f"a {i},b {i},{score},{split}"
        for i, (score, split) in enumerate(zip(scores, 4 * ["train"] + 2 * ["test"], strict=True))
    ]
    path.write_text("\n".join(["sentence1,sentence2,score,split", *rows]))
    with pytest.raises(ValueError, match="pairs with scores that do not differ cannot be ranked"):
        load_task(str(path))
