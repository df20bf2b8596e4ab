"""The figures of the Space: they show the numbers of the views, and nothing that a user wrote as HTML."""

from __future__ import annotations

import json
import re
from itertools import combinations

import numpy as np
import pytest
from isotropy_space import palette
from isotropy_space.figures import (
    draw_contributions,
    draw_cosines,
    draw_curves,
    draw_projection,
    draw_scores,
    draw_spectra,
)

from isotropy_metrics import average_cosine_similarity, outlier_dimensions
from isotropy_metrics.views import cosine_histogram, principal_projection, variance_spectrum

HOSTILE = "<img src=x onerror=alert(1)> & <b>%{x}</b>"
SCORES = [
    {"name": "before", "value": 0.7, "low": 0.6, "high": 0.75},
    {"name": "after", "value": 0.8, "low": None, "high": float("nan")},
]


def cloud(n: int = 300, d: int = 8) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, d)) * np.arange(1, d + 1) + 1


def figures(text: str) -> dict:
    """One of each kind, where everything that a user may write is this text."""
    rows, histogram = cloud(), cosine_histogram(cloud())
    projection, n = principal_projection(rows), len(rows)
    names = np.array([text] * n)
    return {
        "cosines": draw_cosines({text: histogram, "after": histogram}),
        "spectra": draw_spectra({text: variance_spectrum(rows)}),
        "projection": draw_projection(text, projection, names=names),
        "groups": draw_projection(text, projection, names=names, labels=names, labels_title=text),
        "numbers": draw_projection(text, projection, names=names, labels=np.arange(n), labels_title=text),
        "contributions": draw_contributions(text, np.arange(8) / 8, [7, 2]),
        "curves": draw_curves({text: {0: 1.0, 10: 2.0}}, text, text, 1.5, text),
        "scores": draw_scores([row | {"name": text} for row in SCORES], title=text, x_title=text),
    }


def test_cosines_are_those_of_the_view():
    histograms = {"before": cosine_histogram(cloud()), "after": cosine_histogram(cloud() - 1, n_bins=20)}
    figure = draw_cosines(histograms)
    for trace, (name, histogram) in zip(figure.data, histograms.items(), strict=True):
        assert trace.y == pytest.approx(100 * histogram.shares)
        assert trace.x == pytest.approx(histogram.edges[:-1] + (histogram.edges[1] - histogram.edges[0]) / 2)
        assert trace.name == f"{name} (mean {histogram.mean:.3f})"
        np.testing.assert_array_equal(trace.customdata, np.column_stack([histogram.edges[:-1], histogram.edges[1:]]))
    assert [line.x0 for line in figure.layout.shapes] == [each.mean for each in histograms.values()]
    assert "44,850 pairs" in figure.layout.title.text


def test_spectra_are_those_of_the_view():
    spectra = {"before": variance_spectrum(cloud()), "after": variance_spectrum(cloud(d=40))}
    figure = draw_spectra(spectra)
    for trace, spectrum in zip(figure.data, spectra.values(), strict=True):
        assert trace.y == pytest.approx(100 * spectrum.cumulative)
        assert list(trace.x) == list(range(1, len(spectrum.shares) + 1))
    assert figure.layout.xaxis.type == "log"


def test_degenerate_spaces_are_drawn_empty():
    zeros = np.zeros((5, 3))
    with pytest.warns(RuntimeWarning):
        drawn = [draw_cosines({"zeros": cosine_histogram(zeros)}), draw_spectra({"zeros": variance_spectrum(zeros)})]
    assert drawn[0].data[0].name == "zeros (mean unknown)"
    with pytest.warns(RuntimeWarning):
        figure = draw_projection("zeros", principal_projection(zeros))
    assert set(figure.data[0].x) == set(figure.data[0].y) == {0}
    one = draw_projection("one feature", principal_projection(np.arange(4.0)[:, None]))
    assert list(one.data[0].x) == [-1.5, -0.5, 0.5, 1.5] and list(one.data[0].y) == [0] * 4
    for each in (*drawn, figure, one):
        json.loads(each.to_json())


def test_points_are_those_of_the_view_and_named():
    projection = principal_projection(cloud(), 3)
    figure = draw_projection("MiniLM", projection, names=np.array([f"word {i}" for i in range(300)]))
    (trace,) = figure.data
    np.testing.assert_array_equal(trace.x, projection.coordinates[:, 0])
    np.testing.assert_array_equal(trace.y, projection.coordinates[:, 1])
    assert trace.text[17] == "word 17" and not trace.showlegend
    assert figure.layout.title.text == "MiniLM"
    assert figure.layout.xaxis.title.text == f"direction 1 ({100 * projection.shares[0]:.1f} % of variance)"
    assert figure.layout.yaxis.scaleanchor == "x"


@pytest.mark.parametrize("kind", ["numbers", "groups"])
def test_of_many_rows_a_sample_is_drawn_and_the_title_says_so(kind):
    n = 50_000
    rows = np.random.default_rng(0).normal(size=(n, 3)).astype(np.float32)
    labels = np.arange(n) % 30
    labels = labels.astype(float) if kind == "numbers" else np.array([f"group {label}" for label in labels])
    projection = principal_projection(rows)
    figure, again = (draw_projection("many", projection, labels=labels) for _ in range(2))
    assert figure == again
    assert figure != draw_projection("many", projection, labels=labels, seed=1)
    assert figure.layout.title.text == "many<br>2,000 of 50,000 rows"
    assert sum(len(trace.x) for trace in figure.data) == 2000
    place = {(x, y): i for i, (x, y) in enumerate(projection.coordinates)}
    drawn = [
        (place[x, y], text) for trace in figure.data for x, y, text in zip(trace.x, trace.y, trace.text, strict=True)
    ]
    assert len({i for i, _ in drawn}) == 2000
    for i, text in drawn:
        assert text == f"row {i:,}<br>{labels[i]:.4g}" if kind == "numbers" else f"row {i:,}<br>{labels[i]}"


def test_numbers_are_a_scale_and_missing_ones_grey():
    labels = np.linspace(1, 7, 300)
    labels[:10] = np.nan
    figure = draw_projection("words", principal_projection(cloud()), labels=labels, labels_title="frequency")
    missing, known = figure.data
    assert (missing.name, len(missing.x), missing.marker.color) == ("no value", 10, palette.OTHERS["color"])
    np.testing.assert_array_equal(known.marker.color, labels[10:])
    assert (known.marker.cmin, known.marker.cmax) == (labels[10], 7)
    assert known.marker.colorbar.title.text == "frequency" and known.marker.showscale
    nothing = draw_projection("words", principal_projection(cloud()), labels=np.full(300, np.nan))
    assert [trace.name for trace in nothing.data] == ["no value"]


@pytest.mark.parametrize("n_groups", [2, 12, 13, 40])
def test_groups_have_marks_of_their_own_and_the_rare_ones_one_together(n_groups):
    sizes = np.arange(n_groups, 0, -1)
    labels = np.repeat([f"g{i:02d}" for i in range(n_groups)], sizes)
    order = np.random.default_rng(0).permutation(len(labels))
    projection = principal_projection(cloud(len(labels)))
    figure = draw_projection("groups", projection, labels=labels[order], labels_title="group")
    by_name = {trace.name: trace for trace in figure.data}
    n_own = n_groups if n_groups <= 12 else 11
    expected = {f"g{i:02d}": int(sizes[i]) for i in range(n_own)}
    if n_groups > 12:
        expected[f"{n_groups - 11} others"] = int(sizes[11:].sum())
    assert {name: len(trace.x) for name, trace in by_name.items()} == expected
    assert len({(trace.marker.color, trace.marker.symbol) for trace in figure.data}) == len(expected)
    first = np.flatnonzero(labels[order] == "g00")
    np.testing.assert_array_equal(by_name["g00"].x, projection.coordinates[first, 0])
    assert set(by_name["g00"].text) == {f"row {i:,}<br>group: g00" for i in first}


def test_contributions_are_those_of_the_measure():
    rows = cloud(400, 40)
    rows[:, [5, 30]] += 100
    contributions = average_cosine_similarity(rows, contributions=True)["cosine_contributions"]
    outliers = outlier_dimensions(rows)["outlier_indices"]
    every, marked = draw_contributions("MiniLM", contributions, outliers).data
    assert list(every.y) == contributions
    assert set(marked.x) == {5, 30}
    assert [contributions[i] for i in marked.x] == list(marked.y)
    assert [int(text) for text in marked.text] == outliers
    assert len(draw_contributions("MiniLM", contributions, []).data) == 1


def test_curves_are_in_the_order_of_steps_with_gaps():
    lines = {"layer 1": {200: 0.2, 0: 0.1, 100: float("nan")}, "layer 2": {0: 0.4}}
    figure = draw_curves(lines, "IsoScore", "isoscore", 0.3, "isotropic")
    first, second, reference = figure.data
    assert (list(first.x), list(first.y)) == ([0, 100, 200], [0.1, None, 0.2])
    assert (list(second.x), list(second.y)) == ([0], [0.4])
    assert (list(reference.x), list(reference.y), reference.name) == ([0, 200], [0.3, 0.3], "isotropic: 0.3")
    far = draw_curves(lines, "IsoScore", "isoscore", 30.0, "isotropic").data[-1]
    assert (list(far.y), far.name) == ([None], "isotropic: 30")
    assert len(draw_curves(lines, "IsoScore", "isoscore", None, "isotropic").data) == 2
    assert len(draw_curves({}, "IsoScore", "isoscore", 1.0, "isotropic").data) == 1
    layers = draw_curves({f"layer {i}": {0: i} for i in range(25)}, "IsoScore", "isoscore", None, "")
    assert len({trace.line.color for trace in layers.data}) == 25


def test_scores_are_bars_with_intervals_where_there_are_any():
    figure = draw_scores(SCORES, x_title="Spearman correlation")
    (bars,) = figure.data
    assert list(bars.x) == [0.7, 0.8]
    assert list(bars.error_x.array) == pytest.approx([0.05, 0])
    assert list(bars.error_x.arrayminus) == pytest.approx([0.1, 0])
    assert figure.layout.yaxis.ticktext == ("before<br>0.700 [0.600, 0.750]", "after<br>0.800")
    assert figure.layout.xaxis.title.text == "Spearman correlation"


@pytest.mark.parametrize("kind", figures("text"))
def test_what_users_write_is_text_and_not_html(kind):
    def texts(value):
        if isinstance(value, str):
            yield value
        elif isinstance(value, (list, dict)):
            for each in value.values() if isinstance(value, dict) else value:
                yield from texts(each)

    figure = figures(HOSTILE)[kind]
    written = list(texts(json.loads(figure.to_json())))
    tags = {tag for text in written for tag in re.findall("<[^>]*>?", text)}
    assert tags <= {"<br>", "<extra>", "</extra>"}
    assert any("&lt;img src=x" in text for text in written)
    assert not any("&amp;lt;" in text or "&amp;amp;" in text for text in written)
    templates = [trace.hovertemplate for trace in figure.data]
    assert templates == [trace.hovertemplate for trace in figures("text")[kind].data]


@pytest.mark.parametrize("text", ["", " \n", "x" * 5000, "two\nlines", "ein 'Wort' \"quoted\"", "語" * 300])
def test_names_of_any_length_fit(text):
    for figure in figures(text).values():
        lines = figure.layout.title.text.split("<br>")
        assert all(len(line) <= 48 for line in lines) and len(lines) <= 3
        assert all(len(trace.name or "") <= 60 for trace in figure.data)
    assert "'Wort'" in figures("ein 'Wort'")["projection"].data[0].text[0]


@pytest.mark.parametrize("kind", figures("text"))
def test_every_axis_has_a_title_and_the_page_shines_through(kind):
    layout = figures("text")[kind].layout
    assert layout.xaxis.title.text and layout.yaxis.title.text
    assert layout.paper_bgcolor == layout.plot_bgcolor == "rgba(0, 0, 0, 0)"
    assert layout.width is None and layout.title.text


def _luminance(color: str) -> float:
    channels = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def contrast(one: str, other: str) -> float:
    """As WCAG 2.2 defines it."""
    low, high = sorted([_luminance(one), _luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_colours_are_seen_on_light_and_dark_grounds():
    ramp = [palette.between(share) for share in np.linspace(0, 1, 21)]
    assert (ramp[0], ramp[-1]) == (palette.RAMP[0], palette.RAMP[-1])
    for color in (*palette.COLORS, palette.OTHERS["color"], palette.INK):
        assert min(contrast(color, ground) for ground in ("#ffffff", "#0b0f19", "#27272a")) >= 3
    for color in ramp:
        assert min(contrast(color, ground) for ground in ("#ffffff", "#0b0f19")) >= 3
    assert min(contrast(palette.INK, ground) for ground in ("#ffffff", "#0b0f19")) > 4.3
    light, dark = re.findall("fill: (#[0-9a-f]{6})", palette.PAGE_STYLE)
    assert contrast(light, "#ffffff") >= 7
    assert min(contrast(dark, ground) for ground in ("#0b0f19", "#27272a")) >= 7


def test_neighbouring_marks_differ_in_colour_and_in_shape():
    marks = [palette.mark(i) for i in range(palette.MOST_MARKS)]
    assert all(one != other for one, other in combinations(marks, 2))
    for one, other in zip(marks[:-1], marks[1:], strict=True):
        assert one["color"] != other["color"] and one["symbol"] != other["symbol"]
    lines = [palette.line(i, 6) for i in range(6)]
    assert len({each["color"] for each in lines}) == len({each["dash"] for each in lines}) == 6
