"""Pairs of texts: what files they are read from, and what is wrong with some."""

import pytest

from isotropy_metrics.study.data.text_pairs import load_pairs


def test_csv_tsv_jsonl_and_parquet_give_the_same_pairs(tmp_path, stsb_folder):
    import pandas

    pairs = load_pairs()[1].sample(30, 0)
    table = pandas.DataFrame({"a": pairs.first, "b": pairs.second, "s": pairs.labels})
    table.to_csv(tmp_path / "p.csv", index=False)
    table.to_json(tmp_path / "p.jsonl", orient="records", lines=True)
    table.to_parquet(tmp_path / "p.parquet")
    (tmp_path / "p.tsv").write_text(
        "a\tb\ts\n"
        + "".join(f"{a}\t{b}\t{s}\n" for a, b, s in zip(pairs.first, pairs.second, pairs.labels, strict=True))
    )
    files = [str(tmp_path / f"p.{ending}") for ending in ("csv", "tsv", "jsonl", "parquet")]
    loaded = [load_pairs(file, ["a", "b", "s"]) for file in files]
    assert [len(part) for part in loaded[0]] == [24, 6]
    assert {text for part in loaded[0] for text in part.first} == set(pairs.first)
    for train, test in loaded[1:]:
        assert (train.first, test.second) == (loaded[0][0].first, loaded[0][1].second)


def test_a_split_column_says_what_is_held_out(tmp_path):
    lines = [f"a {i},b {i},{i},{split}" for i, split in enumerate(4 * ["train"] + 4 * ["dev"] + 3 * ["test"])]
    path = tmp_path / "p.csv"
    path.write_text("\n".join(["sentence1,sentence2,score,split", *lines]))
    assert [len(part) for part in load_pairs(str(path))] == [4, 3]
    path.write_text("\n".join(["sentence1,sentence2,score,split", *lines[:4]]))
    with pytest.raises(ValueError, match="no split test or validation or dev, they have: train"):
        load_pairs(str(path))


def test_stsb_has_its_official_splits(stsb_folder):
    assert [len(part) for part in load_pairs()] == [5749, 1379]


def test_bad_columns_name_the_columns_there_are(tmp_path):
    (tmp_path / "p.csv").write_text("x,y,z\na,b,1\n")
    with pytest.raises(ValueError, match="no column 'sentence1', it has: x, y, z"):
        load_pairs(str(tmp_path / "p.csv"))


def test_words_that_pandas_takes_for_missing_values_are_texts_and_rows_keep_their_number(tmp_path):
    path = tmp_path / "p.csv"
    lines = [f"None,{i},{i},{split}" for i, split in enumerate(3 * ["train"] + 3 * ["test"])]
    path.write_text("\n".join(["sentence1,sentence2,score,split", *lines]))
    train, test = load_pairs(str(path))
    assert (train.first[0], test.second[0]) == ("None", "3")
    path.write_text("\n".join(["sentence1,sentence2,score,split", *lines[:5], "a,b,many,test"]))
    with pytest.raises(ValueError, match="row 5 of column 'score' is not a number: 'many'"):
        load_pairs(str(path))
    path.write_bytes(b"\xe9\xff")
    with pytest.raises(ValueError, match="cannot read .*p.csv"):
        load_pairs(str(path))
