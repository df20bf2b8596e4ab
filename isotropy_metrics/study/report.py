"""The study as one self-contained HTML page, beside its figures and tables as files."""

from __future__ import annotations

from pathlib import Path

import jinja2

from isotropy_metrics.study.experiments import EXPERIMENTS
from isotropy_metrics.study.study_results import StudyResults

TEMPLATE = Path(__file__).with_name("report.html.jinja")


def write_report(results: StudyResults, folder: Path) -> None:
    """Write `report.html`, `figures/` and `tables/` into the folder."""
    (folder / "figures").mkdir(exist_ok=True)
    for name, outcome in results.experiments.items():
        for panel, figure in EXPERIMENTS[name].draw(outcome).items():
            figure.savefig(folder / "figures" / f"{name}-{panel}.png")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(protocol=results.protocol)
    (folder / "report.html").write_text(page, encoding="utf-8")
