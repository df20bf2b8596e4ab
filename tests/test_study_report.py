"""The page, the figures and the tables of a study: from a small real one, and from results made up to be difficult."""

import csv
import json
import math
import re
import warnings
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from browser import find_browser, look_at
from matplotlib import rcParams

from isotropy_metrics.noted_warnings import noted_warnings
from isotropy_metrics.study import StudyResults, run_study
from isotropy_metrics.study.experiments import EXPERIMENTS, Experiment, Outcome
from isotropy_metrics.study.experiments.layers import _changes
from isotropy_metrics.study.report import report as report_module
from isotropy_metrics.study.report.figure_files import write_figure
from isotropy_metrics.study.report.figures import COLORS, make_legible, panel, style
from isotropy_metrics.study.report.report import HEAD, MOST_ROWS, SHOWN_PANELS, write_report
from isotropy_metrics.study.report.table_files import csv_text, latex_text, markdown_text
from isotropy_metrics.study.report.tables import columns_of, display_name, format_cell, format_value

pytestmark = pytest.mark.filterwarnings("ignore:.* it wants .* rows:RuntimeWarning")

MEASURES = ("isoscore", "average_cosine_similarity", "partition_isotropy", "effective_rank", "participation_ratio")
HOSTILE = '<script>alert(1)</script> & "x" id="p1" $5_{a} and $6 #1 %'


class Page(HTMLParser):
    """What of a page matters here."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.ids, self.links, self.labels, self.cells, self.pointers = [], [], [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value)
            elif name == "aria-label":
                self.labels.append(value)
            elif name in ("src", "href", "xlink:href", "srcset", "data"):
                self.links.append(value)
            self.pointers += re.findall(r"url\(#([^)]+)\)", value or "")

    def handle_data(self, data):
        if data.strip() and self.tags and self.tags[-1] in ("td", "th"):
            self.cells.append(data)


@pytest.fixture(scope="module")
def small_study(minilm_path, stsb_folder, tmp_path_factory):
    output = tmp_path_factory.mktemp("study") / "out"
    return output, run_study(
        output,
        experiments=["E2", "E2b"],
        measures=MEASURES,
        layers=[0, 3, -1],
        max_rows=30,
        max_train_rows=48,
        progress=False,
    )


def _made_up(monkeypatch, tables, draw=lambda outcome: {}, **protocol):
    """Results of one experiment with these tables, and nothing else."""
    experiment = Experiment(
        "made_up",
        "E0",
        HOSTILE,
        f"Is {HOSTILE} shown?",
        f"As {HOSTILE}.",
        run=None,
        draw=draw,
        tell=lambda outcome: [f"It is {HOSTILE}."],
    )
    monkeypatch.setattr(report_module, "EXPERIMENTS", {"made_up": experiment})
    facts = {"model": HOSTILE, "finetuned": HOSTILE, "dataset": HOSTILE, "rows": "words", "n_features": 3, "n_test": 4}
    facts |= {"versions": {"isotropy-metrics": "0"}, "settings": {"measures": ["isoscore"], HOSTILE: HOSTILE}}
    return StudyResults(facts, {"made_up": Outcome(tables, protocol)}, {"made_up": HOSTILE})


def test_the_page_needs_nothing_but_itself(small_study):
    page = Page((small_study[0] / "report.html").read_text(encoding="utf-8"))
    assert not {"script", "img", "iframe", "object"} & set(page.tags)
    assert {link for link in page.links if "//" in link} == set()
    files = {link for link in page.links if not link.startswith(("#", "data:"))}
    assert "results.json" in files
    assert all((small_study[0] / file).is_file() for file in files)
    style_sheet = re.search(r"<style>(.*?)</style>", (small_study[0] / "report.html").read_text(), re.DOTALL)[1]
    assert not re.search(r"url\(|@import", style_sheet)


def test_every_figure_and_table_is_on_the_page_and_a_file(small_study):
    output, results = small_study
    page = Page((output / "report.html").read_text(encoding="utf-8"))
    n_figures = 0
    for name, outcome in results.experiments.items():
        for drawn in EXPERIMENTS[name].draw(outcome):
            n_figures += 1
            assert (output / "figures" / f"{name}-{drawn}.png").read_bytes().startswith(b"\x89PNG")
            assert ElementTree.parse(output / "figures" / f"{name}-{drawn}.svg").getroot().tag.endswith("svg")
        for table, rows in outcome.tables.items():
            with open(output / "tables" / f"{name}-{table}.csv", newline="") as file:
                read = list(csv.DictReader(file))
            assert len(read) == len(rows) > 0
            for row, texts in zip(rows, read, strict=True):
                assert {key: "" if value is None else str(value) for key, value in row.items()} == texts
            assert (output / "tables" / f"{name}-{table}.tex").is_file()
            assert (output / "tables" / f"{name}-{table}.md").is_file()
    assert page.tags.count("svg") == n_figures == len(list((output / "figures").glob("*.png")))


def test_a_legend_hides_nothing_and_long_words_leave_room_for_the_drawing():
    figure, axis = panel("d* of this", "x")
    for i in range(4):
        axis.plot([0, 1], [0, 1], label=f"{i}" * 30)
    axis.set_yticks([0], ["y" * 30])
    axis.legend()
    height = figure.get_figheight()
    make_legible(figure)
    figure.draw_without_rendering()
    assert axis.get_legend() is None
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == [f"{i}" * 30 for i in range(4)]
    assert figure.get_figheight() > height
    assert axis.get_yticklabels()[0].get_text() == "y" * 23 + "…"
    assert figure.get_suptitle() == "d* of this" and axis.get_title("left") == ""
    legend, drawing = figure.legends[0].get_window_extent(), axis.get_tightbbox()
    assert legend.y1 <= drawing.y0 + 1
    assert drawing.width > 0.4 * figure.bbox.width


def test_logarithms_are_written_as_text_and_big_scatters_as_pictures(tmp_path):
    figure, axis = panel("a", "x")
    axis.plot([1, 1000], [1e-5, 1e-2])
    axis.scatter(np.arange(1, 2001), np.full(2000, 1e-3))
    axis.set(xscale="log", yscale="log")
    write_figure(figure, tmp_path / "a")
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    texts = {"".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"10⁻⁵", "10⁻³", "0.01", "100"} <= texts
    assert len(list(root.iter("{http://www.w3.org/2000/svg}image"))) == 1
    assert len(list(root.iter("{http://www.w3.org/2000/svg}use"))) < 100


def test_ids_of_many_drawings_do_not_clash_and_every_pointer_finds_its_own(small_study):
    page = Page((small_study[0] / "report.html").read_text(encoding="utf-8"))
    assert len(page.ids) == len(set(page.ids))
    inside = [link[1:] for link in page.links if link.startswith("#")] + page.pointers
    assert len(page.pointers) > 10
    assert set(inside) <= set(page.ids)


def test_drawings_on_the_page_take_its_colours_and_files_are_dark_on_white(small_study):
    output = small_study[0]
    text = (output / "report.html").read_text(encoding="utf-8")
    drawings = "".join(re.findall(r"<svg .*?</svg>", text, re.DOTALL))
    for color in ("#000000", "#ffffff", "#24292f", "#fffffe", *map(str.lower, COLORS.values())):
        assert color not in drawings.lower()
    assert "currentColor" in drawings and "var(--before)" in drawings and "var(--after)" in drawings
    file = (output / "figures" / "layers-isoscore.svg").read_text()
    assert "#ffffff" in file and "#24292f" in file and "var(" not in file


def test_the_page_is_written_from_the_results_alone_and_the_same_every_time(small_study, tmp_path):
    before = dict(rcParams)
    write_report(StudyResults.load(small_study[0] / "results.json"), tmp_path)
    assert dict(rcParams) == before
    for name in ("report.html", "figures/layers-isoscore.svg", "tables/layers-layers.tex"):
        assert (tmp_path / name).read_bytes() == (small_study[0] / name).read_bytes()


def test_what_users_name_is_shown_as_it_is(monkeypatch, tmp_path):
    def draw(outcome):
        figure, axis = panel(HOSTILE, "x")
        axis.bar([0], [1], label=HOSTILE, hatch="/", color="white")
        axis.text(-0.3, 0.5, HOSTILE)
        axis.set_xticks([0], [HOSTILE])
        axis.legend()
        return {"a/b <i>": figure}

    results = _made_up(monkeypatch, {"a/b": [{"token": HOSTILE, "share": None}]}, draw, fact=HOSTILE, notes=[HOSTILE])
    write_report(results, tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "script" not in page.tags and "i" not in page.tags
    assert HOSTILE in page.cells and "–" in page.cells
    assert f"{HOSTILE}: {HOSTILE}" in page.labels
    assert len(page.ids) == len(set(page.ids))
    assert set(page.pointers) <= set(page.ids) and page.pointers
    drawn = ElementTree.fromstring(re.search(r"<svg .*?</svg>", text, re.DOTALL)[0])
    written = [" ".join("".join(element.itertext()).split()) for element in drawn.iter("text")]
    assert HOSTILE in " ".join(written)
    assert f"{HOSTILE[:23]}…" in written and f"{HOSTILE[:39]}…" in written
    assert [path.name for path in (tmp_path / "figures").iterdir() if path.suffix == ".png"] == ["made_up-a_b_i_.png"]
    assert {path.name for path in (tmp_path / "tables").iterdir()} == {
        f"made_up-a_b.{e}" for e in ("csv", "md", "tex")
    }


def test_limits_stand_beside_their_value_and_what_never_changes_is_said_once(monkeypatch, tmp_path):
    rows = [
        {"layer": i, "score": 80.12345 + i, "score_low": 79.0, "score_high": 90.5, "n_samples": 12345, "held": i > 1}
        for i in range(5)
    ]
    rows[4] |= {"score": None, "score_low": None, "score_high": None}
    write_report(_made_up(monkeypatch, {"scores": rows}, score_name="accuracy"), tmp_path)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.cells[:3] == ["layer", "accuracy", "held"]
    assert page.cells[3:6] == ["0", "80.12 [79, 90.5]", "no"]
    assert page.cells[-3:] == ["4", "–", "yes"]
    assert "In every row: vectors 12,345." in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "tables" / "made_up-scores.csv").read_text().splitlines()[
        1
    ] == "0,80.12345,79.0,90.5,12345,False"


def test_long_tables_begin_on_the_page_and_many_figures_are_folded(monkeypatch, tmp_path):
    def draw(outcome):
        return {f"panel {i}": panel(f"panel {i}")[0] for i in range(SHOWN_PANELS + 2)}

    rows = [{"direction": i} for i in range(MOST_ROWS + 1)]
    write_report(_made_up(monkeypatch, {"long": rows, "short": rows[:3]}, draw), tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert Page(text).cells == ["direction", *map(str, range(HEAD)), "direction", "0", "1", "2"]
    assert f"The first {HEAD} of {MOST_ROWS + 1} rows" in text
    assert "2 more figures" in text
    assert len((tmp_path / "tables" / "made_up-long.md").read_text().splitlines()) == MOST_ROWS + 3
    assert "longtable" in (tmp_path / "tables" / "made_up-long.tex").read_text()


def test_tables_as_files_are_escaped_in_the_language_of_each():
    rows = [{"token": "a|b_c\n$5 & 10% #1 {x} ~^\\", "n_clusters": 3, "x": 1e-5, "x_low": None, "x_high": 2.0}]
    assert csv_text(rows).count('"') == 2
    columns = columns_of(rows)
    head, line, row = markdown_text(rows, columns).splitlines()
    assert (head, line) == ("| token | number of clusters | x |", "| :--- | ---: | ---: |")
    assert row == r"| a\|b\_c $5 &amp; 10% #1 {x} \~^\\ | 3 | 1e-05 \[–, 2\] |"
    assert latex_text(rows, columns).splitlines() == [
        r"\begin{tabular}{lrr}",
        r"\toprule",
        r"token & number of clusters & x \\",
        r"\midrule",
        r"a\textbar{}b\_c \$5 \& 10\% \#1 \{x\} \textasciitilde{}\textasciicircum{}\textbackslash{} & 3 & "
        r"1e-05 {[}--, 2{]} \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]


def test_names_and_values_are_those_people_read():
    assert [display_name(key) for key in ("partition_isotropy_log10", "n_rows", "isoscore_null", "eval_loss")] == [
        "log10 I(W)",
        "number of rows",
        "IsoScore null",
        "eval loss",
    ]
    values = [None, True, 9999, 10000, 0.000123456, 82.03456, 12345.6, 1e9, "x", [1, None], {"a_b": 2}]
    assert [format_value(value) for value in values] == [
        *("–", "yes", "9999", "10,000", "0.0001235", "82.03", "12,346", "1e+09", "x", "1, –", "a b: 2")
    ]
    row = {"gain": 1.0, "gain_low": -0.5, "gain_high": 2.25, "low": 3}
    assert [format_cell(row, column) for column in columns_of([row])] == ["1 [-0.5, 2.25]", "3"]


def test_a_warning_is_noted_once_and_a_deprecation_stays_a_warning():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with noted_warnings() as notes:
            for name in ("isoscore", "rankme", "isoscore"):
                warnings.warn(f"{name} of 9 rows:\n few", RuntimeWarning, stacklevel=1)
            warnings.warn("cut", UserWarning, stacklevel=1)
            warnings.warn("old", DeprecationWarning, stacklevel=1)
            assert notes == []
    assert notes == ["isoscore, rankme of 9 rows: few", "cut"]
    assert [str(each.message) for each in seen] == ["old"]
    with pytest.raises(KeyError), noted_warnings() as notes:
        warnings.warn("before the error", RuntimeWarning, stacklevel=1)
        raise KeyError
    assert notes == ["before the error"]


def test_a_change_is_measured_in_the_spread_of_its_measure_over_the_layers():
    from isotropy_metrics import find_measures

    values = {"before": [0.1, 0.3, 0.6], "after": [0.1, 0.2, 0.9]}
    table = [
        {"checkpoint": checkpoint, "layer": layer, "isoscore": value, "rankme": 7.0, "n_features": 8}
        for checkpoint, column in values.items()
        for layer, value in zip((0, 2, 5), column, strict=True)
    ]
    changes = _changes(table, find_measures(["isoscore", "rankme"]))
    assert [row["change_in_spreads"] for row in changes[::2]] == pytest.approx([0, -0.2, 0.6])
    assert [row["change_in_spreads"] for row in changes[1::2]] == [None] * 3
    assert {row["isotropic"] for row in changes} == {1.0, 8.0}


def test_every_number_of_the_layers_figures_is_in_the_tables(small_study):
    outcome = small_study[1].experiments["layers"]
    with style():
        figures = EXPERIMENTS["layers"].draw(outcome)
    assert list(figures)[: len(MEASURES)] == [
        "average_cosine_similarity",
        "partition_isotropy",
        "isoscore",
        "effective_rank",
        "participation_ratio",
    ]
    known = {value for rows in outcome.tables.values() for row in rows for value in row.values()}
    known |= {1 / 384}
    for figure in figures.values():
        for line in figure.axes[0].get_lines():
            if line.get_linestyle() != ":":
                assert set(map(float, line.get_ydata())) <= known
        assert {bar.get_height() for bar in figure.axes[0].patches} <= known
    spectrum = outcome.tables["spectrum"]
    assert len(spectrum) == 2 * 384
    for checkpoint in COLORS:
        shares = [row["share"] for row in spectrum if row["checkpoint"] == checkpoint]
        assert sum(shares) == pytest.approx(1) and shares == sorted(shares, reverse=True)
        assert outcome.tables["spectrum"][383]["cumulative_share"] == pytest.approx(1)


def test_layers_are_told_by_the_numbers_of_their_table(small_study):
    outcome = small_study[1].experiments["layers"]
    sentences = EXPERIMENTS["layers"].tell(outcome)
    by_layer = {row["layer"]: row["median_change_in_spreads"] for row in outcome.tables["change_by_layer"]}
    most = max(by_layer, key=by_layer.get)
    assert sentences[0].startswith(f"Layer {most} changed most: over 5 measures")
    sizes = [abs(row["change_in_spreads"]) for row in outcome.tables["changes"] if row["layer"] == most]
    assert by_layer[most] == pytest.approx(float(np.median(sizes)))
    row = next(r for r in outcome.tables["layers"] if (r["checkpoint"], r["layer"]) == ("after", most))
    assert f"{row['average_cosine_similarity']:.4g}" in sentences[1]


def test_the_trace_has_what_the_log_has(small_study):
    output, results = small_study
    tables = results.experiments["training_trace"].tables
    logged = [entry for entry in results.training if "eval_layer_6/isoscore" in entry]
    path = [row for row in tables["geometry"] if (row["measure"], row["layer"]) == ("isoscore", 6)]
    assert [(row["step"], row["value"]) for row in path] == [
        (entry["step"], entry["eval_layer_6/isoscore"]) for entry in logged
    ]
    scores = {entry["step"]: entry["eval_score"] for entry in results.training if "eval_score" in entry}
    assert {row["step"]: row["eval_score"] for row in tables["progress"] if row["eval_score"] is not None} == scores
    losses = {entry["step"]: entry["loss"] for entry in results.training if "loss" in entry}
    assert {row["step"]: row["loss"] for row in tables["progress"] if row["loss"] is not None} == losses
    sentences = EXPERIMENTS["training_trace"].tell(results.experiments["training_trace"])
    last = max(scores)
    assert f"to {scores[last]:.4g} at step {last}." in sentences[0]


def test_a_second_checkpoint_without_a_log_leaves_the_trace_out_and_says_why(small_study, minilm_path, tmp_path):
    log = {"log_history": small_study[1].training}
    finetuned = small_study[0] / "finetuned"
    asked = {"finetuned": str(finetuned), "max_rows": 10, "max_train_rows": 20, "progress": False}
    with pytest.raises(ValueError, match="came without a trainer_state.json with isotropy in it"):
        run_study(tmp_path / "asked", experiments="E2b", **asked)
    (finetuned / "trainer_state.json").write_text(json.dumps(log))
    try:
        results = run_study(tmp_path / "out", experiments="E2b", **asked)
    finally:
        (finetuned / "trainer_state.json").unlink()
    assert results.experiments["training_trace"].tables == small_study[1].experiments["training_trace"].tables


def test_numbers_that_are_missing_leave_a_dash_and_a_gap(small_study, tmp_path):
    results = StudyResults.load(small_study[0] / "results.json")
    for rows in results.experiments["layers"].tables.values():
        for row in rows:
            row |= {key: None for key, value in row.items() if isinstance(value, float)}
    for row in results.experiments["training_trace"].tables["geometry"]:
        row["value"] = None
    results.experiments["layers"].tables["spectrum"].clear()
    write_report(results, tmp_path)
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert page.cells.count("–") > 20
    assert not any(math.nan is cell or cell in ("nan", "None") for cell in page.cells)


@pytest.mark.skipif(find_browser() is None, reason="there is no Chromium or Chrome: apt-get install chromium")
@pytest.mark.parametrize(("width", "dark"), [(1200, False), (360, False), (360, True)])
def test_a_browser_shows_it_whole_and_legibly(small_study, tmp_path, width, dark):
    output, results = small_study
    seen = look_at(output / "report.html", width, tmp_path, dark=dark)
    assert seen["console"] == []
    assert seen["loaded"] == []
    assert (seen["width"], seen["dark"]) == (width, dark)
    assert seen["page_width"] <= width
    assert seen["smallest_text"] >= 12
    assert seen["weakest_text"] >= 4.5
    drawn = [figure for name, outcome in results.experiments.items() for figure in EXPERIMENTS[name].draw(outcome)]
    assert len(seen["figures"]) == len(drawn)
    for figure in seen["figures"]:
        assert figure["width"] >= 300 and figure["height"] >= 200, figure["label"]
        assert figure["smallest_text"] >= 11, figure
        assert figure["weakest_text"] >= 4.5, figure["label"]
        assert figure["overlaps"] == [] and figure["outside"] == [], figure["label"]
        assert len(figure["texts"]) > 4
