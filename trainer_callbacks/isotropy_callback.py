"""IsotropyCallback: the geometry of every layer while a Trainer fine-tunes a model."""

from __future__ import annotations

import logging
import numbers
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from transformers import EarlyStoppingCallback, PrinterCallback, ProgressCallback, TrainerCallback
from transformers.trainer_callback import ExportableState
from transformers.trainer_utils import default_compute_objective

from isotropy_metrics.measures import find_measures
from isotropy_metrics.processes import raised_together
from isotropy_metrics.statistics import Moments
from trainer_callbacks.baseline import Baseline
from trainer_callbacks.collapse_alarm import default_alarms
from trainer_callbacks.collapse_watch import CollapseWatch
from trainer_callbacks.default_measures import DEFAULT_MEASURES
from trainer_callbacks.space_watch import Reading, SpaceWatch

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, Trainer, TrainerControl, TrainerState, TrainingArguments

    from isotropy_metrics.measures import Measure
    from isotropy_metrics.measures.comparisons import Comparison
    from trainer_callbacks.collapse_alarm import CollapseAlarm

logger = logging.getLogger(__name__)


DEFAULT_DRIFT = ("linear_cka", "neighborhood_overlap")
_live: weakref.WeakValueDictionary[str, IsotropyCallback] = weakref.WeakValueDictionary()
"""Callbacks by what they measure: a Trainer that restores callbacks makes new ones, which continue these."""


class IsotropyCallback(TrainerCallback, ExportableState):
    """Measures the hidden states of every layer before training and at every evaluation: one line in a Trainer script.

        trainer.add_callback(IsotropyCallback(trainer))

    It reads a probe, fixed texts, in forward passes of its own, and adds to what `trainer.evaluate()` returns, to
    `state.log_history` and to every reporter of `report_to`

        eval_<measure>                         of the last chosen layer
        eval_layer_<i>/<measure>               of each layer; 0 is the embedding output
        eval_<comparison>_to_baseline          how much of the space before training is left,
        eval_layer_<i>/<comparison>_to_baseline    for each layer
        eval_isotropy_alarm                    how many alarms are raised,

    and before training, at step 0, the values of the model as it came. A named probe has its name in front, as in
    `eval_<probe>_layer_<i>/<measure>`. Every key can be `metric_for_best_model` and stop training early.

    It does not change training: eval mode, random generators and gradients are afterwards as they were, and losses
    and weights are the same to the bit with and without it. It keeps statistics and bounded samples, and no hidden
    states. What goes wrong inside it is logged as a warning and training goes on; the values are then NaN.

    On several processes each reads its share of the probe; the values are the same on every process and for any number
    of them. Models may be compiled, have PEFT adapters, or be modules around a transformers model.

    `hyperparameter_search` needs a `compute_objective`, as its own adds up all metrics, these too.

    What it does not tell: whether a change is good. Look at the task's metric beside it.

    Args:
        trainer: the Trainer. Without it, as in `Trainer(callbacks=[IsotropyCallback()])`, values reach the metrics and
            `log_history` but no reporter, the default probe is not known before the first evaluation, and an
            `EarlyStoppingCallback` by a value of this one must come after it.
        measures: names or measures; those of classes are measured on the probes that have labels.
        layers: "all", a number or several: 0 = embedding output, 1 to L, negative from the end (-1 = last layer).
        probe: texts; or a dataset with `input_ids` or one column of texts, and perhaps class labels; or a dict of
            several by name. None for the Trainer's eval dataset.
        probe_size: most texts of each probe, drawn once with `seed`; None for all.
        pooling: None for token rows, without padding and special tokens; or one row per text: "mean", "cls" or "last".
        drift: comparisons with the space before training; () for none.
        every_n_steps: measure also at every so-manieth step, beside the evaluations.
        alarms: `CollapseAlarm`s, whose measures are measured too; None for `default_alarms()`, () for none. A raised
            alarm is a warning that names the likely cause, a `trackio.alert` if a trackio run is active, and a JSON
            file in `output_dir`.
        sample_size: rows per layer that the comparisons, and the measures that need rows, are computed of.
        options: keyword arguments by measure, as in `{"isoscore": {"unbiased": True}}`.
        tokenizer: None for the `processing_class` of the Trainer.
        max_length: texts are cut to so many tokens; None for what model and tokenizer allow.
        batch_size: texts per forward pass; None for `per_device_eval_batch_size`.
        seed: of the probe and the samples.
        continues: the Trainer's, for the callback of a checkpoint.

    Raises:
        ValueError: an unknown measure, comparison, layer or pooling, a number out of range, or a probe that cannot be
            read, before training.

    Example:
        trainer = Trainer(model, args, train_dataset=train, eval_dataset=test, processing_class=tokenizer)
        trainer.add_callback(IsotropyCallback(trainer, probe={"in": test, "out": other_texts}, pooling="mean"))
    """

    def __init__(
        self,
        trainer: Trainer | None = None,
        *,
        measures: str | Measure | Iterable[str | Measure] = DEFAULT_MEASURES,
        layers: str | int | Iterable[int] = "all",
        probe: Any = None,
        probe_size: int | None = 1000,
        pooling: str | None = None,
        drift: str | Comparison | Iterable[str | Comparison] = DEFAULT_DRIFT,
        every_n_steps: int | None = None,
        alarms: Sequence[CollapseAlarm] | None = None,
        sample_size: int = 1000,
        options: dict[str, dict[str, Any]] | None = None,
        tokenizer: PreTrainedTokenizerBase | None = None,
        max_length: int | None = None,
        batch_size: int | None = None,
        seed: int = 0,
        continues: str | None = None,
    ) -> None:
        if continues is not None:
            self._adopt(continues)
            return
        preparation = {"size": probe_size, "max_length": max_length, "batch_size": batch_size}
        _check_whole(1, every_n_steps=every_n_steps, probe_size=probe_size)
        _check_whole(1, max_length=max_length, batch_size=batch_size)
        _check_whole(2, or_none=False, sample_size=sample_size)
        _check_whole(0, or_none=False, seed=seed)
        alarms = default_alarms() if alarms is None else list(alarms)
        measures = find_measures(measures)
        of_alarms = find_measures([alarm.measure for alarm in alarms]) if alarms else []
        self.space_watch = SpaceWatch(
            measures=[*measures, *dict.fromkeys(each for each in of_alarms if each not in measures)],
            layers=layers,
            pooling=pooling,
            drift=drift,
            options=options,
            sample_size=sample_size,
            seed=seed,
            also=(Moments,) if alarms else (),  # they tell causes apart
        )
        self.collapse_watch = CollapseWatch(alarms)
        self.probe = probe
        self.tokenizer = tokenizer
        self.every_n_steps = every_n_steps
        self.baseline: dict[str, float] = {}
        self.trainer = trainer
        self._preparation = preparation
        self._latest: tuple[Any, Reading] | None = None
        self._is_training = False
        if trainer is not None:
            self._prepare(trainer.args, trainer.model, trainer.processing_class, trainer.eval_dataset)
        _live[self._settings] = self

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **of_trainer: Any
    ) -> None:
        self._is_training, self._latest = True, None
        if not state.global_step:  # nothing of an earlier training of the same trainer counts
            self.baseline, self.space_watch.baseline = {}, None
            self.collapse_watch.begin_anew()
        self._come_before_early_stopping()
        self._warn_of_default_objective(state)
        state.stateful_callbacks.setdefault(type(self).__name__, self.state())  # without it a resumed run cannot save
        if not self.space_watch.probes:
            if self.probe is None:
                self.space_watch.say_once(
                    "without the trainer the eval dataset is not known before the first evaluation, so there are no "
                    "values from before training: pass IsotropyCallback(trainer) or probe="
                )
                return
            self._prepare(args, of_trainer["model"], of_trainer.get("processing_class"), None)
        with self._going_on("could not begin"):
            if state.global_step and self._resume(args, state):
                return
            reading, _ = self._read(args, state, of_trainer)
            self._keep_baseline(reading, args, state)
            self._log(reading, state)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **of_trainer: Any
    ) -> None:
        due = self.every_n_steps is not None and state.global_step % self.every_n_steps == 0
        if due and not control.should_evaluate and self.space_watch.probes:
            with self._going_on(f"could not measure at step {state.global_step}"):
                self._measure(args, state, control, of_trainer)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **of_trainer: Any,
    ) -> None:
        values = dict.fromkeys(self._known_keys(), float("nan"))  # a missing metric_for_best_model ends the training
        with self._going_on(f"could not measure at step {state.global_step}"):
            if not self.space_watch.probes:
                dataset = getattr(of_trainer.get("eval_dataloader"), "dataset", None)
                with raised_together():
                    self._prepare(args, of_trainer["model"], of_trainer.get("processing_class"), dataset)
            values = self._measure(args, state, control, of_trainer).values
        if metrics is not None:
            metrics |= {f"eval_{key}": value for key, value in values.items()}
            wanted = (args.metric_for_best_model or "").removeprefix("eval_")
            if wanted in self.space_watch.keys():
                metrics.setdefault(f"eval_{wanted}", float("nan"))

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **of_trainer: Any
    ) -> None:
        self._is_training = False

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: the values before training and the state of the alarms."""
        return {"args": {"continues": self._settings}, "attributes": {"progress": self.progress}}

    @property
    def progress(self) -> dict[str, Any]:
        """What the training has shown so far, as plain JSON; assigning it continues from there."""
        return {"baseline": self.baseline, "alarms": self.collapse_watch.state_dict()}

    @progress.setter
    def progress(self, progress: dict[str, Any]) -> None:
        self.baseline = dict(progress["baseline"])
        self.collapse_watch.load_state_dict(progress["alarms"])

    @property
    def _settings(self) -> str:
        """Tells one callback of a script from another, in this process and in the one that resumes."""
        watch = self.space_watch
        names = list(self.probe) if isinstance(self.probe, Mapping) else []
        return f"{[each.name for each in watch.measures]} layers {watch.layers} {watch.pooling} probes {names}"

    def _adopt(self, settings: str) -> None:
        """Become the callback with these settings, which the Trainer is about to replace by this one."""
        if settings not in _live:
            raise ValueError(
                f"the checkpoint is of another IsotropyCallback: {settings}; give this one the same arguments, or the "
                "Trainer restore_callback_states_from_checkpoint=False"
            )
        vars(self).update(vars(_live[settings]))
        _live[settings] = self

    def _prepare(self, args: TrainingArguments, model: torch.nn.Module, tokenizer: Any, eval_dataset: Any) -> None:
        source = eval_dataset if self.probe is None else self.probe
        if source is None:
            raise ValueError("there are no texts to look at: give the Trainer an eval_dataset, or pass probe=")
        sources = {str(name): each for name, each in source.items()} if isinstance(source, Mapping) else {"": source}
        if not sources:
            raise ValueError("probe= is an empty dict: pass texts or a dataset by name")
        tokenizer = tokenizer if self.tokenizer is None else self.tokenizer
        batch_size = self._preparation["batch_size"] or args.per_device_eval_batch_size
        self.space_watch.prepare(sources, model, tokenizer, **self._preparation | {"batch_size": batch_size})
        self.collapse_watch.check(self.space_watch)

    def _read(self, args: TrainingArguments, state: TrainerState, of_trainer: dict[str, Any]) -> tuple[Reading, bool]:
        """The space now, and whether it was read anew: not if the weights are those of the latest reading."""
        model = of_trainer["model"] if self.trainer is None else self.trainer.model
        moment = state.global_step, [(id(each), each._version, each.dtype) for each in model.parameters()]
        if self._latest is not None and self._latest[0] == moment:
            return self._latest[1], False
        dtype = torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else None
        reading = self.space_watch.read(model, dtype)
        self._latest = moment, Reading(reading.values)  # not the spaces, which may take gigabytes
        return reading, True

    def _measure(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, of_trainer: dict[str, Any]
    ) -> Reading:
        reading, is_new = self._read(args, state, of_trainer)
        if is_new:
            if self._is_training and not state.global_step and not self.baseline:
                self._keep_baseline(reading, args, state)
            elif self.collapse_watch.observe(reading, self.baseline, args, state) and self._is_training:
                control.should_training_stop = True
            self._log(reading, state)
        return reading

    def _keep_baseline(self, reading: Reading, args: TrainingArguments, state: TrainerState) -> None:
        self.baseline = dict(reading.values)
        self.collapse_watch.keep_baseline(reading)
        if self.space_watch.baseline is not None:  # read from the file that a run before this one wrote
            return
        self.space_watch.keep_baseline(reading)
        if args.save_strategy != "no" and self.space_watch.baseline is not None and state.is_world_process_zero:
            with self._going_on("could not write the space before training, which a resumed run compares with"):
                self.space_watch.baseline.save(args.output_dir)

    def _resume(self, args: TrainingArguments, state: TrainerState) -> bool:
        """Continue from what the checkpoint knows; returns whether it knows anything."""
        known = state.stateful_callbacks[type(self).__name__]
        own = [
            each for each in (known if isinstance(known, list) else [known]) if each["args"] == self.state()["args"]
        ]
        is_known = bool(own and own[-1]["attributes"]["progress"]["baseline"])
        if is_known:
            self.progress = own[-1]["attributes"]["progress"]
        else:
            self.space_watch.say_once(
                f"the checkpoint of step {state.global_step} knows no values from before training: the baseline is "
                "the model as it is resumed"
            )
        self.space_watch.baseline = None
        if self.space_watch.comparisons and state.is_world_process_zero:
            try:
                self.space_watch.baseline = Baseline.load(args.output_dir, self.space_watch.identity)
            except (OSError, ValueError) as error:
                if is_known:
                    self.space_watch.say_once(f"no drift from before training is measured: {error}")
        return is_known

    def _log(self, reading: Reading, state: TrainerState) -> None:
        values = {f"eval_{key}": value for key, value in reading.values.items()}
        if self.trainer is None:
            state.log_history.append({**values, "epoch": state.epoch, "step": state.global_step})
            self.space_watch.say_once(
                "without the trainer the values reach the metrics of evaluate() and log_history, but no reporter: "
                "trainer.add_callback(IsotropyCallback(trainer))"
            )
            return
        is_due = self.trainer.control.should_log
        with self._going_on(f"could not report the values of step {state.global_step}"):
            self._report(values)
        self.trainer.control.should_log = is_due  # on_log resets it, and the training loss would not be logged

    def _report(self, values: dict[str, float]) -> None:
        """Log all values, and print those of the last layer: of every layer they would fill the screen."""
        trainer, handler = self.trainer, self.trainer.callback_handler
        callbacks = handler.callbacks
        printing = [each for each in callbacks if type(each) in (PrinterCallback, ProgressCallback)]
        handler.callbacks = [each for each in callbacks if each not in printing]
        try:
            trainer.log(values)
        finally:
            handler.callbacks = callbacks
        of_last_layer = {key: value for key, value in values.items() if "/" not in key}
        for each in printing:
            each.on_log(trainer.args, trainer.state, trainer.control, logs=dict(of_last_layer))

    def _known_keys(self) -> Iterable[str]:
        return self.space_watch.keys() if self._latest is None else self._latest[1].values

    def _come_before_early_stopping(self) -> None:
        """An early stop by a measure needs its value in the metrics before EarlyStoppingCallback looks there."""
        if self.trainer is None:
            return
        handler = self.trainer.callback_handler
        others = [each for each in handler.callbacks if each is not self]
        place = next((i for i, each in enumerate(others) if isinstance(each, EarlyStoppingCallback)), None)
        if place is not None and handler.callbacks.index(self) > place:
            handler.callbacks = [*others[:place], self, *others[place:]]  # a new list: the old one is being walked

    def _warn_of_default_objective(self, state: TrainerState) -> None:
        objective = getattr(self.trainer, "compute_objective", None)
        if state.is_hyper_param_search and objective is default_compute_objective:
            self.space_watch.say_once(
                "hyperparameter_search adds up all metrics, the measures of isotropy too, unless it is told what to "
                "optimize: pass compute_objective=lambda metrics: metrics['eval_loss']"
            )

    @contextmanager
    def _going_on(self, what: str) -> Iterator[None]:
        """What goes wrong inside is a warning, and training goes on."""
        try:
            yield
        except Exception as error:
            sentence = f"IsotropyCallback {what}, training goes on: {type(error).__name__}: {error}"
            logger.warning(sentence, exc_info=logger.isEnabledFor(logging.DEBUG))


def _check_whole(least: int, *, or_none: bool = True, **given: Any) -> None:
    """Refuse what is no whole number, or one that is too small."""
    for name, value in given.items():
        is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        if not (is_whole and value >= least) and not (or_none and value is None):
            or_so = ", or None" if or_none else ""
            raise ValueError(f"{name} must be a whole number, at least {least}{or_so}; got {value!r}")
