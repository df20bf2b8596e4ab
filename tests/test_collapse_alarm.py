"""Collapse alarms, the causes they name and where they are told, on a real space that is made to collapse."""

import json
import math
import subprocess
import sys

import numpy as np
import pytest

from isotropy_metrics import MEASURES, Moments, measure
from isotropy_metrics.collapse_cause import likely_cause
from isotropy_metrics.hidden_states import embed
from trainer_callbacks.alarm_report import alert_trackio, write_alarm
from trainer_callbacks.collapse_alarm import CollapseAlarm, default_alarms

pytestmark = pytest.mark.filterwarnings("ignore:.* it wants .* rows:RuntimeWarning")


@pytest.fixture(scope="module")
def healthy(minilm_path, stsb_folder):
    """300 sentences of the STS benchmark as MiniLM has them."""
    lines = (stsb_folder / "sts-dev.csv").read_text(encoding="utf-8").splitlines()[:300]
    texts = [line.split("\t")[5] for line in lines]
    return embed(str(minilm_path), texts, layer=-1, pooling="mean", progress=False).astype(np.float64)


@pytest.fixture(scope="module")
def direction(healthy):
    """One random vector, as long as a row."""
    vector = np.random.default_rng(0).normal(size=healthy.shape[1])
    return vector / np.linalg.norm(vector) * np.linalg.norm(healthy, axis=1).mean()


@pytest.fixture(scope="module")
def collapsed(healthy, direction):
    """The space in the ways that spaces collapse."""
    rng = np.random.default_rng(1)
    left, sizes, right = np.linalg.svd(healthy - healthy.mean(0), full_matrices=False)
    return {
        "equal rows and noise": direction + 0.02 * healthy,
        "offset": healthy + 5 * direction,
        "one direction": healthy + 60 * rng.normal(size=(len(healthy), 1)) * direction,
        "rank 5": (left[:, :5] * sizes[:5]) @ right[:5] + 1e-4 * healthy,
    }


def moments_of(rows):
    moments = Moments()
    moments.update(rows)
    return moments


def raised_by_default(rows, baseline):
    """Measures of the default alarms that these rows raise."""
    alarms = default_alarms()
    names = [alarm.measure for alarm in alarms]
    now, before = measure(rows, names), measure(baseline, names)
    return [alarm.measure for alarm in alarms if alarm.observe(now[alarm.measure], before[alarm.measure]) == "raised"]


def test_hysteresis():
    alarm = CollapseAlarm("average_cosine_similarity", above=0.9, clears_at=0.7)
    values = (0.5, 0.9, 0.91, 0.95, 0.89, 0.71, 0.92, 0.7, 0.8, 0.95)
    changes = [alarm.observe(value) for value in values]
    assert changes == [None, None, "raised", None, None, None, None, "cleared", None, "raised"]
    assert alarm.is_raised


def test_below_is_the_mirror_of_above():
    up = CollapseAlarm("hubness", above=4, clears_at=3)
    down = CollapseAlarm("hubness", below=-4, clears_at=-3)
    values = np.random.default_rng(0).normal(scale=4, size=400)
    changes = [up.observe(value) for value in values]
    assert changes == [down.observe(-value) for value in values]
    assert changes.count("raised") > 10


def test_patience_counts_values_in_a_row():
    alarm = CollapseAlarm("rankme", below=10, patience=3)
    assert [alarm.observe(value) for value in (9, 9, 10, 9, 9, 9, 9)] == [None] * 5 + ["raised", None]


def test_nan_neither_raises_nor_clears_nor_breaks_the_row():
    alarm = CollapseAlarm("rankme", below=10, patience=2)
    assert [alarm.observe(value) for value in (9, math.nan, 9, math.nan, 30)] == [
        None,
        None,
        "raised",
        None,
        "cleared",
    ]


def test_relative_to_the_value_before_training():
    alarm = CollapseAlarm("rankme", below_baseline=0.5)
    assert alarm.threshold() is None and alarm.threshold(200.0) == 100.0
    assert alarm.observe(1.0) is None and alarm.observe(1.0, math.nan) is None
    changes = [alarm.observe(value, 200.0) for value in (101.0, 99.0, 109.0, 111.0)]
    assert changes == [None, "raised", None, "cleared"]


@pytest.mark.parametrize(
    ("threshold", "clears"), [({"above": 0.8}, 0.72), ({"above": -0.5}, -0.55), ({"below": 0.2}, 0.22)]
)
def test_it_clears_a_tenth_of_the_threshold_back(threshold, clears):
    (limit,) = threshold.values()
    outwards = 1e-9 if "above" in threshold else -1e-9
    alarm = CollapseAlarm("average_cosine_similarity", **threshold)
    values = (limit + outwards, clears + outwards, clears - outwards)
    assert [alarm.observe(value) for value in values] == ["raised", None, "cleared"]


def test_sentences():
    alarm = CollapseAlarm("rankme", below_baseline=0.25, layer=3, probe="news")
    expected = "rankme of layer 3 on news is 41, below 0.25 of its value before training, 200"
    assert alarm.sentence(41.0, 200.0) == expected
    assert alarm.sentence(90.0, 200.0) == expected.replace("41, below", "90, not below")
    alarm = CollapseAlarm(above=0.9)
    assert alarm.sentence(0.95) == "average_cosine_similarity of the last layer is 0.95, above 0.9"
    assert alarm.sentence(math.nan).endswith("is nan, not above 0.9")


def test_it_goes_on_from_its_state():
    values = np.random.default_rng(0).uniform(0, 20, size=60)
    alarm = CollapseAlarm("rankme", below=10, patience=2)
    expected = [alarm.observe(value) for value in values]
    assert expected.count("raised") > 3
    for stop in range(60):
        first, second = (CollapseAlarm("rankme", below=10, patience=2) for _ in range(2))
        changes = [first.observe(value) for value in values[:stop]]
        second.load_state_dict(json.loads(json.dumps(first.state_dict(), allow_nan=False)))
        assert second.is_raised == first.is_raised
        assert changes + [second.observe(value) for value in values[stop:]] == expected


@pytest.mark.parametrize("state", [None, {}, {"n_beyond": 1}, {"n_beyond": 1.5, "is_raised": 0}])
def test_another_state_is_refused(state):
    with pytest.raises(ValueError, match="not a state of a CollapseAlarm"):
        CollapseAlarm(above=0.9).load_state_dict(state)


@pytest.mark.parametrize(
    ("given", "error", "said"),
    [
        ({}, ValueError, "exactly one of above=, below= and below_baseline=, got none"),
        ({"above": 0.9, "below": 0.1}, ValueError, "got above, below"),
        ({"measure": "isotropy", "above": 1}, ValueError, "there is no measure 'isotropy'"),
        ({"measure": "linear_cka", "below": 0.5}, ValueError, "there is no measure 'linear_cka'"),
        ({"measure": ["isoscore"], "below": 0.5}, TypeError, "name of one measure"),
        ({"above": "0.9"}, TypeError, "above must be a number"),
        ({"above": True}, TypeError, "above must be a number"),
        ({"above": math.nan}, ValueError, "above must be finite"),
        ({"above": 1.0}, ValueError, "above=1 is never passed: average_cosine_similarity goes from -1 to 1"),
        ({"measure": "rankme", "below": 1}, ValueError, "never passed: rankme goes from 1 to d"),
        ({"measure": "rankme", "below_baseline": 1.2}, ValueError, "share between 0 and 1"),
        ({"below_baseline": 0.5}, ValueError, "can be negative"),
        ({"above": 0.9, "clears_at": 0.95}, ValueError, "clears_at must be at most above=0.9, got 0.95"),
        ({"measure": "rankme", "below": 10, "clears_at": 9}, ValueError, "at least below=10, got 9"),
        ({"above": 0.9, "layer": "last"}, TypeError, "layer must be one whole number"),
        ({"above": 0.9, "layer": [1]}, TypeError, "layer must be one whole number"),
        ({"above": 0.9, "probe": 1}, TypeError, "probe must be the name"),
        ({"above": 0.9, "patience": 0}, ValueError, "patience must be"),
        ({"above": 0.9, "stop": "yes"}, TypeError, "stop must be True or False"),
    ],
)
def test_what_is_refused_is_said_in_one_sentence(given, error, said):
    with pytest.raises(error, match=said) as caught:
        CollapseAlarm(**given)
    assert "\n" not in str(caught.value)


def test_default_alarms_are_silent_on_a_healthy_space(healthy):
    assert raised_by_default(healthy, healthy) == []
    assert raised_by_default(healthy[::-1] * 3, healthy) == []


@pytest.mark.parametrize(
    ("how", "raised"),
    [
        ("equal rows and noise", ["average_cosine_similarity", "rankme"]),
        ("offset", ["average_cosine_similarity"]),
        ("one direction", ["rankme"]),
        ("rank 5", ["rankme"]),
    ],
)
def test_default_alarms_are_raised_by_a_collapse(healthy, collapsed, how, raised):
    assert raised_by_default(collapsed[how], healthy) == raised


def test_default_alarms_watch_measures_of_any_rows():
    assert all(not MEASURES[alarm.measure].ids and not alarm.stop for alarm in default_alarms())


@pytest.mark.parametrize(
    ("how", "cause"),
    [
        ("equal rows and noise", "All rows are the same, nearly"),
        ("offset", "A common offset"),
        ("one direction", "Few directions"),
        ("rank 5", "Few directions"),
    ],
)
def test_the_cause_is_what_was_done_to_the_space(healthy, collapsed, how, cause):
    before = moments_of(healthy)
    for baseline in (None, before):
        assert likely_cause(moments_of(collapsed[how]), baseline).startswith(cause)
    assert likely_cause(before, before).startswith("No single cause stands out")


def test_cause_counts_what_it_says(healthy, direction):
    rows = healthy + direction
    share = (rows.mean(0) ** 2).sum() / (rows**2).sum(1).mean()
    share_before = (healthy.mean(0) ** 2).sum() / (healthy**2).sum(1).mean()
    text = likely_cause(moments_of(rows), moments_of(healthy))
    assert f"offset holds {100 * share:.0f} % of" in text and f"({100 * share_before:.0f} % before" in text


def test_one_feature_dominates(healthy):
    rows = healthy.copy()
    rows[:, 7] += 100 * healthy.std()
    text = likely_cause(moments_of(rows), moments_of(healthy))
    share = (rows[:, 7] ** 2).sum() / (rows**2).sum()
    assert text.startswith(f"One feature dominates: number 7 holds {100 * share:.0f} % of")


def test_what_was_there_before_is_not_blamed_first(healthy, direction):
    """A space with an offset from the start, as raw encoders have, that loses its rank in training."""
    before = healthy + 2 * direction
    left, sizes, right = np.linalg.svd(healthy - healthy.mean(0), full_matrices=False)
    same_variance = np.sqrt((sizes**2).sum() / (sizes[:5] ** 2).sum())
    after = before.mean(0) + same_variance * (left[:, :5] * sizes[:5]) @ right[:5]
    assert likely_cause(moments_of(after)).startswith("A common offset")
    assert likely_cause(moments_of(after), moments_of(before)).startswith("Few directions")
    assert likely_cause(moments_of(before), moments_of(before)).endswith("It was much the same before training.")


def test_rows_that_shrink_to_nothing(healthy):
    before = moments_of(healthy)
    text = likely_cause(moments_of(0.01 * healthy), before)
    assert text.startswith("All rows are the same, nearly: 0.01 % of their variance before training is left")
    assert likely_cause(moments_of(0 * healthy), before).startswith("All rows are zero")
    assert likely_cause(moments_of(np.ones((9, 4)))).startswith("All rows are the same, nearly: 100.00 %")


def test_a_cause_needs_rows_of_one_width(healthy):
    with pytest.raises(ValueError, match="no rows yet"):
        likely_cause(Moments())
    with pytest.raises(ValueError, match="the baseline has 5 features, the rows have 384"):
        likely_cause(moments_of(healthy), moments_of(np.eye(5)))


def test_the_report_is_json_that_others_can_read(tmp_path):
    report = {
        "step": 30,
        "epoch": np.float32(0.5),
        "alarm": "a < b",
        "baseline": None,
        "values": {"isoscore": math.nan, "rankme": np.float64(3.5), "all": np.array([1.0, np.inf])},
    }
    path = write_alarm(tmp_path / "made", report)
    assert path == tmp_path / "made" / "isotropy_alarm_step_30.json"

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    read = json.loads(path.read_text(encoding="utf-8"), parse_constant=refuse)
    assert read["values"] == {"isoscore": None, "rankme": 3.5, "all": [1.0, None]}
    assert (read["step"], read["epoch"], read["alarm"], read["baseline"]) == (30, 0.5, "a < b", None)
    assert read["versions"]["numpy"] == np.__version__


def test_no_report_overwrites_another(tmp_path):
    names = [write_alarm(tmp_path, {"step": 7, "alarm": i}).name for i in range(3)]
    assert names == ["isotropy_alarm_step_7.json", "isotropy_alarm_step_7_2.json", "isotropy_alarm_step_7_3.json"]
    assert [json.loads((tmp_path / name).read_text())["alarm"] for name in names] == [0, 1, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)


def test_a_report_that_cannot_be_written_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="needs the step"):
        write_alarm(tmp_path, {"alarm": "x"})
    with pytest.raises(TypeError):
        write_alarm(tmp_path, {"step": 1, "alarm": object()})
    assert list(tmp_path.iterdir()) == []


ALERT = """
import sys
from trainer_callbacks.alarm_report import alert_trackio
assert alert_trackio("no", "trackio was not imported") is False and "trackio" not in sys.modules
import trackio
assert alert_trackio("no", "no run") is False
run = trackio.init(project="alarms", name="first", embed=False, auto_log_gpu=False, auto_log_cpu=False)
trackio.log({"loss": 1.0}, step=12)
assert alert_trackio("isotropy collapse", "rankme is 3") is True
trackio.finish()
assert alert_trackio("no", "the run is over") is False
from trackio.sqlite_storage import SQLiteStorage
found = [(each["run"], each["title"], each["text"], each["level"], each["step"])
         for each in SQLiteStorage.get_alerts("alarms")]
assert found == [("first", "isotropy collapse", "rankme is 3", "warn", 12)], found
"""


def test_trackio_stores_the_alert(tmp_path):
    """In a process of its own: trackio reads where to store at import, and lives in threads."""
    pytest.importorskip("trackio")
    environment = {"TRACKIO_DIR": str(tmp_path / "trackio"), "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    ran = subprocess.run([sys.executable, "-c", ALERT], env=environment, capture_output=True, text=True, timeout=120)
    assert ran.returncode == 0, ran.stderr
    assert list((tmp_path / "trackio").glob("alarms*.db"))


def test_without_trackio_nothing_happens(monkeypatch):
    monkeypatch.delitem(sys.modules, "trackio", raising=False)
    assert alert_trackio("title", "text") is False
    assert "trackio" not in sys.modules
