"""Trainings on several processes, started as users start them, and the same training on one."""

import math
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from launched import regularized_training, watched_training
from launched.process_results import LONGEST_LIFE, read_results

from trainer_callbacks.baseline import FILE_NAME

TESTS = Path(__file__).parent
OF_THE_TRAINER = {"loss", "grad_norm", "eval_loss", "train_loss", "total_flos"}
"""What transformers computes by batches or per process, so that one process has other values than two."""

WATCHED = ["token_rows", "pooled_rows", "trained", "bits", "failing", "failing_main"]
REGULARIZED = ["few_terms", "references"]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:.*rows.*Compare values of equal n only:RuntimeWarning"),
    pytest.mark.filterwarnings("ignore:.*is NaN:RuntimeWarning"),
]


def launcher(n_processes):
    """The command that starts so many processes of a script on the CPU.

    With `--cpu` accelerate 1.15 starts one process whatever --num_processes says; --multi_gpu is its launcher over
    torch.distributed.run, and `use_cpu` of the arguments then takes gloo.
    """
    kind = ["--cpu"] if n_processes == 1 else ["--multi_gpu", "--main_process_port", "0"]
    options = ["--num_processes", str(n_processes), "--num_machines", "1", "--mixed_precision", "no"]
    return [sys.executable, "-m", "accelerate.commands.launch", *kind, *options, "--dynamo_backend", "no"]


def started(command, folder, trainings, **variables):
    """A process of these trainings, or the launcher of several."""
    folder.mkdir(exist_ok=True)
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)]),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        **variables,
    }
    command = [*command, str(TESTS / "launched" / "run_trainings.py"), str(folder), *trainings]
    return subprocess.Popen(
        command, env=environment, cwd=folder, text=True, stderr=subprocess.PIPE, start_new_session=True
    )


def ended(process, seconds=LONGEST_LIFE):
    """Exit status and stderr; what still runs then is ended, and the test fails."""
    try:
        _, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.terminate()  # a launcher ends its processes, which are no part of its process group
        try:
            _, errors = process.communicate(timeout=40)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            _, errors = process.communicate()
        pytest.fail(f"it hangs, and was ended after {seconds} s:\n{errors[-4000:]}")
    return process.returncode, errors


def launched(folder, trainings, n_processes=2, **variables):
    """What every process leaves behind of these trainings, by rank."""
    status, errors = ended(started(launcher(n_processes), folder, trainings, **variables))
    assert status == 0, errors[-4000:]
    return read_results(folder, n_processes)


def same(found, expected, tolerance):
    """Equal to a tolerance, absolute or relative; with tolerance 0 to the bit."""
    if math.isnan(expected):
        return math.isnan(found)
    return abs(found - expected) <= tolerance * max(1.0, abs(expected))


def differences(found, expected, tolerance):
    """The places where two runs differ in the values of this package, in what is logged and what is returned."""
    entries = [*zip(found["history"], expected["history"], strict=True), (found["evaluated"], expected["evaluated"])]
    return [difference for pair in entries for difference in differences_of(*pair, tolerance)]


def differences_of(entry, other, tolerance):
    """The places where two entries of a log differ in the values of this package."""
    assert entry.keys() == other.keys()
    keys = [key for key in entry if key not in OF_THE_TRAINER and "runtime" not in key and "per_second" not in key]
    return [
        (entry.get("step"), key, entry[key], other[key]) for key in keys if not same(entry[key], other[key], tolerance)
    ]


def measured(results):
    """The logged entries of a callback."""
    return [entry for entry in results["history"] if any(key.endswith("isoscore") for key in entry)]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """Folder and results of two processes of accelerate."""
    folder = tmp_path_factory.mktemp("two")
    trainings = [f"watched_training.{name}" for name in WATCHED]
    trainings += [f"regularized_training.{name}" for name in REGULARIZED]
    return folder, launched(folder, trainings)


@pytest.mark.parametrize("name", ["token_rows", "pooled_rows", "trained", "failing", "failing_main"])
def test_every_process_logs_and_returns_the_same_to_the_bit(two, name):
    _, (first, second) = two
    assert differences(first[name], second[name], 0) == []
    losses = [[entry["loss"] for entry in each[name]["history"] if "loss" in entry] for each in (first, second)]
    assert losses[0] == losses[1] != []


@pytest.mark.parametrize(("name", "tolerance"), [("token_rows", 1e-6), ("pooled_rows", 1e-6), ("trained", 1e-5)])
def test_two_processes_measure_what_one_does(two, name, tolerance, tmp_path):
    """Probes with an uneven last batch and of fewer batches than processes; with samples, classes, words, alarms."""
    _, (first, _) = two
    one = getattr(watched_training, name)(tmp_path / name)
    assert differences(first[name], one, tolerance) == []
    assert first[name]["steps"] == one["steps"] == 6
    entries = measured(one)
    if name == "trained":
        assert [entry["step"] for entry in entries] == [0, 2, 4, 6]
        assert entries[-1]["eval_linear_cka_to_baseline"] < 0.999
        return
    assert [entry["step"] for entry in entries] == [0, 2, 3, 4, 6]
    assert entries[-1]["eval_isotropy_alarm"] > entries[1]["eval_isotropy_alarm"]
    assert entries[2]["eval_own_layer_1/linear_cka_to_baseline"] < 0.99
    for key in ("two_nn", "uniformity", "silhouette", "effective_rank"):
        assert math.isfinite(entries[0][f"eval_own_layer_1/{key}"])
        assert entries[0][f"eval_own_{key}"] != entries[-1][f"eval_own_{key}"]


def test_one_process_goes_on_with_what_two_began(two):
    """The drift is from the space before training that two processes wrote."""
    folder, (first, _) = two
    assert list((folder / "token_rows").glob(FILE_NAME.format("*")))
    resumed = watched_training.resumed(folder / "resumed")
    (whole,) = [entry for entry in measured(first["token_rows"]) if entry["step"] > 4]
    (again,) = [entry for entry in measured(resumed) if entry["step"] > 4]
    assert differences_of(again, whole, 1e-6) == []
    assert whole["eval_own_linear_cka_to_baseline"] < 0.99


def test_training_is_the_same_to_the_bit_on_every_process(two):
    _, results = two
    for of_process in results:
        plain, watched = of_process["bits"]["plain"], of_process["bits"]["watched"]
        assert torch.equal(plain["weights"], watched["weights"])
        assert plain["losses"] == watched["losses"] and len(plain["losses"]) == 6
        assert torch.equal(plain["generator"], watched["generator"])
    assert torch.equal(results[0]["bits"]["watched"]["weights"], results[1]["bits"]["watched"]["weights"])


def test_a_failure_on_one_process_is_a_warning_on_all_and_training_goes_on(two):
    _, results = two
    words = [[text for text in of_process["failing"]["said"] if "goes on" in text] for of_process in results]
    said = "IsotropyCallback could not measure at step 4, training goes on: "
    assert words == [[said + "MemoryError: no memory for the probe"]] * 2
    for of_process in results:
        failing = of_process["failing"]
        assert failing["steps"] == 6
        assert [entry["step"] for entry in measured(failing)] == [0, 2, 6]
        assert math.isfinite(failing["evaluated"]["eval_isoscore"])
        isoscores = {metrics["step"]: metrics["eval_isoscore"] for metrics in failing["metrics"]}
        assert math.isnan(isoscores[4]) and math.isfinite(isoscores[2]) and math.isfinite(isoscores[6])


def test_what_the_main_process_cannot_write_or_report_keeps_no_process_from_going_on(two):
    """An alarm that ends the training ends it on all processes, though the main one has no place for its file."""
    _, results = two
    for of_process in results:
        assert of_process["failing_main"]["steps"] == 4
        assert [entry["step"] for entry in measured(of_process["failing_main"])] == [0, 2, 4]
    said = [text for text in results[0]["failing_main"]["said"] if "rows" not in text]
    assert ["no space left on device" in text for text in said] == [True, False, True]
    assert "could not report the values of step 2, training goes on: ConnectionError" in said[1]


def check_terms(found, one):
    """The effect of a term on a step, its value and the task's loss are those of one process, on every process."""
    for key, expected in one.items():
        largest = expected["effect"].abs().max()
        assert largest > 1e-3, key
        for of_process in found:
            effect = of_process[key]
            assert (effect["effect"] - expected["effect"]).abs().max() < 1e-5 * largest, key
            for name in expected["log"].keys() - {"grad_norm"}:
                assert same(effect["log"][name], expected["log"][name], 1e-5), (key, name)
            assert torch.equal(effect["weights"], found[0][key]["weights"])
            assert effect["log"] == found[0][key]["log"]
        log, term = expected["log"], key.split(",")[0].removesuffix("_ema")
        assert log["loss"] == pytest.approx(log["task_loss"] + regularized_training.WEIGHT * log[term], rel=1e-5)


def test_a_term_has_the_gradient_of_the_joined_batch(two, tmp_path):
    """With average_tokens_across_devices on and off, and with one and two micro-batches."""
    _, results = two
    check_terms([of_process["few_terms"] for of_process in results], regularized_training.few_terms(tmp_path))


def test_the_reference_of_i_star_is_of_all_processes(two, tmp_path):
    _, results = two
    first, second = (of_process["references"] for of_process in results)
    one = regularized_training.references(tmp_path)
    assert len(one["c0"]) == 4 and not torch.equal(one["c0"][1], one["c0"][2])
    for c0, of_first, of_second in zip(one["c0"], first["c0"], second["c0"], strict=True):
        assert torch.equal(of_first, of_second)
        torch.testing.assert_close(of_first, c0, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(first["weights"], one["weights"], rtol=1e-5, atol=1e-6)
    assert torch.equal(first["weights"], second["weights"])


def test_killing_a_process_ends_the_others_with_an_error(tmp_path):
    """Killed in the midst of a reading, while the other waits for its statistics."""
    process = started(launcher(2), tmp_path, ["watched_training.killed"])
    status, errors = ended(process, 90)
    assert status != 0
    assert "Signal 9 (SIGKILL)" in errors
    assert not list(tmp_path.glob("results-*"))


def test_without_a_launcher_the_others_end_by_themselves(tmp_path):
    """No launcher that would end them: they hear that a process is gone."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    shared = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": port}
    processes = [
        started([sys.executable], tmp_path, ["watched_training.killed"], RANK=rank, LOCAL_RANK=rank, **shared)
        for rank in ("0", "1")
    ]
    status, _ = ended(processes[1], 90)
    killed_at = time.monotonic()
    assert status == -signal.SIGKILL
    status, errors = ended(processes[0], 60)
    assert time.monotonic() - killed_at < 60
    assert status > 0 and "Error" in errors
    assert not list(tmp_path.glob("results-*"))


def test_a_late_process_is_waited_for(tmp_path):
    """30 s before the callbacks of an evaluation, and 30 s in a reading."""
    began = time.monotonic()
    found = launched(tmp_path / "two", ["watched_training.late"], LATE_SECONDS="30")
    assert time.monotonic() - began > 60
    one = watched_training.late(tmp_path / "one")
    for of_process in found:
        assert differences(of_process["late"], one, 1e-6) == []
        assert [entry["step"] for entry in measured(of_process["late"])] == [0, 2, 4, 6]


def test_three_processes_and_one_of_a_launcher(tmp_path):
    names = ["token_rows", "pooled_rows"]
    trainings = [f"watched_training.{name}" for name in names]
    (one,) = launched(tmp_path / "one", trainings, n_processes=1)
    three = launched(tmp_path / "three", trainings, n_processes=3)
    for name in names:
        assert all(differences(of_process[name], one[name], 1e-6) == [] for of_process in three)
        assert all(differences(of_process[name], three[0][name], 0) == [] for of_process in three)


def test_two_processes_resume_what_two_began(two):
    """New processes, which know of the beginning only what the checkpoint and the baseline's file say."""
    folder, (first, _) = two
    again = launched(folder, ["watched_training.resumed"])
    whole = measured(first["token_rows"])
    for of_process in again:
        entries = measured(of_process["resumed"])
        assert [entry["step"] for entry in entries] == [0, 2, 3, 4, 6]
        assert [differences_of(*pair, 0) for pair in zip(entries, whole, strict=True)] == [[]] * 5


def test_every_term_in_every_way(tmp_path):
    results = launched(tmp_path / "two", ["regularized_training.all_terms"])
    check_terms([of_process["all_terms"] for of_process in results], regularized_training.all_terms(tmp_path / "one"))


def test_sharded_weights_are_read_and_trained_as_if_nobody_looked(tmp_path):
    """FSDP 1 and 2 of torch, and I-STAR under them as under DDP; accelerate shards nothing on a CPU."""
    for of_process in launched(tmp_path, ["sharded_training.sharded"]):
        results = of_process["sharded"]
        for kind in ("fsdp1", "fsdp2"):
            values = results[kind]["watched"]["values"]
            assert results[kind]["plain"]["losses"] == results[kind]["watched"]["losses"]
            assert values[0] == pytest.approx(results["whole"], rel=1e-6)
            assert 0.5 < values[-1]["linear_cka_to_baseline"] < 0.99
            found, expected = results[kind]["regularized"], results["replicated"]
            torch.testing.assert_close(found["c0"], expected["c0"], rtol=1e-6, atol=1e-7)
            assert found["losses"] == pytest.approx(expected["losses"], rel=1e-6)
        assert values == [pytest.approx(each, rel=1e-6) for each in results["fsdp1"]["watched"]["values"]]
