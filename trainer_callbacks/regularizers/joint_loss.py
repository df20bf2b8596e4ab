"""JointLoss: the loss of the task and the isotropy of a layer in front of the classifier."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from transformers import TrainerCallback

from trainer_callbacks.loss_log import LossLog
from trainer_callbacks.regularizers.isotropy_layer import IsotropyLayer
from trainer_callbacks.regularizers.joint_batch import JointBatch
from trainer_callbacks.regularizers.regularization_term import RegularizationTerm

if TYPE_CHECKING:
    from transformers import TrainerControl, TrainerState, TrainingArguments

NO_LABEL = -100


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor, reduction: str) -> torch.Tensor:
    """The cross entropy of logits (..., n_classes) and labels (...), where a label is not −100."""
    return torch.nn.functional.cross_entropy(
        logits.flatten(0, -2), labels.flatten(), ignore_index=NO_LABEL, reduction=reduction
    )


class JointLoss(TrainerCallback):
    """The loss of the task joined with the anisotropy of an `IsotropyLayer`: give it as `compute_loss_func`.

        layer = IsotropyLayer(model.config.hidden_size)
        model.classifier = torch.nn.Sequential(layer, model.classifier)
        joint_loss = JointLoss(layer)
        Trainer(model, args, compute_loss_func=joint_loss, callbacks=[joint_loss], ...)

    As a callback it adds `task_loss`, the term by its name (`i_star`) and its weight, 1 − α, to the entries of the
    training log: in `log_history`, and for the callbacks after it.

    With the term of the layer's output, by default 1 − IsoScore*, it is

        loss = α · task + (1 − α) · term

    α = 1 is the task alone, bit for bit; the smaller α, the more isotropic the output of the layer is made. In
    evaluation the loss is the task's alone, so that `eval_loss` compares between values of α. (Under gradient
    accumulation the plain Trainer may train on another multiple of the task: the loss that some models, such as BERT's
    classifier, compute themselves is then the sum over the micro-batches, not their mean.)

    The IsoScore of the n rows of a batch in d dimensions is at most about n/(n + d), however isotropic the layer is
    (0.04 for 32 rows and d = 768); the default term therefore is IsoScore* with shrinkage to the identity, and a
    first batch of fewer rows than features is warned of. n counts the rows of all processes.

    With gradient accumulation the Trainer does not divide what comes from a `compute_loss_func`. So the task is summed
    over the labels of a micro-batch and divided by `num_items_in_batch`, the labels of the whole step, and the term
    is multiplied by the share of these labels that the micro-batch has, on the mean of the processes. The shares of a
    step add up to 1: its loss is that of all labels, plus the mean of the terms of the micro-batches. Each term is of
    its micro-batch, over all processes; that is not the term of the joined micro-batches, so fewer and larger
    micro-batches make it better founded.

    The two pull against each other: classes that separate are anisotropic. With few rows the term has little room, and
    α a narrow range in which both move; with a frozen MiniLM and 32 news articles of 5 topics a step, α = 0.5 trains
    the classifier and lets the term rise as it does without it, and α = 0.1 lowers the term and hardly trains.

    What it does not tell: whether isotropy serves the task. The exact loss of Attieh et al. 2023 is not known here:
    only their abstract was at hand, which names a joint loss of an isotropy measure and the task for one feed-forward
    layer, trained in place of the whole network, and IsoScore and explained variance as measures. The convex
    combination, α = 0.5 and IsoScore* are choices of this package.

    Paper: Attieh et al. 2023, Optimizing the Performance of Text Classification Models by Improving the Isotropy of
    the Embeddings using a Joint Loss Function, https://doi.org/10.1007/978-3-031-41734-4_8.

    Args:
        layer: the layer, part of the model. Its output is one row per text; or one per token, of which those with a
            label count.
        alpha: α, from 0 to 1.
        term: what is made small beside the task, of the layer's output; None for `IStar(reference="identity")`.
        task_loss: called with logits, labels and reduction="sum" or "mean", as in `torch.nn.functional`.

    Raises:
        ValueError: α is outside [0, 1], the term needs two forward passes, or, in a call, there are no labels.
        RuntimeError: in a call, the layer kept no output in training: it is not part of the model, or of a copy of it
            (`torch.nn.DataParallel`).

    Example:
        >>> import torch
        >>> from trainer_callbacks.regularizers.cos_reg import CosReg
        >>> layer = IsotropyLayer(2)
        >>> loss = JointLoss(layer, alpha=0.9, term=CosReg(unbiased=True))
        >>> logits = layer(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
        >>> joint = loss({"logits": logits}, torch.tensor([0, 1, 1]), num_items_in_batch=3)
        >>> round(joint.item(), 4)
        0.443
    """

    def __init__(
        self,
        layer: IsotropyLayer,
        alpha: float = 0.5,
        term: RegularizationTerm | None = None,
        task_loss: Callable[..., torch.Tensor] = cross_entropy,
    ) -> None:
        if not 0 <= alpha <= 1:
            raise ValueError(f"alpha must be from 0 to 1, got {alpha}")
        if term is None:
            from trainer_callbacks.regularizers.i_star import IStar

            term = IStar(reference="identity")
        if term.two_passes:
            raise ValueError(f"{type(term).__name__} compares two forward passes, and a loss sees one")
        self.layer, self.alpha, self.term, self.task_loss = layer, alpha, term, task_loss
        self._log = LossLog(term.name)
        self._processes = JointBatch()
        self._is_checked = False

    def __call__(
        self,
        outputs: Mapping[str, Any] | tuple[Any, ...],
        labels: torch.Tensor | None,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> torch.Tensor:
        """The joint loss of a micro-batch.

        Args:
            outputs: of the model: its logits by this name, or the first of a tuple.
            labels: of the micro-batch; −100 where there is none.
            num_items_in_batch: the labels of the whole step; None for a batch that is a step.
        """
        if labels is None:
            raise ValueError("the joint loss needs labels: the batches have no 'labels'")
        logits = outputs["logits"] if isinstance(outputs, Mapping) else outputs[0]
        task = self._task(logits, labels, num_items_in_batch)
        states = self.layer.take_output()
        if not self.layer.training:
            return task
        if states is None:
            raise RuntimeError("the layer saw no forward pass of training since the last loss: is it in the model?")
        mask = None if states.ndim == 2 else labels != NO_LABEL
        share = self._share(states, mask, labels, num_items_in_batch)
        term = self.term(states, mask)
        self._note(task, term, labels, num_items_in_batch)
        return self.alpha * task + (1 - self.alpha) * share * term

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **of_trainer: Any,
    ) -> None:
        self._log.add_to(logs, state, 1 - self.alpha)

    def _task(
        self, logits: torch.Tensor, labels: torch.Tensor, num_items_in_batch: torch.Tensor | int | None
    ) -> torch.Tensor:
        if num_items_in_batch is None:
            return self.task_loss(logits, labels, reduction="mean")
        return self.task_loss(logits, labels, reduction="sum") / num_items_in_batch

    def _share(
        self,
        states: torch.Tensor,
        mask: torch.Tensor | None,
        labels: torch.Tensor,
        num_items_in_batch: torch.Tensor | int | None,
    ) -> torch.Tensor:
        """The part of the step that is in this micro-batch, on the mean of the processes.

        `num_items_in_batch` counts the labels of all processes, and the Trainer multiplies the loss by their number;
        or those of this one, and it does not (`average_tokens_across_devices`). The mean of the quotients is right for
        both.
        """
        dtype = torch.promote_types(states.dtype, torch.float32)
        n_labels = (labels != NO_LABEL).sum().to(dtype)
        share = 1.0 if num_items_in_batch is None else n_labels / num_items_in_batch
        n_rows = len(states) if mask is None else mask.sum()
        own = torch.stack([torch.as_tensor(each, device=states.device, dtype=dtype) for each in (share, n_rows)])
        parts = torch.cat([part for (part,) in self._processes.gather(own[None])])
        if not self._is_checked:
            self._warn_of_few_rows(int(parts[:, 1].sum()), states.shape[-1])
        return parts[:, 0].mean()

    def _warn_of_few_rows(self, n_rows: int, n_features: int) -> None:
        self._is_checked = True
        if n_rows < n_features:
            warnings.warn(
                f"a batch of {n_rows} rows in {n_features} dimensions has an IsoScore of at most about "
                f"{n_rows / (n_rows + n_features):.2f}, whatever the layer does: larger batches, not more gradient "
                "accumulation, help",
                RuntimeWarning,
                stacklevel=4,
            )

    def _note(
        self,
        task: torch.Tensor,
        term: torch.Tensor,
        labels: torch.Tensor,
        num_items_in_batch: torch.Tensor | int | None,
    ) -> None:
        n_labels = (labels != NO_LABEL).sum().clamp(min=1)
        mean = task.detach() if num_items_in_batch is None else task.detach() * num_items_in_batch / n_labels
        self._log.note(mean, term)
