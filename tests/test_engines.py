"""Statistics as aggregates of Ray Data and Dask: the examples on a local cluster, one of whose workers is killed."""

import ast
import os
import pickle
import subprocess
import sys
import tempfile
import weakref
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from launched.killed_worker import N_BEFORE
from test_gathered_files import assert_equal_states, kinds

from isotropy_metrics import find_measures, measure, merge_statistics, statistics_for, update_statistics
from isotropy_metrics.embedding_files import measure_files
from isotropy_metrics.embedding_files.arrow_columns import vectors
from isotropy_metrics.statistics import Moments, RowSample

TESTS = Path(__file__).parent
NAMES = ["isoscore", "average_cosine_similarity", "uniformity"]
X = np.random.default_rng(0).normal(size=(24_000, 16)) * np.arange(1, 17) + 5


def parts_of(rows, n_parts=4, **asked):
    """Statistics of parts of the rows, each with a stream of its own."""
    parts = [statistics_for(find_measures(NAMES), stream=stream, **asked) for stream in range(n_parts)]
    for part, own in zip(parts, np.array_split(rows, n_parts), strict=True):
        update_statistics(part, own)
    return parts


# What engines do with statistics: pickle, merge, merge again


def test_merged_parts_are_the_whole_and_keep_their_value():
    parts = parts_of(X[:8000])
    before = pickle.dumps(parts)
    merged = merge_statistics(iter(parts))
    assert measure(merged, NAMES) == pytest.approx(measure(X[:8000], NAMES), rel=1e-10)
    update_statistics(merged, X[8000:])
    assert pickle.dumps(parts) == before
    assert measure(merge_statistics(parts), NAMES)["n_samples"] == 8000


def test_a_tree_of_merges_gives_what_a_chain_gives():
    parts = parts_of(X, 9)
    tree = merge_statistics(merge_statistics(parts[i::3]) for i in range(3))
    chain, backwards = merge_statistics(parts), merge_statistics(parts[::-1])
    found = measure(chain, NAMES)
    assert measure(tree, NAMES) == pytest.approx(found, rel=1e-12)
    assert measure(backwards, NAMES) == pytest.approx(found, rel=1e-12)
    assert found["n_sampled"] == 10_000


def test_parts_without_rows_count_nothing():
    empty = statistics_for(find_measures(NAMES), stream=9)
    found = measure(merge_statistics([empty, *parts_of(X[:3000]), empty]), NAMES)
    assert found == pytest.approx(measure(X[:3000], NAMES), rel=1e-10)


def test_what_are_no_parts_of_one_whole_is_refused():
    with pytest.raises(ValueError, match="there are no parts to merge"):
        merge_statistics([])
    with pytest.raises(ValueError, match="a part has 1 statistics, the first has 2"):
        merge_statistics([[Moments(), RowSample()], [Moments()]])
    with pytest.raises(TypeError, match="Moments merge with Moments, got RowSample"):
        merge_statistics([[Moments()], [RowSample()]])


def test_a_part_is_gone_when_the_next_one_comes():
    alive = weakref.WeakSet()

    def fresh():
        assert not alive
        (moments,) = statistics_for(find_measures("isoscore"))
        moments.update(X[:100])
        alive.add(moments)
        return [moments]

    assert merge_statistics(fresh() for _ in range(4))[0].n_rows == 400


@pytest.mark.parametrize("name", kinds())
def test_a_pickled_statistic_goes_on_as_before(name):
    before = kinds()[name]
    again = pickle.loads(pickle.dumps(before))
    assert type(again) is type(before)
    assert_equal_states(again.state_dict(), before.state_dict())
    more = kinds()[name]
    assert_equal_states(again.merge(more).state_dict(), before.merge(more).state_dict())


# The engines


def write_files(folder, rows):
    """Four files of several row groups, and one without rows."""
    folder.mkdir()
    for name, own in zip([*"0123", "none"], [*np.split(rows, 4), rows[:0]], strict=True):
        column = pa.array(list(own), pa.list_(pa.from_numpy_dtype(own.dtype)))
        table = pa.table({"number": np.arange(len(own)), "embedding": column})
        parquet.write_table(table, folder / f"{name}.parquet", row_group_size=1000)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["ray", "dask"])
def test_a_run_with_a_killed_worker_finishes_with_the_same_values(engine, tmp_path):
    complete = write_files(tmp_path / "complete", X[:9600])
    sampled = write_files(tmp_path / "sampled", X.astype(np.float32))
    with tempfile.TemporaryDirectory(prefix="im") as scratch:  # paths of sockets must be short
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent), str(TESTS.parent / "examples")]),
            "HOME": scratch,  # where Ray keeps a token
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_DATA_PARQUET_BIN_PACKING_BYTES": "100000",  # so that little data are several parts
            "OMP_NUM_THREADS": "1",
            "OPENBLAS_NUM_THREADS": "1",
        }
        script = str(TESTS / "launched" / "killed_worker.py")
        command = [sys.executable, script, engine, scratch, ",".join(NAMES), str(complete), str(sampled)]
        done = subprocess.run(command, env=environment, cwd=scratch, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    values = [ast.literal_eval(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for folder, undisturbed, found in zip((complete, sampled), values[::2], values[1::2], strict=True):
        assert (folder / "killed").exists()
        assert len(list(folder.glob("made *"))) > N_BEFORE + 2
        whole = measure_files(sorted(folder.glob("[0-3].parquet")), NAMES)
        if folder is complete:
            assert undisturbed == pytest.approx(whole, rel=1e-10)
            assert found == pytest.approx(undisturbed, rel=1e-12)
        else:
            assert found["n_sampled"] == 10_000
            assert found["uniformity"] == pytest.approx(undisturbed["uniformity"], rel=1e-9)  # of the same rows
            assert found["uniformity"] == pytest.approx(whole.pop("uniformity"), rel=0.02)  # of others
            assert {name: found[name] for name in whole} == pytest.approx(whole, rel=1e-6)


def test_a_column_of_single_numbers_is_refused_in_a_sentence():
    with pytest.raises(ValueError, match="score holds double, one list of numbers per row is needed"):
        vectors(pa.array([1.0, 2.0]), "score", 0, None)
