"""The study as one self-contained HTML page, beside its figures and tables as files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from isotropy_metrics.measures import MEASURES
from isotropy_metrics.study.experiments import EXPERIMENTS, Experiment, Outcome
from isotropy_metrics.study.report.figure_files import inline_svg, is_wide, write_figure
from isotropy_metrics.study.report.figures import style, title_of
from isotropy_metrics.study.report.table_files import write_table
from isotropy_metrics.study.report.tables import (
    MISSING,
    Column,
    Row,
    columns_of,
    display_name,
    format_cell,
    format_value,
    heading,
)
from isotropy_metrics.study.study_results import StudyResults

TEMPLATES = Path(__file__).with_name("templates")

SHOWN_PANELS = 8
"""The panels after these are folded away, unless it is a single one."""

MOST_SENTENCES = 6
"""Of an experiment in the summary; its section has all."""

OPEN_ROWS = 16
"""A longer table is folded away."""

MOST_ROWS = 60
"""A longer table shows its beginning; the rest is in its file."""

HEAD = 20

FEW_ROWS = 4
"""A table with fewer says everything in every row."""


class Panel(NamedTuple):
    """A figure on the page."""

    title: str
    svg: str
    file: str
    is_wide: bool


class ShownTable(NamedTuple):
    """A table on the page; `facts` are the columns that say the same in every row."""

    title: str
    file: str
    n_rows: int
    rows: list[Row]
    columns: list[Column]
    facts: list[tuple[str, str]]

    @property
    def is_open(self) -> bool:
        """Whether it is short enough to be seen at once."""
        return self.n_rows <= OPEN_ROWS


class Section(NamedTuple):
    """An experiment on the page."""

    experiment: Experiment
    sentences: list[str]
    panels: list[Panel]
    folded_panels: list[Panel]
    tables: list[ShownTable]
    notes: list[str]
    facts: list[tuple[str, str]]
    seconds: float


def write_report(results: StudyResults, folder: Path) -> None:
    """Write `report.html`, `figures/` and `tables/` into the folder."""
    for name in ("figures", "tables"):
        (folder / name).mkdir(exist_ok=True)
    sections = [
        _section(experiment, results.experiments[name], folder)
        for name, experiment in EXPERIMENTS.items()
        if name in results.experiments
    ]
    left_out = [(EXPERIMENTS[name], reason) for name, reason in results.left_out.items()]
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"value": format_value, "heading": heading}
    environment.globals["cell"] = format_cell
    page = environment.get_template("report.html.jinja").render(
        protocol=results.protocol,
        most_sentences=MOST_SENTENCES,
        model=results.protocol["model"].split(" (")[0],
        facts=facts_of({key: each for key, each in results.protocol.items() if not isinstance(each, dict)}),
        groups={key: facts_of(each) for key, each in results.protocol.items() if isinstance(each, dict)},
        sections=sections,
        left_out=left_out,
        study_paper=MEASURES["elongated_directions"].citation.strip(),
        citations=_citations(results),
    )
    (folder / "report.html").write_text(page, encoding="utf-8")


def facts_of(protocol: dict[str, Any]) -> list[tuple[str, str]]:
    """A protocol as names and texts."""
    return [(display_name(key), format_value(value)) for key, value in protocol.items()]


def _section(experiment: Experiment, outcome: Outcome, folder: Path) -> Section:
    panels = _panels(experiment, outcome, folder)
    shown = SHOWN_PANELS if len(panels) > SHOWN_PANELS + 1 else len(panels)
    return Section(
        experiment=experiment,
        sentences=experiment.tell(outcome),
        panels=panels[:shown],
        folded_panels=panels[shown:],
        tables=[_table(experiment, outcome, name, folder) for name, rows in outcome.tables.items() if rows],
        notes=outcome.protocol.get("notes", []),
        facts=facts_of({key: value for key, value in outcome.protocol.items() if key != "notes"}),
        seconds=outcome.seconds,
    )


def _panels(experiment: Experiment, outcome: Outcome, folder: Path) -> list[Panel]:
    """The figures of an experiment, written as files too."""
    panels = []
    with style():
        figures = experiment.draw(outcome)
    for i, (name, figure) in enumerate(figures.items()):
        file = _file_name(experiment.name, name)
        title = title_of(figure) or display_name(name)
        write_figure(figure, folder / "figures" / file)
        drawing = folder / "figures" / f"{file}.svg"
        svg = inline_svg(drawing, f"{experiment.name}-{i}", f"{experiment.title}: {title}")
        panels.append(Panel(title, svg, file, is_wide(figure)))
    return panels


def _table(experiment: Experiment, outcome: Outcome, name: str, folder: Path) -> ShownTable:
    """A table of an experiment, written as files too."""
    rows, file = outcome.tables[name], _file_name(experiment.name, name)
    write_table(rows, folder / "tables" / file, outcome.protocol)
    columns = columns_of(rows, outcome.protocol)
    same = [each for each in columns[1:] if _is_constant(rows, each)]
    return ShownTable(
        title=heading(name),
        file=file,
        n_rows=len(rows),
        rows=list(rows[: HEAD if len(rows) > MOST_ROWS else MOST_ROWS]),
        columns=[each for each in columns if each not in same],
        facts=[(each.name, format_cell(rows[0], each)) for each in same],
    )


def _is_constant(rows: Sequence[Row], column: Column) -> bool:
    values = {format_cell(row, column) for row in rows}
    return len(rows) >= FEW_ROWS and len(values) == 1 and MISSING not in values


def _file_name(experiment: str, name: str) -> str:
    """Letters that every file system and every link takes."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", f"{experiment}-{name}")


def _citations(results: StudyResults) -> dict[str, str]:
    """BibTeX, and the measures that it is for."""
    names: dict[str, list[str]] = {}
    for name in results.protocol["settings"]["measures"]:
        names.setdefault(MEASURES[name].citation.strip(), []).append(display_name(name))
    return {citation: ", ".join(each) for citation, each in names.items()}
