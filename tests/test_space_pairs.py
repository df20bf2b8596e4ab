"""Tables of scored pairs that somebody uploads: what is read of them, and the sentence that refuses one."""

import numpy as np
import pytest
from isotropy_space.embeddings import Embeddings
from isotropy_space.pairs import MAX_PAIR_BYTES, MAX_PAIRS, pair_limits_sentence, read_pairs
from rated_sentences import rated_sentences, write_pairs

ROWS = np.random.default_rng(0).normal(size=(6, 3))
NUMBERED = Embeddings("rows.npy", ROWS)
NAMED = Embeddings("rows.csv", ROWS, names=np.array(["a", "b", "c, d", "e", "a", '"quoted"']))


def read(tmp_path, content, embeddings=NUMBERED, name="pairs.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_pairs(str(path), embeddings)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("pairs.csv", "first,second,score\n0,1,0.5\n2,3,4\n5,0,-1\n"),
        ("pairs.csv", "0,1,0.5\n2,3,4\n5,0,-1"),
        ("pairs.csv", "\ufeff0,1,0.5,news\r\n\r\n2,3,4,news\r\n 5 ,0,-1,news\r\n"),
        ("PAIRS.TSV", "0\t1\t0.5\n2\t3\t4e0\n5\t0\t-1\n"),
    ],
)
def test_numbers_of_rows(tmp_path, name, content):
    pairs = read(tmp_path, content, name=name)
    assert (pairs.first.tolist(), pairs.second.tolist()) == ([0, 2, 5], [1, 3, 0])
    assert pairs.scores.tolist() == [0.5, 4.0, -1.0]
    assert pairs.rows.tolist() == [0, 1, 2, 3, 5]
    assert pairs.notes == ()


def test_names_of_rows_and_the_first_of_several(tmp_path):
    pairs = read(tmp_path, 'first,second,score\nb,"c, d",1\na,e,2\n"""quoted""",b,3\n', NAMED)
    assert (pairs.first.tolist(), pairs.second.tolist()) == ([1, 0, 5], [2, 3, 1])
    assert pairs.notes == ("Names in the pairs that several rows have: 1; the first row of each is taken.",)


def test_rows_with_names_can_be_numbered_too(tmp_path):
    assert read(tmp_path, "0,1,1\n2,3,2\n4,5,3\n", NAMED).first.tolist() == [0, 2, 4]
    numerals = Embeddings("rows.csv", ROWS, names=np.array(["5", "4", "3", "2", "1", "0"]))
    assert read(tmp_path, "0,1,1\n2,3,2\n4,5,3\n", numerals).first.tolist() == [5, 3, 1]


def test_sentences_of_the_sts_benchmark(tmp_path, minilm_path, stsb_folder):
    embeddings, pairs = rated_sentences(minilm_path, stsb_folder)
    read_back = read_pairs(write_pairs(tmp_path / "pairs.csv", pairs), embeddings)
    assert [str(embeddings.names[i]) for i in read_back.first] == [first for first, _, _ in pairs]
    assert [str(embeddings.names[i]) for i in read_back.second] == [second for _, second, _ in pairs]
    assert read_back.scores.tolist() == [score for *_, score in pairs]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("0,1,2\n0,1\n", "pairs.csv, line 2, has 2 columns: it must have first, second, score"),
        ("0,1,2\n2,3,high\n", "pairs.csv, line 2: the score must be a finite number, got 'high'"),
        ("0,1,2\n2,3,nan\n", "pairs.csv, line 2: the score must be a finite number, got 'nan'"),
        ("0,1,2\n2,3,1e999\n", "pairs.csv, line 2: the score must be a finite number, got '1e999'"),
        ("a,b,c\n0,1,2\n2,6,3\n0,1,1\n", "pairs.csv, line 3: there is no row '6'; rows are counted from 0 to 5"),
        (f"0,1,2\n2,3,3\n0,{'9' * 5000},1\n", "line 3: there is no row '999"),
        ("0,1,2\n2,3,3\n0,-1,1\n", "line 3: '-1' must be the number of a row, from 0 to 5"),
        ("0,1,2\n2,3,3\n0,1.0,1\n", "line 3: '1.0' must be the number of a row"),
        ("0,1,2\n2,3,3\n<b>x</b>,1,1\n", "line 3: '<b>x</b>' must be the number of a row"),
        ("score,first,second\n5,0,1\n4,2,3\n1,4,5\n", "pairs.csv, line 1: the score must be in the third column"),
        ("0,1,2\n2,3,3\n", "pairs.csv has 2 pairs with scores that do not differ or are too few to be ranked"),
        ("0,1,2\n2,3,2\n1,3,2\n", "pairs.csv has 3 pairs with scores that do not differ"),
        ("", "pairs.csv has 0 pairs"),
        (b"0,1,2\n0,\xff,3\n", "pairs.csv, line 2, is not text in UTF-8"),
        (b"0,1,2\n0,\x00,3\n", "pairs.csv is not text"),
        ('0,1,2\n0,"1"x,3\n', "pairs.csv, line 2, is not a line of a table"),
        ("0,1,2\n" + "x" * 200_000 + ",1,3\n", "pairs.csv, line 2, is not a line of a table"),
        ("0,1,2\n" * (MAX_PAIRS + 1), f"pairs.csv has more than {MAX_PAIRS:,} pairs"),
        (b" " * (MAX_PAIR_BYTES + 1), "pairs.csv is larger than 5 MB"),
    ],
)
def test_a_bad_table_is_refused_in_one_sentence(tmp_path, content, said):
    with pytest.raises(ValueError) as caught:
        read(tmp_path, content)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value) and str(tmp_path) not in str(caught.value) and len(str(caught.value)) < 200


def test_a_name_that_no_row_has(tmp_path):
    with pytest.raises(
        ValueError, match="line 2: no row is called 'nobody'; give names of rows only, or numbers only"
    ):
        read(tmp_path, "a,b,1\na,nobody,2\nb,e,3\n", NAMED)


def test_the_name_of_a_file_is_of_one_line(tmp_path):
    with pytest.raises(ValueError, match="^pairs of me.csv has 0 pairs"):
        read(tmp_path, "", name="pairs\nof\x07me.csv")


def test_other_files(tmp_path):
    with pytest.raises(ValueError, match="pairs.xlsx is no table of pairs: give a .csv or .tsv file"):
        read(tmp_path, "0,1,2\n", name="pairs.xlsx")
    with pytest.raises(FileNotFoundError, match="there is no file none.csv"):
        read_pairs(str(tmp_path / "none.csv"), NUMBERED)
    assert "100,000 pairs in 5 MB" in pair_limits_sentence()
