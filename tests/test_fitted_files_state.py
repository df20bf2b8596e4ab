"""Fits of files that keep their statistics: cut short anywhere they go on to the same bits, and to nothing else."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest

from isotropy_metrics.cli import main
from isotropy_metrics.cli.enhancement_steps import enhancement_of, methods
from isotropy_metrics.embedding_files import enhanced_file, kept_passes, open_embeddings
from isotropy_metrics.embedding_files.fitted_files import fit_files
from isotropy_metrics.enhancement import Centering, Whitening, from_pretrained
from isotropy_metrics.statistics_file import load_statistics

N, D = 5000, 8
X = (np.random.default_rng(0).normal(size=(N, D)) * np.arange(1, D + 1) + 5).astype(np.float32)
WEIGHT = np.where(np.arange(N) % 900 < 300, 0, 1 + np.arange(N) / N)  # whole blocks weigh nothing

METHODS = {name: [name] for name in methods() if name != "normalize"}
METHODS |= {"pipeline": ["normalize", "centering", "cluster_based", "normalize", "whitening"]}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    monkeypatch.setattr(kept_passes, "block_rows_of", lambda n_features: 300)
    monkeypatch.setattr(kept_passes, "SAVE_VALUES", D * 700)


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"part {i}.npz" for i in range(2)]
    for path, part in zip(paths, (slice(0, 1900), slice(1900, N)), strict=True):
        np.savez(path, x=X[part], mass=WEIGHT[part])
    return [open_embeddings(path, column="x") for path in paths]


def weighted(files):
    return [open_embeddings(file.path, column="x", weight="mass") for file in files]


def fitted(names, files, **named):
    enhancement = enhancement_of(names, [])
    fit_files(enhancement, files, **named)
    return enhancement


def interrupted_fit(monkeypatch, n_blocks, names, files, **named):
    """Begin a fit that is cut short when so many blocks have been read."""
    seen = itertools.count()
    read = kept_passes.as_rows

    def counting(*arguments, **more):
        if next(seen) == n_blocks:
            raise KeyboardInterrupt
        return read(*arguments, **more)

    with monkeypatch.context() as patch:
        patch.setattr(kept_passes, "as_rows", counting)
        with pytest.raises(KeyboardInterrupt):
            fitted(names, files, **named)


def no_block(monkeypatch):
    monkeypatch.setattr(kept_passes, "as_rows", None)


def assert_same_bits(first, second):
    for one, other in zip(enhanced_file.steps_of(first), enhanced_file.steps_of(second), strict=True):
        assert vars(one).keys() == vars(other).keys()
        for name, value in vars(one).items():
            np.testing.assert_array_equal(value, vars(other)[name], strict=isinstance(value, np.ndarray))


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("n_blocks", [2, 11])
def test_a_fit_that_was_cut_short_goes_on_to_the_same_bits(name, n_blocks, files, tmp_path, monkeypatch):
    names, state = METHODS[name], tmp_path / "state.safetensors"
    whole = fitted(names, files, state=tmp_path / "whole.safetensors")
    interrupted_fit(monkeypatch, n_blocks, names, files, state=state)
    assert state.exists() == (n_blocks > 2)
    assert_same_bits(fitted(names, files, state=state), whole)
    np.testing.assert_allclose(whole.transform(X), enhancement_of(names, []).fit(X).transform(X), atol=1e-4)
    no_block(monkeypatch)
    assert_same_bits(fitted(names, files, state=state), whole)


@pytest.mark.parametrize("n_blocks", [19, 37, 52])
def test_a_pipeline_goes_on_in_the_step_that_was_at_work(n_blocks, files, tmp_path, monkeypatch):
    names, state, files = METHODS["pipeline"], tmp_path / "state.safetensors", weighted(files)
    whole = fitted(names, files, state=tmp_path / "whole.safetensors")
    n_all = sum(1 for file in files for _ in file.batches(300))
    interrupted_fit(monkeypatch, n_blocks, names, files, state=state)
    kept, facts = load_statistics(state)
    assert len(kept) in (n_blocks // n_all, n_blocks // n_all + 1)
    read, n_read = kept_passes.as_rows, []
    monkeypatch.setattr(kept_passes, "as_rows", lambda *a, **k: n_read.append(1) or read(*a, **k))
    assert_same_bits(fitted(names, files, state=state), whole)
    assert len(n_read) <= 3 * n_all - n_blocks + 4  # what was kept is not read again


@pytest.mark.parametrize("of", [list, weighted])
def test_a_sample_goes_on_too(of, files, tmp_path, monkeypatch):
    names, state, files = ["centering", "whitening"], tmp_path / "state.safetensors", of(files)
    asked = {"n_rows": 1200, "seed": 3}
    whole = fitted(names, files, **asked)
    interrupted_fit(monkeypatch, 11, names, files, **asked, state=state)
    assert_same_bits(fitted(names, files, **asked, state=state), whole)


def test_a_state_changes_nothing_but_the_last_bits(files, tmp_path):
    with_state, without = (fitted(["whitening"], files, **more) for more in ({"state": tmp_path / "s"}, {}))
    np.testing.assert_allclose(with_state.transform(X), without.transform(X), atol=1e-5)
    assert without.n_samples_seen_ == with_state.n_samples_seen_ == N


def test_a_state_of_something_else_is_refused(files, tmp_path, monkeypatch):
    state = tmp_path / "state.safetensors"
    asked = {"files": files, "n_rows": 2000, "seed": 1, "state": state}
    fit_files(Whitening(), **asked)
    no_block(monkeypatch)
    for what, (enhancement, changed) in {
        "files": (Whitening(), {"files": files[:1]}),
        "columns": (Whitening(), {"files": weighted(files)}),
        "methods": (Centering(), {}),
        "parameters": (Whitening(eps=0.1), {}),
        "n_rows": (Whitening(), {"n_rows": 2001}),
        "seed": (Whitening(), {"seed": 2}),
    }.items():
        with pytest.raises(ValueError, match=rf"state\.safetensors is a state of other {what}: choose another file"):
            fit_files(enhancement, **asked | changed)
    np.savez(files[0].path, x=X[:1900] + 1, mass=WEIGHT[:1900])
    with pytest.raises(ValueError, match="is a state of other files"):
        fit_files(Whitening(), **asked)


def test_states_of_measures_and_of_fits_are_not_mixed_up(files, tmp_path, capsys):
    state, path = tmp_path / "state.safetensors", str(files[0].path)
    fit = ["enhance", "fit", path, "--column", "x", "--method", "centering", "--output", str(tmp_path / "out")]
    assert main([*fit, "--state", str(state)]) == 0
    capsys.readouterr()
    assert main(["measure", path, "--column", "x", "--measures", "isoscore", "--state", str(state)]) == 2
    assert "is a state of other measures" in capsys.readouterr().err
    assert main(["merge", str(state)]) == 2
    assert "`measure --state` writes such" in capsys.readouterr().err


def test_rows_are_read_in_a_thread_of_their_own_that_ends_with_the_fit(files):
    threads, n_threads = set(), threading.active_count()

    def read(batch_rows, first_row):
        for batch in files[0].read(batch_rows, first_row):
            threads.add(threading.current_thread().name)
            yield batch
        raise ValueError("the file ends with an error")

    with pytest.raises(ValueError, match="ends with an error"):
        fitted(["centering"], [replace(files[0], read=read)])
    assert threads == {"prefetched"} and threading.active_count() == n_threads


def test_fits_of_parts_are_joined_by_their_states(files, tmp_path):
    """Map and reduce by hand."""
    for number, file in enumerate(files):
        fitted(["whitening"], [file], state=tmp_path / f"{number}.safetensors")
    (first,), _ = load_statistics(tmp_path / "0.safetensors")
    (second,), _ = load_statistics(tmp_path / "1.safetensors")
    joint = Whitening().fit(first.merge(second))
    assert joint.n_samples_seen_ == N
    np.testing.assert_allclose(joint.transform(X), Whitening().fit(X).transform(X), atol=1e-5)


@pytest.mark.slow
def test_a_fit_that_was_killed_goes_on_to_the_same_folder(tmp_path):
    rows = np.random.default_rng(0).normal(size=(300_000, 64)).astype(np.float32) + 1
    np.save(tmp_path / "rows.npy", rows)
    script = (
        "import sys\n"
        "from isotropy_metrics.embedding_files import kept_passes\n"
        "kept_passes.SAVE_VALUES = 2**20\n"
        "from isotropy_metrics.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )

    def command(name):
        asked = ["enhance", "fit", "rows.npy", "--method", "all_but_the_top,cluster_based,whitening", "--quiet"]
        return [sys.executable, "-c", script, *asked, "--state", f"{name}.safetensors", "--output", name]

    subprocess.run(command("whole"), cwd=tmp_path, capture_output=True, check=True)
    state = tmp_path / "state.safetensors"
    for attempt in range(4):
        before = state.stat().st_mtime_ns if state.exists() else None
        running = subprocess.Popen(command("state"), cwd=tmp_path, stdout=subprocess.DEVNULL)
        while running.poll() is None and not (state.exists() and state.stat().st_mtime_ns != before):
            time.sleep(0.01)
        time.sleep(0.1 * attempt)
        running.send_signal(signal.SIGKILL)
        assert running.wait() == -signal.SIGKILL
    assert not (tmp_path / "state").exists()
    subprocess.run(command("state"), cwd=tmp_path, capture_output=True, check=True)
    assert_same_bits(*(from_pretrained(tmp_path / name) for name in ("whole", "state")))
