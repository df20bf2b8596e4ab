"""The study as one self-contained HTML page, beside its figures as PNG files."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import jinja2

from isotropy_metrics.measures import Measure
from isotropy_metrics.study.figures import draw_layers, draw_spectrum, draw_treatments
from isotropy_metrics.study.tables import format_interval, format_number, value_key

if TYPE_CHECKING:
    from isotropy_metrics.study.study import StudyResults

PREFERRED = "isoscore"
"""The measure beside the task score in the figure of treatments, if it was measured."""

TEMPLATE = Path(__file__).with_name("report.html.jinja")


def write_report(results: StudyResults, measures: Sequence[Measure], folder: Path) -> None:
    """Write `layers.png`, `spectrum.png`, `treatments.png` and `report.html` into the folder."""
    shown = next((each for each in measures if each.name == PREFERRED), measures[0])
    figures = {"layers": draw_layers(results.layers, measures)}
    layer = results.protocol["layer_treated"]
    if results.spectra:
        figures["spectrum"] = draw_spectrum(results.spectra, layer)
    figures["treatments"] = draw_treatments(results.treatments, shown)
    images = {}
    for name, figure in figures.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
        (folder / f"{name}.png").write_bytes(buffer.getvalue())
        images[name] = base64.b64encode(buffer.getvalue()).decode()
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": format_number, "interval": format_interval}
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(
        protocol=results.protocol,
        layers=results.layers,
        treatments=results.treatments,
        measures=measures,
        keys=[value_key(each, results.treatments[0]) for each in measures],
        layer=layer,
        shown=value_key(shown, results.treatments[0]),
        last={row["checkpoint"]: row for row in results.layers if row["layer"] == layer},
        images=images,
    )
    (folder / "report.html").write_text(page, encoding="utf-8")
