"""JointBatch: what a term of the loss sees of the other processes and of the other micro-batches of a step."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from isotropy_metrics.processes import rank, world_size

Parts = tuple[torch.Tensor, ...]


class JointBatch:
    """Tensors of the whole batch: those of this process and micro-batch with gradient, all others as constants.

    A term that is not a mean over rows, such as one of a covariance, has another value and another gradient on a part
    of the batch than on the whole. It therefore passes what it needs of its rows (the rows, or their count, mean and
    scatter) to `gather`, and computes its value of all the parts. Every process then has the same value, and the mean
    over processes that data parallel training takes of the gradients is the gradient on the joined batch: the own
    part's gradient is multiplied by the number of processes.

    Micro-batches of gradient accumulation are joined where their parts are known beforehand: the term runs once over
    each with `record`, without gradient, then over each with `replay`. The gradients of all then add up to the
    gradient on the joined batch.

    Without torch.distributed, and without recorded micro-batches, a batch is whole and `gather` returns it alone.
    """

    def __init__(self) -> None:
        self._recorded: list[list[list[Parts]]] = []  # by micro-batch, by call of gather, by process
        self._micro_batch: int | None = None
        self._is_recording = False
        self._call = 0

    @property
    def is_alone(self) -> bool:
        """Whether the rows of a call are the whole batch: no other process, no other micro-batch."""
        return world_size() == 1 and self._micro_batch is None and not self._is_recording

    @property
    def is_recording(self) -> bool:
        """Whether a call only notes the parts of a micro-batch for the replay."""
        return self._is_recording

    @property
    def starts_batch(self) -> bool:
        """Whether a call is the first on its batch whose value counts, so that what it notes is noted once."""
        return not self._is_recording and self._micro_batch in (None, 0)

    def gather(self, *own: torch.Tensor) -> list[Parts]:
        """The parts of all processes and micro-batches, this one's with gradient.

        Every process must call it equally often.

        Args:
            *own: tensors of at least one dimension; all but the first dimension is the same in all parts.
        """
        place = rank()
        if self._micro_batch is None or self._is_recording:
            parts = _of_all_processes(own)
            if self._is_recording:
                self._recorded[-1].append(parts)
                return [own]
        else:
            parts = [part for calls in self._recorded for part in calls[self._call]]
            place += self._micro_batch * world_size()
            self._call += 1
        parts = list(parts)
        parts[place] = tuple(_scaled_gradient(tensor, world_size()) for tensor in own)
        return parts

    def record(self) -> None:
        """The next call of the term is on the next micro-batch, and `gather` notes its parts."""
        self._recorded.append([])
        self._is_recording = True

    def replay(self, micro_batch: int) -> None:
        """The next call of the term is on this micro-batch, counted from 0 in the order of recording."""
        self._micro_batch, self._is_recording, self._call = micro_batch, False, 0

    def forget(self) -> None:
        """A micro-batch is a whole batch again."""
        self._recorded, self._micro_batch, self._is_recording, self._call = [], None, False, 0


def _of_all_processes(own: Sequence[torch.Tensor]) -> list[Parts]:
    """The parts of every process in the order of the ranks, without gradient."""
    own = tuple(tensor.detach() for tensor in own)
    n_processes = world_size()
    if n_processes == 1:
        return [own]
    lengths = torch.tensor([len(tensor) for tensor in own], device=own[0].device)
    all_lengths = [torch.empty_like(lengths) for _ in range(n_processes)]
    torch.distributed.all_gather(all_lengths, lengths)
    columns = [
        _gather_ragged(tensor, of_tensor)
        for tensor, of_tensor in zip(own, torch.stack(all_lengths).T.tolist(), strict=True)
    ]
    return list(zip(*columns, strict=True))


def _gather_ragged(own: torch.Tensor, lengths: list[int]) -> list[torch.Tensor]:
    """A tensor of every process; all are padded to the longest, as messages must be of one size."""
    padded = own.new_zeros((max(lengths), *own.shape[1:]))
    padded[: len(own)] = own
    gathered = [torch.empty_like(padded) for _ in lengths]
    torch.distributed.all_gather(gathered, padded)
    return [tensor[:length] for tensor, length in zip(gathered, lengths, strict=True)]


def _scaled_gradient(tensor: torch.Tensor, factor: int) -> torch.Tensor:
    """The tensor, with its gradient multiplied."""
    if factor == 1:
        return tensor
    constant = tensor.detach()
    return constant + factor * (tensor - constant)  # the value to the last bit, as all processes must have the same
