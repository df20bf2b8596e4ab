"""The benchmarks: contests are fair and tell the truth, and every task names its floor and its peers."""

from __future__ import annotations

import dataclasses
import json
import math
import pickle
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from benchmarks import contest, gpu
from benchmarks.__main__ import all_tasks, main
from benchmarks.contest import Agreement, Contestant, Outcome, Size, Target, Task, Timed, expected_seconds, growth
from benchmarks.results import JSON, MARKDOWN, markdown, write

ROOT = Path(__file__).parents[1]
SMALL, LARGE = Size(10, 2), Size(20, 2)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(contest, "PAUSE", 0.0)


def prepared(size: Size) -> Size:
    return size


def sleeping(size: Size) -> None:
    time.sleep(size.rows / 10000)


def sleeping_twice(size: Size) -> None:
    time.sleep(size.rows / 5000)


def not_installed(size: Size) -> None:
    import no_such_package  # noqa: F401


def task_of(*, agreements=lambda given: iter(()), peers=(), **changes) -> Task:
    """A task of sleepers; the peer takes twice the time of the floor."""
    facts = {
        "name": "sleep",
        "title": "Sleeping",
        "prepare": prepared,
        "floor": Contestant("short", sleeping),
        "ours": (Contestant("as short", sleeping),),
        "peers": (Contestant("twice", sleeping_twice), *peers),
        "sizes": (SMALL, LARGE),
        "main": LARGE,
        "quick_sizes": (SMALL, LARGE),
        "small": Size(1, 1),
        "agreements": agreements,
    }
    return Task(**(facts | changes))


def outcome_of(size: Size, **seconds: float) -> Outcome:
    return Outcome(size, [Timed(name, "ours", [value] * 3, [value] * 3) for name, value in seconds.items()], {})


def document_of(record: dict, machine: str = "this") -> dict:
    facts = {"processor": machine, "cores": 2, "memory_gib": 24, "system": "Linux", "threads": "", "gpu": "none"}
    return {"machine": facts, "versions": {"numpy": np.__version__}, "quick": True, "tasks": {"sleep": record}}


def test_the_ratio_is_that_of_the_sleep_and_memory_is_measured():
    targets = tuple(
        Target(f"limit {limit}", LARGE, lambda outcome: outcome.ratio("twice"), limit) for limit in (1.3, 3.0)
    )
    record = task_of(targets=targets).run(quick=True, tell=lambda text: None)
    floor, ours, peer = record["sizes"][-1]["contestants"]
    assert floor["ratio"] == floor["ratio_min"] == floor["ratio_max"] == 1
    assert 1.5 < peer["ratio"] < 2.5 and peer["role"] == "peer"
    assert len(peer["wall"]) == contest.ROUNDS[1]
    assert peer["processor_ratio"] == pytest.approx(np.median(np.divide(peer["processor"], floor["processor"])))
    assert 0 <= ours["extra_megabytes"] < 50 and peer["extra_megabytes"] is None
    assert [(target["figure"] == peer["ratio"], target["held"]) for target in record["targets"]] == [
        (True, False),
        (True, True),
    ]


def test_who_cannot_be_imported_or_is_too_slow_is_left_out_by_name(monkeypatch):
    monkeypatch.setattr(contest, "MOST_SECONDS", 0.02)
    monkeypatch.setattr(contest.Task, "_measure_memory", lambda *of_size: None)
    peers = (Contestant("absent", not_installed), Contestant("slow", lambda size: time.sleep(0.03)))
    sizes = (SMALL, Size(1000, 2))
    task = task_of(peers=peers, sizes=sizes, main=SMALL)
    small, large = task.run(quick=True, tell=lambda text: None)["sizes"]
    assert small["left_out"]["absent"] == "No module named 'no_such_package'"
    assert small["left_out"]["slow"].startswith("0.03") and small["left_out"]["slow"].endswith(" s a call")
    assert large["left_out"]["absent"] == large["left_out"]["slow"] == f"left out at {SMALL} already"
    assert [each["name"] for each in small["contestants"]] == ["short", "as short", "twice"]
    slow = task.run(tell=lambda text: None)["sizes"][-1]
    assert [each["name"] for each in slow["contestants"]] == ["short", "as short"]
    assert slow["left_out"]["twice"].endswith(" s a call by the sizes before")


def test_seconds_are_foretold_by_the_power_law():
    earlier = [outcome_of(Size(10, 8), a=1.0), outcome_of(Size(20, 8), a=4.0), outcome_of(Size(20, 4), a=3.0)]
    assert expected_seconds("a", Size(40, 8), earlier) == pytest.approx(16.0)
    assert expected_seconds("a", Size(20, 16), earlier) == pytest.approx(8.0)  # in proportion at the least
    assert expected_seconds("a", Size(30, 3), earlier) == 0.0
    steep = [outcome_of(Size(10, 8), a=0.1), outcome_of(Size(20, 8), a=100.0)]
    assert expected_seconds("a", Size(40, 8), steep) == pytest.approx(800.0)  # as the cube at the most
    assert growth([(10, 1.0), (100, 1000.0)]) == pytest.approx(3.0) and math.isnan(growth([(10, 1.0)]))


def test_sizes_that_differ_in_kind_alone_are_one_point_of_the_power_law():
    other_kind = outcome_of(Size(20, 8, "offset"), a=9.0)
    earlier = [outcome_of(Size(10, 8), a=1.0), outcome_of(Size(20, 8), a=4.0), other_kind]
    assert expected_seconds("a", Size(40, 8), earlier) == pytest.approx(16.0)
    assert expected_seconds("a", Size(20, 16), earlier) == pytest.approx(8.0)
    assert expected_seconds("a", Size(20, 16, "offset"), earlier) == pytest.approx(18.0)


def test_who_takes_long_is_in_the_first_rounds_and_ours_stay_at_the_main_size(monkeypatch):
    monkeypatch.setattr(contest, "MOST_SECONDS", 0.02)
    monkeypatch.setattr(contest, "SECONDS_EACH", 0.01)
    monkeypatch.setattr(contest.Task, "_measure_memory", lambda *of_size: None)
    slow = Contestant("slow", lambda size: time.sleep(0.03))
    task = task_of(ours=(Contestant("as short", sleeping), slow))
    small, large = task.run(tell=lambda text: None)["sizes"]
    assert small["left_out"]["slow"].endswith(" s a call") and not large["left_out"]
    n_rounds = {each["name"]: len(each["wall"]) for each in large["contestants"]}
    assert n_rounds["slow"] == contest.PROMISED_ROUNDS and n_rounds["short"] == max(n_rounds.values())
    assert large["contestants"][2]["ratio"] > 5


def test_all_pairs_that_fit_no_memory_are_not_tried():
    pairs = Contestant("pairs", sleeping, bytes_per_pair=4)
    task = task_of(peers=(pairs,), sizes=(Size(10, 2), Size(10**5, 2)), ours=(Contestant("none", prepared),))
    task = dataclasses.replace(task, floor=Contestant("nothing", prepared), main=Size(1, 1))
    assert task.run(tell=lambda text: None)["sizes"][1]["left_out"]["pairs"] == "40 GB of all pairs"


def test_every_size_is_shown(monkeypatch):
    monkeypatch.setattr(contest.Task, "_measure_memory", lambda *of_size: None)
    sizes = (SMALL, LARGE, Size(20, 3), Size(10, 3), Size(20, 2, "offset"))
    text = markdown(document_of(task_of(sizes=sizes).run(tell=lambda text: None)))
    for shown in ("20 × 2:", "10 × 3:", "20 × 2, offset:", "| n = 10 | n = 20 |", "| d = 2 | d = 3 |"):
        assert shown in text
    assert "\n10 × 2:" not in text and "\n20 × 3:" not in text


def test_the_tables_are_those_of_the_record():
    record = json.loads((ROOT / "benchmarks" / JSON).read_text(encoding="utf-8"))
    assert (ROOT / "benchmarks" / MARKDOWN).read_text(encoding="utf-8") == markdown(record) + "\n"


def test_how_it_grows_is_told_along_one_axis_alone(monkeypatch):
    monkeypatch.setattr(contest.Task, "_measure_memory", lambda *of_size: None)
    record = task_of(sizes=(SMALL, LARGE, Size(10, 3), Size(20, 3))).run(tell=lambda text: None)
    for size in record["sizes"]:
        for each in size["contestants"]:
            each["seconds"] = 100.0 * size["rows"] + size["features"]
    text = markdown(document_of(record))
    assert "| floor: short | 1002.0 s (1.00×) | 2002.0 s (1.00×) | n^1.0 |" in text
    assert "| floor: short | 2002.0 s (1.00×) | 2003.0 s (1.00×) | d^0.0 |" in text


def test_targets_are_computed():
    outcome = outcome_of(LARGE, floor=1.0, ours=1.2)
    most = Target("", LARGE, lambda outcome: outcome.ratio("ours"), 1.15)
    least = Target("", LARGE, lambda outcome: outcome.ratio("floor", "ours"), 0.8, is_least=True)
    assert most.record([outcome])["held"] is False and most.record([outcome])["figure"] == pytest.approx(1.2)
    assert least.record([outcome])["held"] is True
    assert most.record([outcome_of(SMALL, floor=1.0)])["held"] is None


def test_another_value_stops_the_benchmark_unless_it_has_a_reason():
    wrong = task_of(agreements=lambda given: iter([Agreement("area", 1.0, 1.1)]))
    with pytest.raises(ValueError, match="area: ours is 1.0, the peer's 1.1"):
        wrong.run(quick=True, tell=lambda text: None)
    assert Agreement("area", 1.0, 1.1, reason="rounded up").checked().reason
    assert Agreement("area", 1.0, 1.0 + 1e-9).checked()


def test_tasks_that_are_not_run_again_stay_only_beside_the_same_machine(tmp_path):
    record = task_of(skipped=lambda: "it is day").run()
    first = document_of(record)
    write(tmp_path, first)
    again = write(tmp_path, first | {"tasks": {"other": record}})
    assert list(again["tasks"]) == ["sleep", "other"] == list(json.loads((tmp_path / JSON).read_text())["tasks"])
    elsewhere = write(tmp_path, document_of(record, machine="another"))
    assert list(elsewhere["tasks"]) == ["sleep"]
    assert "skipped: it is day" in (tmp_path / MARKDOWN).read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == [MARKDOWN, JSON]


def test_every_task_names_a_floor_ours_and_peers():
    tasks = all_tasks()
    assert len(tasks) == 12
    for name, task in tasks.items():
        names = [each.name for _, each in task.contestants]
        assert not any("|" in each for each in names)  # it would end the cell of a table
        assert name == task.name and task.floor and task.ours and task.peers
        assert len(set(names)) == len(names)
        assert task.main in task.sizes and all(target.size in task.sizes for target in task.targets)
        pickle.dumps([each.call for _, each in task.contestants] + [task.prepare])  # for a fresh process


def test_the_calls_for_a_gpu_compute_the_same_on_the_host():
    (task,) = gpu.TASKS
    given = gpu.on_device(Size(2000, 16), device="cpu")
    assert [each.checked() for each in task.agreements(given)]
    for _, each in task.contestants:
        each.call(given)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--quick"], "--quick needs --output FOLDER"),
        (["sleep"], "there is no task 'sleep'; there are: second_moments"),
    ],
)
def test_bad_arguments_are_refused_before_anything_runs(arguments, sentence, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["benchmarks", *arguments])
    with pytest.raises(SystemExit):
        main()
    assert sentence in capsys.readouterr().err


@pytest.mark.slow
def test_a_quick_run_of_all_tasks(tmp_path, minilm_path, stsb_folder):
    command = [sys.executable, "-m", "benchmarks", "--quick", "--output", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / JSON).read_text(encoding="utf-8"))
    text = (tmp_path / MARKDOWN).read_text(encoding="utf-8")
    assert text == markdown(document) + "\n" and text.strip() == done.stdout.strip()
    assert list(document["tasks"]) == list(all_tasks())
    assert document["machine"]["processor"] in text and f"numpy {np.__version__}" in text
    for name, record in document["tasks"].items():
        if record["skipped"]:
            assert name == "gpu" and record["skipped"] in text
            continue
        assert record["agreements"]
        for size in record["sizes"]:
            assert [each["role"] for each in size["contestants"]][:2] == ["floor", "ours"]
            assert {each["role"] for each in size["contestants"]} == {"floor", "ours", "peer"}
            for each in size["contestants"]:
                figures = [each["seconds"], each["ratio"], each["ratio_min"], each["ratio_max"]]
                assert np.isfinite(figures).all() and each["ratio_min"] <= each["ratio"] <= each["ratio_max"]
        main = next(each for each in record["sizes"] if each | record["main"] == each)
        for each in main["contestants"]:
            line = next(line for line in text.splitlines() if line.startswith(f"| {each['role']}: {each['name']} |"))
            assert each["name"] in line
            assert f"{each['ratio']:.2f} ({each['ratio_min']:.2f} to {each['ratio_max']:.2f})" in text
