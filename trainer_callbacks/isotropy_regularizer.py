"""IsotropyRegularizer: a term of the hidden states in the loss of an ordinary Trainer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from isotropy_metrics.hidden_states import checked_layers, encoder_of
from isotropy_metrics.measures import MEASURES
from isotropy_metrics.processes import world_size
from isotropy_metrics.statistics import Moments
from isotropy_metrics.whole_file import whole_file
from trainer_callbacks.current_loop import current_loop
from trainer_callbacks.loss_log import LossLog
from trainer_callbacks.probe import Probe
from trainer_callbacks.probed_space import ProbedSpace
from trainer_callbacks.regularizers.regularization_term import RegularizationTerm
from trainer_callbacks.training_states import POOLINGS, TrainingStates
from trainer_callbacks.undisturbed import undisturbed

if TYPE_CHECKING:
    from transformers import Trainer, TrainerControl, TrainerState, TrainingArguments

logger = logging.getLogger(__name__)

FILE_NAME = "isotropy_regularizer_{}.safetensors"  # of a term, by its name
AS_THE_TERM = "as the term"


class IsotropyRegularizer(TrainerCallback):
    """Adds weight · term(hidden states) to the loss of every training step: one line in a Trainer script.

        trainer.add_callback(IsotropyRegularizer(IStar(), weight=0.1, trainer=trainer))

    The term sees the tokens that the attention mask keeps, of chosen layers, and the whole batch: of all processes,
    and, where the trainer is known, of all micro-batches of gradient accumulation, for which each step's micro-batches
    run once more without gradient. Its weight then means the same on any number of processes and micro-batches.
    Without the trainer the term of a step is the mean of the terms of its micro-batches, another thing for a term
    that is no mean over rows, and too small in a last step of an epoch that has fewer of them.

    The training log has `task_loss` and the term by its name (`i_star`), means over the forward passes and processes
    since the last entry, and the weight of the latest step (`i_star_weight`). While the weight stays, `loss` is
    task_loss + weight · term. Evaluation is left alone. A second regularizer may be added, of a term of another name.

    Where the Trainer computes the loss itself (label smoothing, or a `compute_loss_func` of yours) the model returns
    none that could be added to, or it is not used; then pass

        Trainer(compute_loss_func=regularizer.compute_loss_func(task_loss), callbacks=[regularizer])

    Args:
        term: see `trainer_callbacks.regularizers`.
        weight: λ, of either sign; a term says what its sign does.
        trainer: the Trainer. Without it the values reach `log_history`, but no reporter.
        layers: as the term is usually used, or "all" (1 to L, without the embedding output), a number or several;
            negative from the end.
        pooling: as the term is usually used, or None for token rows, "mean" or "cls" for one row per text.
        warmup_steps: the weight rises linearly to its value over so many steps; below 1, over this share of all.
        reference: texts or a dataset whose states are the term's reference at the beginning of every epoch, where it
            takes one (`IStar(reference="epoch")`); None for the training data.
        reference_size: most texts of the reference.

    Raises:
        ValueError: the arguments do not fit the term or the model; when training begins, two terms have one name; or,
            in the first step, the loss does not come from the model.

    Example:
        trainer.add_callback(IsotropyRegularizer(IStar(), weight=-1.0, trainer=trainer))  # away from isotropy
    """

    def __init__(
        self,
        term: RegularizationTerm,
        weight: float,
        *,
        trainer: Trainer | None = None,
        layers: str | int | Iterable[int] = AS_THE_TERM,
        pooling: str | None = AS_THE_TERM,
        warmup_steps: float = 0,
        reference: Any = None,
        reference_size: int | None = 1000,
    ) -> None:
        if not isinstance(term, RegularizationTerm):
            raise ValueError(f"term must be a RegularizationTerm such as IStar(), got {type(term).__name__}")
        if warmup_steps < 0:
            raise ValueError(f"warmup_steps must be a number of steps or a share below 1, got {warmup_steps}")
        self.term = term
        self.weight = float(weight)
        self.trainer = trainer
        self.layers = checked_layers(term.layers if layers == AS_THE_TERM else layers)
        self.pooling = term.pooling if pooling == AS_THE_TERM else pooling
        if self.pooling not in POOLINGS:
            raise ValueError(f"pooling must be one of {', '.join(map(repr, POOLINGS))}, got {pooling!r}")
        self.warmup_steps = warmup_steps
        self.reference = reference
        self.reference_size = reference_size
        self.current_weight = 0.0
        self._initial = {name: tensor.clone() for name, tensor in term.state_dict().items()}
        self._states: TrainingStates | None = None
        self._loss_hook: Any = None
        self._uncounted: torch.Tensor | None = None
        self._awaits_gradient = False
        self._is_said = False
        self._log = LossLog(term.name)
        self._micro_batches: list[Any] = []
        self._num_items: Any = None
        self._micro_batch = 0
        self._is_recording = False
        self._loop: Any = None
        self._probe: Probe | None = None
        self._keeps_reference = False

    def compute_loss_func(self, task_loss: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        """A `compute_loss_func` for the Trainer: the task's loss and the term.

        Args:
            task_loss: called with `(outputs, labels, num_items_in_batch=...)`, as the Trainer would call it; like any
                `compute_loss_func` it divides by `num_items_in_batch` itself.
        """

        def loss(outputs: Any, labels: Any, num_items_in_batch: Any = None) -> torch.Tensor:
            if self._is_recording:
                return torch.zeros(())
            of_task = task_loss(outputs, labels, num_items_in_batch=num_items_in_batch)
            if self._uncounted is None:
                return of_task  # not in a training step
            return self._sum(of_task, divided=self._is_divided(True), multiplied=num_items_in_batch is not None)

        return loss

    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **of_trainer: Any,
    ) -> None:
        if args.n_gpu > 1:
            raise ValueError(
                f"a regulariser cannot see the whole batch of torch.nn.DataParallel over {args.n_gpu} GPUs: launch "
                "one process per GPU, as with `accelerate launch`"
            )
        self._args = args
        self._refuse_equal_names()
        self._remove_hooks()
        self._states = TrainingStates(model, self.layers, self.pooling, self.term.two_passes)
        self._loss_hook = model.register_forward_hook(self._after_forward, with_kwargs=True)
        self._log.forget()
        self.term.load_state_dict(self._initial)
        self._keeps_reference = self._load(args, state) and state.epoch % 1 != 0  # in the midst of an epoch
        if self._wants_reference:
            source = of_trainer["train_dataloader"].dataset if self.reference is None else self.reference
            self._probe = Probe.of(
                source,
                encoder=encoder_of(model),
                tokenizer=of_trainer.get("processing_class"),
                size=self.reference_size,
                drop_special_tokens=False,
                pooling=self.pooling,
                batch_size=args.per_device_eval_batch_size,
            )
        if self.trainer is None:
            logger.warning(
                "without the trainer the values of %s reach log_history, but no reporter: "
                "IsotropyRegularizer(term, weight, trainer=trainer)",
                self.term.name,
            )
            return
        handler = self.trainer.callback_handler
        handler.callbacks = [self, *(each for each in handler.callbacks if each is not self)]  # before the reporters
        if args.gradient_accumulation_steps > 1:
            self.trainer.get_batch_samples = self._noting_batches(type(self.trainer).get_batch_samples)

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **of_trainer: Any,
    ) -> None:
        if self._wants_reference and not self._keeps_reference:
            self.term.set_reference(self._covariance(args, model))
        self._keeps_reference = False

    def on_step_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **of_trainer: Any,
    ) -> None:
        warmup = self.warmup_steps if self.warmup_steps >= 1 else self.warmup_steps * state.max_steps
        self.current_weight = self.weight * min(1.0, (state.global_step + 1) / max(warmup, 1))
        self.term.joint.forget()
        self._micro_batch = 0
        self._states.forget()
        self._states.looks = True
        self._loop = current_loop()
        if len(self._micro_batches) > 1:
            self._record(model)

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **of_trainer: Any
    ) -> None:
        self._states.looks = False
        if self._uncounted is not None or self._awaits_gradient:
            raise ValueError(
                "the Trainer computes its loss without the model's, so the term has no part in it: pass "
                "compute_loss_func=regularizer.compute_loss_func(task_loss) to the Trainer"
            )

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **of_trainer: Any,
    ) -> None:
        self._log.add_to(logs, state, self.current_weight)

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **of_trainer: Any
    ) -> None:
        tensors = {name: tensor.contiguous() for name, tensor in self.term.state_dict().items()}
        path = self._file(args, state)
        if not tensors or not state.is_world_process_zero:
            return
        if not path.parent.is_dir():  # as in a search of hyperparameters, whose runs are not resumed
            logger.warning("%s is not saved: there is no folder %s", self.term.name, path.parent)
            return
        from safetensors.torch import save_file

        with whole_file(path) as beside:
            save_file(tensors, beside)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **of_trainer: Any
    ) -> None:
        self._remove_hooks()
        if self.trainer is not None:
            vars(self.trainer).pop("get_batch_samples", None)

    def _of_trainer(self) -> list[IsotropyRegularizer]:
        """All that the trainer has, this one among them."""
        callbacks = [] if self.trainer is None else self.trainer.callback_handler.callbacks
        return [each for each in callbacks if isinstance(each, IsotropyRegularizer)]

    def _refuse_equal_names(self) -> None:
        name = self.term.name
        if sum(each.term.name == name for each in self._of_trainer()) > 1:
            raise ValueError(
                f"two terms have the name {name}, by which logs and checkpoints know them: make one a subclass, "
                f"class Other{type(self.term).__name__}({type(self.term).__name__}), whose name is another"
            )

    @property
    def _wants_reference(self) -> bool:
        return getattr(self.term, "reference", None) == "epoch"

    @torch.compiler.disable
    def _after_forward(self, model: torch.nn.Module, args: tuple, kwargs: dict[str, Any], output: Any) -> Any:
        if not model.training or not self._states.looks:
            return None
        if current_loop() != self._loop:  # of another training: this one was interrupted
            self._remove_hooks()
            return None
        if self._is_recording:
            self.term.joint.record()
            self.term(*self._rows())
            return None
        if not torch.is_grad_enabled():
            self._states.forget()
            return None
        if len(self._micro_batches) > 1:
            self.term.joint.replay(self._micro_batch)
        self._micro_batch += 1
        self._uncounted = self.term(*self._rows())
        is_mapping = isinstance(output, Mapping)
        loss = output.get("loss") if is_mapping else output[0] if isinstance(output, (tuple, list)) else None
        if not isinstance(loss, torch.Tensor) or loss.ndim:
            return None  # compute_loss_func adds the term
        counted = kwargs.get("num_items_in_batch") is not None
        loss = self._sum(loss, divided=self._is_divided(counted), multiplied=counted)
        if is_mapping:
            output["loss"] = loss
            return output
        return (loss, *output[1:])

    def _rows(self) -> tuple[Any, ...]:
        """The arguments of the term: rows by layer, no mask, and rows of the second pass if it needs one."""
        passes = self._states.pop()
        return (passes[0], None, *passes[1:])

    def _sum(self, task_loss: torch.Tensor, *, divided: bool, multiplied: bool) -> torch.Tensor:
        """The task's loss and the term, scaled for what the Trainer does next.

        Args:
            divided: the Trainer will divide the loss by the number of micro-batches.
            multiplied: it may multiply it by the number of processes (`average_tokens_across_devices`).
        """
        term, self._uncounted = self._uncounted, None
        n = self._n_micro_batches
        share = 1.0 if divided else 1.0 / n
        if multiplied and self._args.average_tokens_across_devices:
            share /= world_size()
        is_joint = len(self._micro_batches) > 1
        value = term.detach() * share
        gradient = (term - term.detach()) * (share * n if is_joint else share)
        self._log.note(task_loss / share, term)
        added = self.current_weight * (value + gradient).to(task_loss.device)
        if added.requires_grad:
            self._awaits_gradient = True
            added.register_hook(self._note_gradient)
        elif not self._is_said:
            self._is_said = True
            logger.warning(
                "no weights that are trained have a part in the hidden states: %s does nothing", self.term.name
            )
        return task_loss + added

    def _is_divided(self, counted: bool) -> bool:
        """Whether the Trainer will divide the loss by the number of micro-batches, as it says in `training_step`.

        Args:
            counted: the loss was computed with `num_items_in_batch`, which decides it where the trainer is not known.
        """
        if self.trainer is None:
            return not counted
        is_scaled = getattr(self.trainer, "loss_is_scaled_for_ga", None)
        if is_scaled is None:
            is_counted = self.trainer.model_accepts_loss_kwargs and self._num_items is not None
            is_scaled = is_counted or self.trainer.compute_loss_func is not None
        return not is_scaled

    def _note_gradient(self, gradient: torch.Tensor) -> None:
        self._awaits_gradient = False

    @property
    def _n_micro_batches(self) -> int:
        if self.trainer is None:
            return self._args.gradient_accumulation_steps
        return self.trainer.current_gradient_accumulation_steps

    def _noting_batches(self, get_batch_samples: Callable[..., Any]) -> Callable[..., Any]:
        """The Trainer's method, which hands out the micro-batches of a step beforehand, with a look at them."""

        def noting(epoch_iterator: Any, num_batches: int, device: Any) -> Any:
            batches, num_items = get_batch_samples(self.trainer, epoch_iterator, num_batches, device)
            for each in self._of_trainer():
                each._micro_batches, each._num_items = batches, num_items
            return batches, num_items

        return noting

    def _record(self, model: torch.nn.Module) -> None:
        """Run over all micro-batches of the step without gradient, with the dropout that they will have."""
        model.train()
        self._is_recording = True
        devices = [self._args.device] if self._args.device.type == "cuda" else []
        before = [(buffer, buffer.clone()) for buffer in model.buffers()]  # as those of batch normalization
        try:
            with torch.random.fork_rng(devices), torch.no_grad(), self.trainer.compute_loss_context_manager():
                for batch in self._micro_batches:
                    inputs = self.trainer._prepare_inputs(batch)
                    self.trainer.compute_loss(model, inputs, num_items_in_batch=self._num_items)
                for buffer, value in before:
                    buffer.copy_(value)
        finally:
            self._is_recording = False

    def _covariance(self, args: TrainingArguments, model: torch.nn.Module) -> torch.Tensor:
        """Covariance of the reference's rows, of all layers together or of each, as the term takes them."""
        dtype = torch.bfloat16 if args.bf16 else torch.float16 if args.fp16 else None
        with undisturbed(model, dtype):
            space = ProbedSpace.read(
                self._probe,
                model,
                [MEASURES["isoscore"]],
                layers=self.layers,
                sampled=False,
                sample_size=2,
            )
        chosen = [space.moments(layer) for layer in space.statistics if layer or self.layers is not None]
        if self.term.union:
            rows = Moments()
            for moments in chosen:
                rows.merge(moments)
            chosen = [rows]
        covariances = [torch.from_numpy(moments.scatter / (moments.n_rows - 1)) for moments in chosen]
        return covariances[0] if self.term.union else torch.stack(covariances)

    def _remove_hooks(self) -> None:
        if self._states is not None:
            self._states.remove()
            self._loss_hook.remove()
        self._states = self._loss_hook = self._uncounted = None
        self._awaits_gradient = False
        self._num_items = None
        self._micro_batches = []

    def _file(self, args: TrainingArguments, state: TrainerState) -> Path:
        return Path(args.output_dir, f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}", FILE_NAME.format(self.term.name))

    def _load(self, args: TrainingArguments, state: TrainerState) -> bool:
        """Continue with what the checkpoint of this step keeps of the term; returns whether there is any."""
        if not state.global_step or not self.term.state_dict() and not self._wants_reference:
            return False
        path = self._file(args, state)
        if not path.is_file():
            logger.warning("there is no %s, so %s begins anew", path, self.term.name)
            return False
        from safetensors.torch import load_file

        self.term.load_state_dict(load_file(path))
        return True
