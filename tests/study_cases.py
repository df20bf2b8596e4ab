"""Small cases of the study: MiniLM and a copy with noise in its last layer, on a few pairs of the STS benchmark."""

import copy
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import torch

from isotropy_metrics import find_measures
from isotropy_metrics.study.case import StudyCase, StudySettings
from isotropy_metrics.study.spaces.checkpoint import Checkpoint
from isotropy_metrics.study.study_results import StudyResults
from isotropy_metrics.study.tasks import Task, load_task

SPACES = ("spaces", "fitting_spaces", "dev_spaces", "fitting")
MEASURES = tuple(find_measures(["partition_isotropy", "isoscore"]))


@lru_cache(maxsize=1)
def checkpoints(path: Path) -> tuple[Checkpoint, Checkpoint]:
    """MiniLM, and the same with seeded noise in the weights of its last layer."""
    before = Checkpoint.load(str(path))
    model = copy.deepcopy(before.model)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.encoder.layer[-1].parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter += 0.3 * parameter.std(correction=0) * noise
    return before, Checkpoint("noisy", model, before.tokenizer)


@lru_cache(maxsize=1)
def _first_case(path: Path) -> StudyCase:
    task = load_task().sample(130, 60, 0)
    settings = StudySettings(MEASURES, layers=(5, 6), sample_size=500)
    case = StudyCase(*checkpoints(path), task, settings, 128)
    for name in SPACES:
        getattr(case, name)
    return case


def small_case(path: Path, task: Task | None = None, **settings) -> StudyCase:
    """130 training pairs, 60 held-out ones, 60 to search on, and 500 sampled tokens; the models ran once for all.

    Another task must have the same texts.
    """
    first = _first_case(path)
    case = replace(first, settings=replace(first.settings, **settings), task=task or first.task)
    for name in SPACES:
        vars(case)[name] = getattr(first, name)
    return case


def through_json(outcome, folder: Path):
    """The outcome as a report reads it: written and read again, after a look at its shape."""
    for rows in outcome.tables.values():
        assert all(row.keys() == rows[0].keys() for row in rows)
        assert all(type(value) in (str, int, float, bool, type(None)) for row in rows for value in row.values())
    results = StudyResults({}, {"it": outcome})
    results.save(folder / "results.json")
    return StudyResults.load(folder / "results.json").experiments["it"]


def check_drawn_numbers(figures, outcome) -> None:
    """Every number of every line, but for the dotted and invisible ones, is in a table."""
    known = {value for rows in outcome.tables.values() for row in rows for value in row.values()}
    assert figures
    for figure in figures.values():
        assert len(figure.axes) == 1
        lines = [line for line in figure.axes[0].lines if line.get_linestyle() != ":"]
        values = [value for line in lines for value in line.get_ydata() if value == value]
        assert values
        assert all(float(value) in known for value in values)
