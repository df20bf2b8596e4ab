"""Files measured by several processes: each row is counted by one of them, and the values are those of one process."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from test_embedding_files import FORMATS, D, N, X

from isotropy_metrics import find_measures, measure, merge_statistics
from isotropy_metrics.cli import main
from isotropy_metrics.embedding_files import gathered_files, measure_files, open_embeddings
from isotropy_metrics.embedding_files.gathered_files import gather_files
from isotropy_metrics.embedding_files.shares import shares
from isotropy_metrics.statistics import Buckets, RowSample
from isotropy_metrics.statistics_file import load_statistics

ROOT = Path(__file__).parents[1]
NAMES = ["isoscore", "average_cosine_similarity", "uniformity", "two_nn", "hubness"]
CHOSEN = find_measures(NAMES)
MASK = np.arange(N - 1).reshape(-1, 12) % 7 > 1
MASKED = "masked.npz"

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*rows:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:.*columns of whole numbers:RuntimeWarning"),
]


@pytest.fixture
def small_batches(monkeypatch):
    """37 rows per batch, and a save after three."""
    monkeypatch.setattr("isotropy_metrics.embedding_files.embedding_file.BATCH_VALUES", 37 * D)
    monkeypatch.setattr(gathered_files, "SAVE_VALUES", 3 * 37 * D)


def written(name, folder):
    """A file, or folder, of this format."""
    path = folder / name
    if name == MASKED:
        np.savez(path, vector=X[:-1].reshape(*MASK.shape, D), here=MASK)
    elif name.endswith("safetensors"):
        save_file({"vector": X}, path)
    elif name.endswith(".npy"):
        np.save(path, np.asfortranarray(X) if name.startswith("fortran") else X)
    else:
        FORMATS[name](X, path)
    return path


ALL_FORMATS = [*FORMATS, "a.npy", "fortran.npy", "a.safetensors", MASKED]


# Reading from the middle


@pytest.mark.parametrize("name", ALL_FORMATS)
def test_a_file_is_entered_at_any_row_and_batches_stay_the_same(name, tmp_path, small_batches):
    file = open_embeddings(written(name, tmp_path), mask="here" if name == MASKED else None)
    whole = list(file.batches())
    rows = np.concatenate([batch.rows for batch in whole])
    ends = np.cumsum([len(batch) for batch in whole])
    for number in (0, 1, len(whole) // 2, len(whole) - 1):
        rest = list(file.batches(first_row=int(ends[number])))
        assert [len(batch) for batch in rest if len(batch)] == [len(each) for each in whole[number + 1 :] if len(each)]
        for batch, expected in zip(rest[-3:], whole[-3:] if len(rest) >= 3 else whole[number + 1 :], strict=True):
            np.testing.assert_array_equal(batch.rows, expected.rows)
    for first, stop in ((0, 1), (49, 51), (100, 613), (len(rows) - 2, len(rows)), (300, 300)):
        found = [batch.rows for batch in file.batches(first_row=first, stop_row=stop)]
        np.testing.assert_array_equal(np.concatenate(found or [rows[:0]]), rows[first:stop])


# Shares, without processes


def of_process(monkeypatch, files, rank, n_processes, **asked):
    """What one of several processes gathers of its share."""
    with monkeypatch.context() as patch:
        patch.setattr(gathered_files, "rank", lambda: rank)
        patch.setattr(gathered_files, "world_size", lambda: n_processes)
        return gather_files(files, CHOSEN, **asked)


@pytest.mark.parametrize("n_processes", [2, 3, 5000])
def test_every_row_is_in_one_share(n_processes, tmp_path):
    files = [open_embeddings(written(name, tmp_path), column="vector") for name in ("a.parquet", "a.npz", "a.feather")]
    found = [shares(files, rank, n_processes) for rank in range(n_processes)]
    ranges = [
        (number * N + share.first, number * N + share.stop) for each in found for number, share in enumerate(each[:2])
    ]
    assert sorted(row for first, stop in ranges for row in range(first, stop)) == list(range(2 * N))
    sizes = [sum(share.stop - share.first for share in each[:2]) for each in found]
    assert max(sizes) - min(sizes) <= 1
    assert [(each[2].turn, each[2].step) for each in found] == [(rank, n_processes) for rank in range(n_processes)]


@pytest.mark.parametrize("name", ["a.npy", "a.parquet", "compressed.npz", "a.feather", "a.csv", "folder", MASKED])
@pytest.mark.parametrize("interval", [False, True])
def test_shares_joined_are_what_one_process_gathers(name, interval, tmp_path, monkeypatch, small_batches):
    """With the very sample of all rows, and the very buckets."""
    path = written(name, tmp_path)
    columns = {"mask": "here"} if name == MASKED else {} if name == "a.npy" else {"sentences": "sentence"}
    columns = columns if interval or "sentences" not in columns else {}
    files = [open_embeddings(path, **columns) for _ in range(2)]
    asked = {"interval": interval, "sample_size": 100}
    whole = gather_files(files, CHOSEN, **asked)
    for n_processes in (2, 3):
        parts = [of_process(monkeypatch, files, rank, n_processes, **asked) for rank in range(n_processes)]
        assert sum(part[0].n_rows for part in parts) == whole[0].n_rows
        check_same(merge_statistics(parts), whole)


def check_same(found, expected):
    values = measure(found, NAMES)
    assert values == pytest.approx(measure(expected, NAMES), rel=1e-10)
    for own, other in zip(found, expected, strict=True):
        if isinstance(own, RowSample):
            np.testing.assert_array_equal(own.rows, other.rows)
            np.testing.assert_array_equal(own.positions, other.positions)
            assert own.state_dict()["n_drawn"] == other.state_dict()["n_drawn"]
        if isinstance(own, Buckets):
            assert [part.n_rows for part in own.parts] == [part.n_rows for part in other.parts]


def test_rows_of_weight_zero_have_no_place_in_samples_of_processes_either(tmp_path, monkeypatch, small_batches):
    weight = np.where(np.arange(N) % 3 == 0, 0.0, 1.5)
    np.savez(tmp_path / "a.npz", vector=X, mass=weight)
    files = [open_embeddings(tmp_path / "a.npz", column="vector", weight="mass")]
    chosen = [each for each in CHOSEN if each.weighted]
    monkeypatch.setitem(globals(), "CHOSEN", [*chosen, *find_measures("two_nn")])
    whole = gather_files(files, CHOSEN, sample_size=100)
    parts = [of_process(monkeypatch, files, rank, 3, sample_size=100) for rank in range(3)]
    sample, expected = (
        next(each for each in of if isinstance(each, RowSample)) for of in (merge_statistics(parts), whole)
    )
    np.testing.assert_array_equal(sample.rows, expected.rows)


def test_a_process_without_rows_adds_none(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", X[:2])
    files = [open_embeddings(tmp_path / "a.npy")]
    parts = [of_process(monkeypatch, files, rank, 3) for rank in range(3)]
    assert sorted(part[0].n_rows for part in parts) == [0, 1, 1]
    for own, other in zip(merge_statistics(parts), gather_files(files, CHOSEN), strict=True):
        check_same_state(own.state_dict(), other.state_dict())


def test_the_share_of_one_process_is_not_merged_by_hand(tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "a.npy", X)
    with monkeypatch.context() as patch:
        patch.setattr("isotropy_metrics.embedding_files.kept_statistics.KeptStatistics.finish", lambda *_: None)
        of_process(monkeypatch, [open_embeddings(tmp_path / "a.npy")], 0, 2, state=tmp_path / "state.safetensors")
    assert main(["merge", str(tmp_path / "state.0-of-2.safetensors")]) == 2
    assert "is not complete: run the command again that wrote it" in capsys.readouterr().err


def test_a_save_at_the_last_batch_is_of_all(tmp_path, monkeypatch, small_batches):
    np.save(tmp_path / "a.npy", X[: 6 * 37])
    gather_files([open_embeddings(tmp_path / "a.npy")], CHOSEN, state=tmp_path / "state.safetensors")
    _, facts = load_statistics(tmp_path / "state.safetensors")
    assert facts["done"] == {"n_files": 1, "n_batches": 0, "n_rows_of_file": 0, "n_rows": 6 * 37}


# Processes


def work(rank, folder):
    import warnings

    warnings.simplefilter("ignore", RuntimeWarning)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    folder = Path(folder)
    values = {}
    for name in ("a.npy", "a.parquet", "a.csv", "one row.npy"):
        values[name] = measure_files([folder / name], ["isoscore"] if "one" in name else NAMES, sample_size=100)
    state = folder / "state.safetensors"
    values["state"] = measure_files([folder / "a.npy"], NAMES, state=state, interval=0.9, sample_size=100)
    values["again"] = measure_files([folder / "a.npy"], NAMES, state=state, interval=0.9, sample_size=100)
    errors = []
    for files, asked in (
        ([folder / "a.npy", folder / "last is nan.npy"], {}),
        ([folder / "a.npy", folder / f"only there is {rank}.npy"], {}),
        ([folder / "a.npy"], {"measures": ["self_similarity"]}),
        ([folder / "a.npy"], {"state": state}),
    ):
        try:
            measure_files(files, **{"measures": NAMES, **asked})
        except (ValueError, OSError) as error:
            errors.append(f"{type(error).__name__}: {error}")
    (folder / f"{rank}.json").write_text(json.dumps([values, errors]))
    torch.distributed.destroy_process_group()


def test_connected_processes_return_and_raise_the_same(tmp_path):
    """A NaN in the share of the last process, a file that the second one lacks."""
    for name in ("a.npy", "a.parquet", "a.csv"):
        written(name, tmp_path)
    np.save(tmp_path / "one row.npy", X[:2])
    bad = X.copy()
    bad[-3, 2] = np.nan
    np.save(tmp_path / "last is nan.npy", bad)
    np.save(tmp_path / "only there is 0.npy", X)
    torch.multiprocessing.spawn(work, args=(str(tmp_path),), nprocs=2)
    (values, errors), second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2))
    assert second == [values, errors]
    for name in ("a.npy", "a.parquet", "a.csv"):
        expected = measure_files([tmp_path / name], NAMES, sample_size=100)
        assert values[name] == pytest.approx(expected, rel=1e-10)
    one = measure_files(
        [tmp_path / "a.npy"], NAMES, sample_size=100, interval=0.9, state=tmp_path / "of one.safetensors"
    )
    assert values["state"] == values["again"] == pytest.approx(one, rel=1e-9)
    nan, lacking, unmeasurable, other = errors
    assert nan.startswith("ValueError: ") and f"last is nan.npy: row {N - 3} " in nan
    assert lacking.startswith("FileNotFoundError: there is no file ") and "only there is 1.npy" in lacking
    assert unmeasurable.startswith("ValueError: self_similarity needs words")
    assert "is a state of other interval" in other
    assert sorted(path.name for path in tmp_path.glob("*.safetensors")) == ["of one.safetensors", "state.safetensors"]
    (kept, facts), (of_one, facts_of_one) = (
        load_statistics(path) for path in sorted(tmp_path.glob("*.safetensors"))[::-1]
    )
    assert facts == facts_of_one
    for own, other in zip(kept, of_one, strict=True):
        check_same_state(own.state_dict(), other.state_dict())


def check_same_state(found, expected):
    """Equal up to rounding, so that a merge and later rows find the same."""
    assert type(found) is type(expected)
    if isinstance(found, dict):
        assert found.keys() == expected.keys()
        for key in found:
            check_same_state(found[key], expected[key])
    elif isinstance(found, list):
        for pair in zip(found, expected, strict=True):
            check_same_state(*pair)
    elif isinstance(found, np.ndarray | float):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    else:
        assert found == expected


# The command


SCRIPT = """
import os, sys
from isotropy_metrics.embedding_files import embedding_file, gathered_files
embedding_file.BATCH_VALUES = gathered_files.SAVE_VALUES = 2**20
from isotropy_metrics.cli import main
sys.exit(main(sys.argv[1:]))
"""


def started(folder, n_processes, *arguments, launcher="torchrun"):
    """The command under a launcher, in a session of its own."""
    if launcher == "accelerate":  # its --cpu starts one process, whatever --num_processes says
        options = [
            "--multi_gpu",
            "--num_processes",
            str(n_processes),
            "--num_machines",
            "1",
            "--mixed_precision",
            "no",
        ]
        command = ["-m", "accelerate.commands.launch", *options, "--dynamo_backend", "no", "--main_process_port", "0"]
    else:
        command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(n_processes)]
    script = folder / "script.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    command = [sys.executable, *command, str(script), *map(str, arguments)]
    return subprocess.Popen(command, cwd=folder, env=environment, start_new_session=True, **pipes)


def ended(process, seconds=120):
    """Exit status, output and errors."""
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        kill(process)
        pytest.fail("it hangs")
    return process.returncode, output, errors


def children(pid):
    """Process ids of the launched processes, which are no part of the launcher's process group."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in path.read_text().split()] if path.exists() else []


def kill(process):
    """SIGKILL for the launcher and all that it started."""
    for pid in [process.pid, *children(process.pid)]:
        os.kill(pid, signal.SIGKILL)
    process.communicate()


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["torchrun", "accelerate"])
def test_the_command_prints_once_what_one_process_prints(launcher, tmp_path):
    for number, rows in enumerate(np.split(X, [300])):
        np.save(tmp_path / f"{number}.npy", rows)
    asked = ["measure", "0.npy", "1.npy", "--together", "--measures", ",".join(NAMES), "--interval", "0.9", "--json"]
    status, output, errors = ended(started(tmp_path, 2, *asked, launcher=launcher))
    assert status == 0, errors
    one = measure_files([tmp_path / "0.npy", tmp_path / "1.npy"], NAMES, interval=0.9)
    assert json.loads(output) == pytest.approx(one, rel=1e-9)
    assert errors.count("isotropy-metrics: warning: ") == len(
        {line for line in errors.splitlines() if "warning: " in line}
    )
    status, output, errors = ended(
        started(tmp_path, 2, "measure", "0.npy", "0.npy", "--measures", "linear_cka", "--json")
    )
    assert json.loads(output)["linear_cka"] == pytest.approx(1)


@pytest.mark.slow
def test_an_error_of_one_process_is_one_sentence(tmp_path):
    bad = X.copy()
    bad[-1, 0] = np.inf
    np.save(tmp_path / "bad.npy", bad)
    status, output, errors = ended(started(tmp_path, 2, "measure", "bad.npy", "--measures", "isoscore"))
    assert status != 0 and output == ""
    (sentence,) = [line for line in errors.splitlines() if line.startswith("isotropy-metrics:")]
    assert f"bad.npy: row {N - 1} " in sentence
    assert "exitcode  : 2" in errors


@pytest.mark.slow
def test_killed_processes_go_on_to_the_same_values(tmp_path):
    rows = np.random.default_rng(0).normal(size=(400_000, 64)).astype(np.float32)
    np.save(tmp_path / "rows.npy", rows)

    def asked(state):
        names = ["isoscore", "uniformity", "average_cosine_similarity"]
        return ["measure", "rows.npy", "--state", state, "--stream", "0", "--measures", ",".join(names), "--json"]

    status, whole, errors = ended(started(tmp_path, 2, *asked("whole.safetensors")))
    assert status == 0, errors
    n_killed = 0
    for attempt in range(10):
        process = started(tmp_path, 2, *asked("state.safetensors"))
        while process.poll() is None and len(list(tmp_path.glob("state.*-of-2.safetensors"))) < 2:
            time.sleep(0.01)
        time.sleep(0.05 * attempt)
        if process.poll() is not None:
            break
        kill(process)
        n_killed += 1
        if n_killed == 2:
            break
    assert n_killed >= 1
    if not (tmp_path / "state.safetensors").exists():
        status, _, errors = ended(started(tmp_path, 3, *asked("state.safetensors")))
        assert status != 0 and "was begun by 2 processes: start as many, or delete" in errors
    status, again, errors = ended(started(tmp_path, 2, *asked("state.safetensors")))
    assert status == 0, errors
    assert json.loads(again) == json.loads(whole)
    left = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert left == {"rows.npy", "script.py", "whole.safetensors", "state.safetensors"}
    one = measure_files([tmp_path / "rows.npy"], ["isoscore", "uniformity", "average_cosine_similarity"])
    assert json.loads(again) == pytest.approx(one, rel=1e-6)


def test_what_other_numbers_of_processes_began_is_not_gone_on_with(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", X)
    files, state = [open_embeddings(tmp_path / "a.npy")], tmp_path / "state.safetensors"
    monkeypatch.setattr("isotropy_metrics.embedding_files.kept_statistics.KeptStatistics.finish", lambda *_: None)
    of_process(monkeypatch, files, 1, 2, state=state)
    assert [path.name for path in tmp_path.glob("*.safetensors")] == ["state.1-of-2.safetensors"]
    for n_processes in (1, 3):
        with pytest.raises(ValueError, match=r"was begun by 2 processes: start as many, or delete .*1-of-2"):
            of_process(monkeypatch, files, 0, n_processes, state=state)
    (tmp_path / "state.1-of-2.safetensors").unlink()

    def stops(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(gathered_files, "SAVE_VALUES", 100)
    monkeypatch.setattr("isotropy_metrics.embedding_files.embedding_file.BATCH_VALUES", 37 * D)
    seen = []
    with monkeypatch.context() as patch:
        update = gathered_files.update_statistics
        patch.setattr(
            gathered_files,
            "update_statistics",
            lambda *a, **k: stops() if len(seen) > 2 else (seen.append(1), update(*a, **k)),
        )
        with pytest.raises(KeyboardInterrupt):
            gather_files(files, CHOSEN, state=state)
    with pytest.raises(ValueError, match="was begun by one process: go on with one, or delete it"):
        of_process(monkeypatch, files, 0, 2, state=state)


def test_processes_that_were_given_different_files_are_refused(tmp_path, monkeypatch):
    np.save(tmp_path / "a.npy", X)
    monkeypatch.setattr(gathered_files, "of_all", lambda compute: [compute(), [("b.npy", N, D)]])
    with pytest.raises(ValueError, match="the processes have different files"):
        measure_files([tmp_path / "a.npy"], "isoscore")


def test_half_of_what_a_launcher_tells_is_a_sentence(tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "a.npy", X)
    for name, value in {"RANK": "0", "WORLD_SIZE": "2", "MASTER_PORT": "1234"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    assert main(["measure", str(tmp_path / "a.npy")]) == 2
    assert "MASTER_ADDR not where they meet: start them with torchrun" in capsys.readouterr().err
