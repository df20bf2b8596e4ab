"""The picture of a training run, from histories as the callback leaves them, and the command that draws it."""

import json
import math

import pytest

from isotropy_metrics.cli import main
from isotropy_metrics.training_curves import draw_training_curves, load_history

pytest.importorskip("matplotlib")


def history_of(n_layers=3, measures=("isoscore", "rankme"), probe="", steps=(0, 10, 20)):
    """What IsotropyCallback and a Trainer log: training losses, and evaluations with a baseline at step 0."""
    history = []
    for step in steps:
        entry = {"step": step, "epoch": step / 100, "eval_loss": 1 / (step + 1), "eval_runtime": 2.0}
        for name in measures:
            for layer in range(n_layers):
                entry[f"eval_{probe}layer_{layer}/{name}"] = value_of(layer, step)
            entry[f"eval_{probe}{name}"] = value_of(n_layers - 1, step)
            if step:
                for layer in range(n_layers):
                    entry[f"eval_{probe}layer_{layer}/linear_cka_to_baseline"] = 1 - step / 1000
        history += [{"step": step, "loss": 2.0, "learning_rate": 1e-5, "grad_norm": 1.0}, entry]
    return history


def value_of(layer, step):
    return 0.1 * (layer + 1) + step / 1000


def panels_of(figure):
    """Titles of the panels up to the note, with their lines by label."""
    return {
        axis.get_title().split(" (")[0]: {
            line.get_label(): line for line in axis.get_lines() if not line.get_label().startswith("_")
        }
        for axis in figure.axes
        if axis.get_title()
    }


def points(line):
    return dict(zip(line.get_xdata(), line.get_ydata(), strict=True))


def texts_of(figure):
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text)]


def test_every_layer_is_a_line_with_its_values_from_the_baseline_on():
    panels = panels_of(draw_training_curves(history_of()))
    assert list(panels) == ["isoscore", "rankme", "linear cka to baseline", "loss"]
    for name in ("isoscore", "rankme"):
        assert list(panels[name]) == ["layer 0", "layer 1", "layer 2"]
        for layer in range(3):
            assert points(panels[name][f"layer {layer}"]) == {step: value_of(layer, step) for step in (0, 10, 20)}
    assert points(panels["linear cka to baseline"]["layer 2"]) == {10: 0.99, 20: 0.98}
    assert points(panels["loss"]["eval loss"]) == {step: 1 / (step + 1) for step in (0, 10, 20)}


@pytest.mark.parametrize("n_layers", [2, 7, 25])
def test_layers_are_told_apart_by_color_and_numbered_beside_a_bar(n_layers):
    figure = draw_training_curves(history_of(n_layers))
    colors = {tuple(line.get_color()) for line in panels_of(figure)["isoscore"].values()}
    assert len(colors) == n_layers
    (bar,) = [axis for axis in figure.axes if axis.get_ylabel().startswith("layer")]
    ticks = [int(label.get_text()) for label in bar.get_yticklabels()]
    assert ticks[-1] == n_layers - 1 and len(ticks) <= 13
    assert n_layers > 13 or ticks == list(range(n_layers))


def test_isotropic_values_are_noted_and_drawn_where_they_are_in_sight():
    near = [{"step": step, "eval_layer_1/isoscore": 0.9 + step / 100} for step in (0, 11)]
    axis = draw_training_curves(near).axes[0]
    assert axis.get_title() == "isoscore (isotropic: 1)"
    assert [list(line.get_ydata()) for line in axis.get_lines() if line.get_linestyle() == ":"] == [[1.0, 1.0]]
    axis = draw_training_curves(history_of(measures=["rankme"])).axes[0]
    assert axis.get_title() == "rankme (isotropic: d)"
    assert not [line for line in axis.get_lines() if line.get_linestyle() == ":"]


def test_keys_of_the_last_layer_alone():
    history = [{"step": step, "eval_isoscore": 0.1 + step, "eval_news_isoscore": 0.5} for step in (0, 1)]
    panels = panels_of(draw_training_curves(history))
    assert list(panels) == ["isoscore", "isoscore, news"]
    assert points(panels["isoscore"]["last layer"]) == {0: 0.1, 1: 1.1}


def test_a_name_that_ends_like_another_is_not_a_probe():
    history = [{"step": 0, "eval_within_class_isoscore": 0.1, "eval_news_layer_2/within_class_isoscore": 0.2}]
    assert list(panels_of(draw_training_curves(history))) == ["within class isoscore", "within class isoscore, news"]


def test_several_probes_and_one_of_them():
    history = history_of(probe="news_") + history_of(probe="layer_talk_", n_layers=2)
    panels = panels_of(draw_training_curves(history))
    expected = ["isoscore, layer_talk", "isoscore, news", "rankme, layer_talk", "rankme, news"]
    assert list(panels)[:4] == expected
    assert (len(panels["isoscore, layer_talk"]), len(panels["isoscore, news"])) == (2, 3)
    assert list(panels_of(draw_training_curves(history, "rankme", probe="news"))) == ["rankme, news", "loss"]
    with pytest.raises(ValueError, match="no probe 'sport'; it has: layer_talk, news"):
        draw_training_curves(history, probe="sport")


def test_chosen_measures_in_their_order():
    history = history_of()
    chosen = panels_of(draw_training_curves(history, ["linear_cka", "rankme"]))
    assert list(chosen) == ["linear cka to baseline", "rankme", "loss"]
    with pytest.raises(ValueError, match="no 'isotropy'; it has: isoscore, rankme, linear_cka_to_baseline"):
        draw_training_curves(history, "isotropy")


def test_missing_layers_and_values_leave_gaps():
    history = history_of()
    del history[1]["eval_layer_1/isoscore"]
    history[3]["eval_layer_1/isoscore"] = math.nan
    history[3]["eval_layer_2/isoscore"] = None
    history[5]["eval_layer_2/isoscore"] = "0.3"
    history[5]["eval_layer_7/isoscore"] = math.inf
    lines = panels_of(draw_training_curves(history))["isoscore"]
    assert math.isnan(points(lines["layer 1"])[10]) and points(lines["layer 1"])[20] == value_of(1, 20)
    assert [math.isnan(value) for value in points(lines["layer 2"]).values()] == [False, True, True]
    assert [math.isnan(value) for value in points(lines["layer 7"]).values()] == [True]


def test_task_panels_hold_losses_scores_and_terms_and_nothing_else():
    history = history_of()
    history[1] |= {
        "eval_accuracy": 0.9,
        "eval_samples_per_second": 7.0,
        "eval_n_samples": 40,
        "eval_isotropy_alarm": 0,
    }
    history[2] |= {"task_loss": 1.5, "i_star": 0.3, "i_star_weight": 0.1}
    panels = panels_of(draw_training_curves(history, "isoscore"))
    assert list(panels) == ["isoscore", "loss", "task", "regularization term"]
    assert set(panels["loss"]) == {"loss", "eval loss", "task loss"}
    assert {name: points(line) for name, line in panels["task"].items()} == {"eval accuracy": {0: 0.9}}
    assert {name: points(line) for name, line in panels["regularization term"].items()} == {"i star": {10: 0.3}}


def test_alarms_are_marked_in_every_panel():
    history = history_of()
    for entry, raised in zip(history[1::2], (0, 2, 1.0), strict=True):
        entry["eval_isotropy_alarm"] = raised
    figure = draw_training_curves(history)
    for lines in panels_of(figure).values():
        assert list(lines["collapse alarm raised"].get_xdata()) == [10, 20]
    assert "collapse alarm raised" in texts_of(figure)
    assert "collapse alarm raised" not in texts_of(draw_training_curves(history_of()))


def test_nothing_global_changes():
    import sys

    before = "matplotlib.pyplot" in sys.modules
    draw_training_curves(history_of())
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_a_history_without_isotropy():
    for history in ([], [{"step": 3, "eval_loss": 1.0, "loss": 2.0}], [{"eval_isoscore": 0.5}]):
        with pytest.raises(ValueError, match="no isotropy in it: add trainer_callbacks.IsotropyCallback"):
            draw_training_curves(history)


def save(folder, history):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "trainer_state.json").write_text(json.dumps({"log_history": history}), encoding="utf-8")


def test_the_latest_checkpoint_of_a_run(tmp_path):
    save(tmp_path / "checkpoint-9", [{"step": 9}])
    save(tmp_path / "checkpoint-10", [{"step": 10}])
    (tmp_path / "checkpoint-11").mkdir()
    save(tmp_path / "checkpoint-best", [{"step": 99}])
    assert load_history(tmp_path) == [{"step": 10}]
    assert load_history(tmp_path / "checkpoint-9") == [{"step": 9}]
    save(tmp_path, [{"step": 5}])
    assert load_history(tmp_path) == [{"step": 10}]
    save(tmp_path, [{"step": 12}, {"train_runtime": 3}])
    assert load_history(str(tmp_path))[0] == {"step": 12}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"log_history": [', "is not JSON"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[1, 2]", "has no log_history"),
        (b"{}", "has no log_history"),
        (b'{"log_history": {"step": 1}}', "has no log_history"),
        (b'{"log_history": [{"step": 1}, 2]}', "has no log_history"),
    ],
)
def test_a_broken_state_is_refused_in_one_sentence(tmp_path, content, said):
    path = tmp_path / "trainer_state.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=said) as caught:
        load_history(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_hostile_state_costs_no_more_than_a_good_one(tmp_path):
    text = json.dumps({"log_history": history_of()})
    text = text.replace('"eval_runtime": 2.0', '"eval_layer_999999/isoscore": 1e999, "eval_x_isoscore": ' + "9" * 4000)
    path = tmp_path / "trainer_state.json"
    path.write_text(text, encoding="utf-8")
    panels = panels_of(draw_training_curves(load_history(path)))
    assert list(panels["isoscore"]) == ["layer 0", "layer 1", "layer 2", "layer 999999"]
    assert all(math.isnan(value) for value in points(panels["isoscore, x"]["last layer"]).values())


def test_the_command_draws_by_the_ending_of_the_file(tmp_path, capsys):
    save(tmp_path, history_of(7))
    starts = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}
    for ending, start in starts.items():
        output = tmp_path / f"curves{ending}"
        assert main(["plot", str(tmp_path), "--output", str(output), "--measures", "isoscore"]) == 0
        assert output.read_bytes().startswith(start)
        assert capsys.readouterr().out == f"{output}\n"
    svg = (tmp_path / "curves.svg").read_text()
    assert "isoscore (isotropic: 1)" in svg and "rankme" not in svg


def test_the_command_overwrites_only_when_it_is_told_to(tmp_path, capsys):
    save(tmp_path, history_of())
    output = tmp_path / "out.png"
    output.write_text("mine")
    assert main(["plot", str(tmp_path), "--output", str(output)]) == 2
    assert "exists: choose another place, or pass --overwrite" in capsys.readouterr().err
    assert output.read_text() == "mine"
    assert main(["plot", str(tmp_path), "--output", str(output), "--overwrite"]) == 0
    assert output.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--output", "curves.txt"], "must end in .png, .svg or .pdf; got 'curves.txt'"),
        (["--output", "none/curves.png"], "there is no folder"),
        (["--measures", "isotropy"], "the history has no 'isotropy'"),
        (["--measures", ""], "no measure named"),
        (["--probe", "news"], "no probe 'news'; none has a name"),
    ],
)
def test_errors_of_the_command_are_one_sentence(tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    save(tmp_path, history_of())
    assert main(["plot", ".", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["trainer_state.json"]


def test_a_run_that_is_not_there(tmp_path, capsys):
    output = str(tmp_path / "a.png")
    assert main(["plot", str(tmp_path), "--output", output]) == 2
    assert "there is no trainer_state.json in" in capsys.readouterr().err
    assert main(["plot", str(tmp_path / "no.json"), "--output", output]) == 2
    assert capsys.readouterr().err.count("\n") == 1
