"""Statistics of files: in parts, kept in a file, cut short and gone on with, and merged: always those of all rows."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from safetensors.numpy import save_file

from isotropy_metrics import MEASURES, measure, statistics_for, update_statistics
from isotropy_metrics.cli import main
from isotropy_metrics.embedding_files import gathered_files, measure_file, measure_files, open_embeddings
from isotropy_metrics.embedding_files.gathered_files import gather_files
from isotropy_metrics.embedding_files.prefetched import prefetched
from isotropy_metrics.statistics import (
    Buckets,
    ClassMoments,
    Moments,
    PairSample,
    RowSample,
    RowStatistics,
    TwoMoments,
    UnitMoments,
)
from isotropy_metrics.statistics_file import load_statistics, save_statistics

NAMES = ["isoscore", "average_cosine_similarity", "effective_rank", "uniformity"]
CHOSEN = [MEASURES[name] for name in NAMES]
X = (np.random.default_rng(0).normal(size=(9000, 8)) * np.arange(1, 9) + 5).astype(np.float32)


@pytest.fixture
def parts(tmp_path):
    """One cloud in three files."""
    paths = [tmp_path / f"part {i}.npy" for i in range(3)]
    for path, rows in zip(paths, np.split(X, [2500, 6000]), strict=True):
        np.save(path, rows)
    return paths


@pytest.fixture
def small_batches(monkeypatch):
    monkeypatch.setattr("isotropy_metrics.embedding_files.embedding_file.BATCH_VALUES", 8 * 400)
    monkeypatch.setattr(gathered_files, "SAVE_VALUES", 8 * 900)


def state_of(statistics):
    return [each.state_dict() for each in statistics]


def assert_equal_states(first, second):
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_equal_states(first[key], second[key])
    elif isinstance(first, list):
        for one, other in zip(first, second, strict=True):
            assert_equal_states(one, other)
    else:
        np.testing.assert_array_equal(first, second)


# A file of statistics


def filled(statistic, **ids):
    statistic.update(X[:500], **ids)
    return statistic


def kinds():
    labels = np.arange(500) % 3
    two, pairs = TwoMoments(), PairSample(100)
    two_buckets = TwoMoments(buckets=True, seed=3)
    for each in (two, pairs, two_buckets):
        each.update(X[:500], X[500:1000])
    return {
        "moments": filled(Moments()),
        "weighted moments": filled(Moments(), weight=np.linspace(1, 2, 500)),
        "empty moments": Moments(),
        "unit moments": filled(UnitMoments()),
        "class moments": filled(ClassMoments(), references=labels),
        "sample": filled(RowSample(100, seed=1, stream=2)),
        "sample with ids": filled(RowSample(None), words=labels, sentences=np.arange(500) // 10),
        "buckets": filled(Buckets(Moments, seed=5)),
        "buckets of classes": filled(Buckets(ClassMoments), references=labels),
        "row statistics": filled(RowStatistics()),
        "pairs": pairs,
        "two moments": two,
        "two moments in buckets": two_buckets,
    }


@pytest.mark.parametrize("name", kinds())
def test_a_statistic_comes_back_to_the_bit_and_goes_on_as_before(name, tmp_path):
    before = kinds()[name]
    (again,), facts = load_statistics(save_statistics(tmp_path / "s.safetensors", [before], of=name))
    assert facts == {"of": name} and type(again) is type(before)
    assert_equal_states(again.state_dict(), before.state_dict())
    ids = {"references": np.arange(50) % 3} if "class" in name else {}
    ids |= {"words": np.arange(50), "sentences": np.arange(50)} if "ids" in name else {}
    more = (X[2000:2050], X[3000:3050]) if name.startswith(("pairs", "two")) else (X[2000:2050],)
    for each in (before, again):
        each.update(*more, **ids)
    assert_equal_states(again.state_dict(), before.state_dict())
    assert list(tmp_path.iterdir()) == [tmp_path / "s.safetensors"]


def test_what_is_no_file_of_statistics_is_refused(tmp_path):
    path = save_statistics(tmp_path / "s.safetensors", [kinds()["moments"]])
    with pytest.raises(FileNotFoundError, match="there is no file"):
        load_statistics(tmp_path / "other.safetensors")
    save_file({"x": np.ones(3)}, tmp_path / "rows.safetensors")
    with pytest.raises(ValueError, match="is no file of statistics: `isotropy-metrics measure --state`"):
        load_statistics(tmp_path / "rows.safetensors")
    whole = path.read_bytes()
    for cut in (0, 7, 100, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"s\.safetensors cannot be read"):
            load_statistics(path)
    for old, new, message in (
        (rb"format_version\": 2", rb"format_version\": 9", "is of format 9"),
        (rb"\"facts\"", rb"\"faces\"", "is damaged: it has no facts"),
        (b"Moments", b"Mommies", "is damaged"),
        (b"n_rows", b"n_cows", "is damaged"),
    ):
        assert old in whole
        path.write_bytes(whole.replace(old, new))
        with pytest.raises(ValueError, match=message):
            load_statistics(path)


# Several files, a state, an interruption


def test_parts_of_one_space_are_measured_together(parts):
    whole = measure(X, NAMES)
    found = measure_files(parts, NAMES)
    assert found == pytest.approx(whole, rel=1e-6)
    assert measure_files(parts[:1], NAMES) == measure_file(parts[0], NAMES)


def test_files_of_other_widths_are_no_one_space(parts, tmp_path):
    np.save(tmp_path / "wide.npy", np.ones((20, 9)))
    with pytest.raises(ValueError, match="has 8 features, .*wide.npy has 9"):
        measure_files([*parts, tmp_path / "wide.npy"], NAMES)


@pytest.mark.parametrize("interval", [False, True])
@pytest.mark.parametrize("n_batches", [1, 2, 3, 7, 12, 20, 23])
def test_work_that_was_cut_short_goes_on_to_the_same_bits(
    parts, tmp_path, monkeypatch, small_batches, n_batches, interval
):
    files = [open_embeddings(path) for path in parts]
    whole = gather_files(files, CHOSEN, state=tmp_path / "whole.safetensors", interval=interval)
    seen = 0

    def interrupted(*arguments, **named):
        nonlocal seen
        seen += 1
        if seen > n_batches:
            raise KeyboardInterrupt
        update_statistics(*arguments, **named)

    state = tmp_path / "state.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(gathered_files, "update_statistics", interrupted)
        with pytest.raises(KeyboardInterrupt):
            gather_files(files, CHOSEN, state=state, interval=interval)
    assert seen == n_batches + 1 and state.exists() == (n_batches >= 3)
    again = gather_files(files, CHOSEN, state=state, interval=interval)
    assert_equal_states(state_of(again), state_of(whole))


def test_a_complete_state_is_not_read_again(parts, tmp_path, monkeypatch):
    files = [open_embeddings(path) for path in parts]
    state = tmp_path / "state.safetensors"
    whole = gather_files(files, CHOSEN, state=state)
    monkeypatch.setattr(gathered_files, "update_statistics", None)
    assert_equal_states(state_of(gather_files(files, CHOSEN, state=state)), state_of(whole))


def test_a_state_of_other_rows_or_settings_is_refused(parts, tmp_path):
    files = [open_embeddings(path) for path in parts]
    state = tmp_path / "state.safetensors"
    gather_files(files, CHOSEN, state=state)
    for what, changed in {
        "files": {"files": files[:2]},
        "measures": {"measures": CHOSEN[:2]},
        "seed": {"seed": 1},
        "stream": {"stream": 1},
        "interval": {"interval": True},
        "sample_size": {"sample_size": 50},
    }.items():
        asked = {"files": files, "measures": CHOSEN, "state": state} | changed
        with pytest.raises(ValueError, match=f"is a state of other {what}"):
            gather_files(**asked)
    np.save(parts[0], X[:2500] + 1)
    with pytest.raises(ValueError, match="is a state of other files"):
        gather_files([open_embeddings(path) for path in parts], CHOSEN, state=state)


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on_to_the_same_values(tmp_path):
    rows = np.random.default_rng(0).normal(size=(400_000, 64)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)
    script = (
        "import sys\n"
        "from isotropy_metrics.embedding_files import embedding_file, gathered_files\n"
        "embedding_file.BATCH_VALUES = gathered_files.SAVE_VALUES = 2**20\n"
        "from isotropy_metrics.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )

    def command(state):
        asked = ["measure", "rows.npy", "--state", state, "--stream", "0", "--measures", ",".join(NAMES), "--json"]
        return [sys.executable, "-c", script, *asked, "--quiet"]

    whole = subprocess.run(command("whole.safetensors"), cwd=tmp_path, capture_output=True, text=True, check=True)
    n_killed = 0
    for attempt in range(20):
        running = subprocess.Popen(command("state.safetensors"), cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        while running.poll() is None and not (tmp_path / "state.safetensors").exists():
            time.sleep(0.01)
        time.sleep(0.03 * attempt)
        running.send_signal(signal.SIGKILL)
        output, _ = running.communicate()
        n_killed += running.returncode == -signal.SIGKILL
        if running.returncode == 0:
            break
    assert n_killed >= 1
    again = subprocess.run(command("state.safetensors"), cwd=tmp_path, capture_output=True, text=True, check=True)
    assert json.loads(again.stdout) == pytest.approx(json.loads(whole.stdout), rel=1e-12)
    left = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert left == {"rows.npy", "whole.safetensors", "state.safetensors"}


# The command


def run(capsys, *arguments, code=0):
    assert main([*map(str, arguments)]) == code
    return capsys.readouterr()


def test_parts_measured_apart_and_merged_are_the_whole(parts, tmp_path, capsys):
    asked = ["--measures", ",".join(NAMES), "--json", "--interval", "0.9", "--sample-size", "500"]
    states = [tmp_path / f"{i}.safetensors" for i in range(3)]
    for stream, (path, state) in enumerate(zip(parts, states, strict=True)):
        run(capsys, "measure", path, "--state", state, "--stream", stream, *asked)
    output = ["--output", tmp_path / "all.safetensors"]
    found = json.loads(run(capsys, "merge", *states, "--json", "--interval", "0.9", *output).out)
    whole = json.loads(run(capsys, "measure", *parts, "--together", *asked).out)
    for name in NAMES:
        is_of_a_sample = name == "uniformity"  # which is another one of parts
        assert found[name] == pytest.approx(whole[name], rel=0.05 if is_of_a_sample else 1e-6)
        assert found[f"{name}_low"] <= found[name] <= found[f"{name}_high"]
    assert found["n_samples"] == len(X)
    again = json.loads(run(capsys, "merge", tmp_path / "all.safetensors", "--json", "--interval", "0.9").out)
    assert again == pytest.approx(found, rel=1e-12)
    text = run(capsys, "merge", states[0], states[2], "--measures", "isoscore").out
    assert "0.safetensors + " in text and "5,500 rows, 8 features" in text and "uniformity" not in text


def test_parts_that_are_no_parts_of_one_whole_are_refused(parts, tmp_path, capsys):
    states = {}
    for name, (files, more) in {
        "first": (parts[:1], ["--stream", "7"]),
        "second": (parts[1:2], ["--stream", "7"]),
        "both": (parts[:2], []),
        "other": (parts[2:], ["--seed", "1"]),
    }.items():
        states[name] = tmp_path / f"{name}.safetensors"
        run(capsys, "measure", *files, "--state", states[name], "--measures", "isoscore,uniformity", *more)
    for names, message in {
        ("first", "second"): "two parts have the stream 7: measure each with a --stream of its own",
        ("first", "both"): "part 0.npy is in more than one part: its rows would count twice",
        ("first", "other"): "differ in seed: 1 and 0",
        ("first", "first"): "is named twice",
    }.items():
        assert message in run(capsys, "merge", *(states[name] for name in names), code=2).err
    assert "is not among the measures" in run(capsys, "merge", states["both"], "--measures", "rankme", code=2).err
    assert (
        "needs parts that were measured with --interval"
        in run(capsys, "merge", states["both"], "--interval", "0.9", code=2).err
    )
    save_statistics(tmp_path / "own.safetensors", statistics_for(CHOSEN))
    assert "not those of files" in run(capsys, "merge", tmp_path / "own.safetensors", code=2).err


def test_an_unfinished_part_is_named(parts, tmp_path, capsys, monkeypatch, small_batches):
    state = tmp_path / "state.safetensors"
    seen = []

    def interrupted(*arguments, **named):
        seen.append(1)
        if len(seen) > 10:
            raise KeyboardInterrupt
        update_statistics(*arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(gathered_files, "update_statistics", interrupted)
        assert main(["measure", *map(str, parts), "--state", str(state), "--measures", "isoscore"]) == 130
    capsys.readouterr()
    assert "is not complete: run the command again that wrote it" in run(capsys, "merge", state, code=2).err
    values = json.loads(run(capsys, "measure", *parts, "--state", state, "--measures", "isoscore", "--json").out)
    assert values["isoscore"] == pytest.approx(measure(X, "isoscore")["isoscore"], rel=1e-6)


def test_three_files_are_not_compared(parts, capsys):
    assert (
        "there are 3 files: two are compared; more are measured with --together"
        in run(capsys, "measure", *parts, code=2).err
    )


# Reading ahead


def test_items_come_in_order_and_are_made_meanwhile():
    made = []

    def items():
        for i in range(6):
            made.append(i)
            yield i

    ahead = prefetched(items(), ahead=2)
    assert next(ahead) == 0
    time.sleep(0.2)
    assert made == [0, 1, 2, 3]
    assert list(ahead) == [1, 2, 3, 4, 5]


def test_an_error_comes_where_its_item_would_have_come():
    def items():
        yield 1
        raise ValueError("the second is bad")

    ahead = prefetched(items())
    assert next(ahead) == 1
    with pytest.raises(ValueError, match="the second is bad"):
        next(ahead)


def test_the_thread_ends_with_whoever_reads():
    before = threading.active_count()
    ahead = prefetched(iter(range(10**9)))
    assert next(ahead) == 0
    ahead.close()
    assert threading.active_count() == before


def test_an_interrupted_save_leaves_the_file_that_was_there(tmp_path, monkeypatch):
    path = save_statistics(tmp_path / "s.safetensors", [kinds()["moments"]])
    whole = path.read_bytes()
    monkeypatch.setattr(os, "replace", lambda *both: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        save_statistics(path, [kinds()["sample"]])
    assert path.read_bytes() == whole and list(tmp_path.iterdir()) == [path]


# What a review found


@pytest.mark.parametrize("group", ["words", "sentences"])
@pytest.mark.parametrize("seed", range(6))
def test_groups_stay_whole_after_a_resume_and_a_merge(group, seed):
    """A group that has been dropped does not come back with its later rows."""
    generator = np.random.default_rng(seed)
    ids = generator.integers(0, 60, len(X))
    cut = int(generator.integers(500, 8000))
    whole, first, second = (RowSample(size=300) for _ in range(3))
    for start in range(0, len(X), 500):
        whole.update(X[start : start + 500], **{group: ids[start : start + 500]})
    first.update(X[:cut], **{group: ids[:cut]})
    second.skip(cut)
    second.update(X[cut:], **{group: ids[cut:]})
    resumed = RowSample.from_state_dict(first.state_dict())
    for start in range(cut, len(X), 500):
        resumed.update(X[start : start + 500], **{group: ids[start : start + 500]})
    for found in (resumed, first.merge(second)):
        np.testing.assert_array_equal(found.positions, whole.positions)
        for kept in np.unique(getattr(found, group)):
            assert (getattr(found, group) == kept).sum() == (ids == kept).sum()


def test_a_merge_leaves_the_other_sample_in_its_order():
    first, second = RowSample(size=100), RowSample(size=100)
    second.update(X[:500])
    first.skip(500)
    first.update(X[500:900])
    before = second.rows.copy(), second.positions.copy()
    first.merge(second)
    for found, expected in zip((second.rows, second.positions), before, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_the_share_of_a_process_is_no_whole_state(parts, tmp_path):
    state = tmp_path / "state.0-of-2.safetensors"
    measure_files(parts, NAMES, state=state)
    statistics, facts = load_statistics(state)
    save_statistics(state, statistics, asked=facts["asked"] | {"process": [0, 2]}, done=facts["done"])
    with pytest.raises(ValueError, match="is a state of other process"):
        measure_files(parts, NAMES, state=state)


def test_columns_of_every_file_are_in_the_state(tmp_path):
    for name, scale in (("first", 1), ("second", 2)):
        np.savez(tmp_path / f"{name}.npz", a=X[:500] * scale, b=X[500:1000] ** 2)
    first = open_embeddings(tmp_path / "first.npz", column="a")
    for column, error in (("a", None), ("b", "state of other columns")):
        second = open_embeddings(tmp_path / "second.npz", column=column)
        asked = {"measures": "isoscore", "state": tmp_path / "state.safetensors"}
        if error is None:
            measure_files([first, second], **asked)
        else:
            with pytest.raises(ValueError, match=error):
                measure_files([first, second], **asked)


def test_files_that_differ_in_what_is_named_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", a=X, mass=np.ones(len(X)))
    plain = open_embeddings(tmp_path / "a.npz", column="a")
    weighted = open_embeddings(tmp_path / "a.npz", column="a", weight="mass")
    with pytest.raises(ValueError, match="differ in what is named"):
        measure_files([plain, weighted], "isoscore")


@pytest.mark.parametrize("files", [[], "a.npy"])
def test_files_are_a_list(files):
    with pytest.raises(ValueError, match="name the files as a list"):
        measure_files(files, "isoscore")


def test_a_seed_of_numpy_is_kept_in_a_state(parts, tmp_path):
    for _ in range(2):
        measure_files(parts, "isoscore", state=tmp_path / "state.safetensors", seed=np.int64(3))


def test_a_bad_row_of_weight_zero_is_not_the_one_that_is_named(tmp_path):
    rows, mass = X[:20].copy(), np.ones(20)
    rows[3], mass[3], rows[10] = np.nan, 0, np.inf
    np.savez(tmp_path / "a.npz", a=rows, mass=mass)
    with pytest.raises(ValueError, match="row 10 of the embeddings holds inf"):
        measure_files([open_embeddings(tmp_path / "a.npz", column="a", weight="mass")], "isoscore")
