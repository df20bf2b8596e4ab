"""A study case from the names of its models, with all that must be right before long work begins."""

from __future__ import annotations

from pathlib import Path

from isotropy_metrics.hidden_states import resolved_layers
from isotropy_metrics.study.case import StudyCase, StudySettings
from isotropy_metrics.study.data.bundled import minilm_path
from isotropy_metrics.study.spaces.checkpoint import Checkpoint
from isotropy_metrics.study.tasks import Task
from isotropy_metrics.training_curves import STATE_FILE, load_history


def opened_case(
    model: str | None,
    finetuned: str | None,
    task: Task,
    settings: StudySettings,
    max_length: int | None,
    progress: bool,
) -> StudyCase:
    """Load the models, and check that layers, tokens and numbers fit both and the texts.

    Raises:
        OSError: a model cannot be loaded.
        ValueError: what does not fit.
    """
    before = Checkpoint.load(str(minilm_path()) if model is None else model)
    if settings.layers != "all":
        resolved_layers(list(settings.layers), before.model.config.num_hidden_layers)
    after = None if finetuned is None else Checkpoint.load(finetuned)
    allowed, training = before.max_length, []
    if after is not None:
        before.check_comparable(after, task.test.texts)
        allowed = min(allowed, after.max_length)
        if (Path(finetuned) / STATE_FILE).is_file():
            training = load_history(Path(finetuned) / STATE_FILE)
    n_special = before.tokenizer.num_special_tokens_to_add()
    if max_length is not None and max_length <= n_special:
        raise ValueError(f"max_length={max_length} leaves no room for text beside {n_special} special tokens")
    max_length = allowed if max_length is None else min(max_length, allowed)
    case = StudyCase(before, after, task, settings, max_length, training, progress)
    for part in (task.test, *([task.dev] if settings.search and task.dev else [])):
        before.count_tokens(part.texts, max_length)
    most = {
        "n_directions": (before.model.config.hidden_size, "features"),
        "n_clusters": (before.count_tokens(case.fitting.texts, max_length), "tokens to fit treatments on"),
    }
    for name, (number, of) in most.items():
        if (getattr(settings, name) or 0) > number:
            raise ValueError(f"{name}={getattr(settings, name)} is too many: there are {number} {of}")
    return case
