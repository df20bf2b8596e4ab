"""Training loops of torch with sharded weights, on the CPU, where accelerate shards none; with readings between."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from launched.process_results import rank, world_size
from small_trainer import PaddingCollator, examples, small_model
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.fsdp.wrap import ModuleWrapPolicy
from transformers import TrainerControl, TrainerState, TrainingArguments
from transformers.models.bert.modeling_bert import BertLayer

from trainer_callbacks import IsotropyRegularizer
from trainer_callbacks.regularizers import IStar
from trainer_callbacks.space_watch import SpaceWatch

TEST = examples(14, seed=1)


def fsdp1(dropout: float = 0.1) -> torch.nn.Module:
    wrapping = ModuleWrapPolicy({BertLayer})
    cpu = torch.device("cpu")
    return FullyShardedDataParallel(
        small_model(dropout), auto_wrap_policy=wrapping, use_orig_params=True, device_id=cpu
    )


def fsdp2(dropout: float = 0.1) -> torch.nn.Module:
    model = small_model(dropout)
    mesh = init_device_mesh("cpu", (world_size(),))
    for layer in model.bert.encoder.layer:
        fully_shard(layer, mesh=mesh)
    return fully_shard(model, mesh=mesh)


def watch_of(model: torch.nn.Module) -> SpaceWatch:
    """Reads the token rows of all layers."""
    names = ["isoscore", "average_cosine_similarity", "uniformity"]
    watch = SpaceWatch(
        measures=names, layers="all", pooling=None, drift="linear_cka", options=None, sample_size=50, seed=0
    )
    watch.prepare({"": TEST}, model, None, size=None, max_length=None, batch_size=4)
    return watch


def loop(model: torch.nn.Module, is_watched: bool) -> dict[str, Any]:
    """Three steps with dropout: the losses, and the values before training and after each step."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    watch = watch_of(model)
    batch = PaddingCollator()(examples(8)[rank() :: world_size()])
    losses, values = [], []
    torch.manual_seed(rank())
    if is_watched:
        reading = watch.read(model)
        watch.keep_baseline(reading)
        values.append(reading.values)
    model.train()
    for _ in range(3):
        loss = model(**batch).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        if is_watched:
            before = [id(weight) for weight in model.parameters()]
            values.append(watch.read(model).values)
            if before != [id(weight) for weight in model.parameters()]:
                raise AssertionError("a reading leaves other parameters in the model")
    return {"losses": losses, "values": values}


def regularized(model: torch.nn.Module, folder: Path) -> dict[str, Any]:
    """Two steps with I-STAR, whose callback is called as a Trainer calls it: C0 of the epoch, and the losses."""
    arguments = TrainingArguments(str(folder), use_cpu=True, report_to=[])
    told = {"args": arguments, "state": TrainerState(max_steps=2), "control": TrainerControl(), "model": model}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    term = IStar()
    regularizer = IsotropyRegularizer(term, 1.0, reference=TEST)
    regularizer.on_train_begin(**told)
    regularizer.on_epoch_begin(**told)
    batch = PaddingCollator()(examples(8)[rank() :: world_size()])
    losses = []
    model.train()
    for _ in range(2):
        regularizer.on_step_begin(**told)
        loss = model(**batch).loss
        loss.backward()
        regularizer.on_pre_optimizer_step(**told)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    regularizer.on_train_end(**told)
    return {"c0": term.c0, "losses": losses}


def sharded(folder: Path) -> dict[str, Any]:
    """With each kind of sharding; and the values of the whole model before training."""
    torch.distributed.init_process_group("gloo")
    results = {}
    for make in (fsdp1, fsdp2):
        results[make.__name__] = {"plain": loop(make(), False), "watched": loop(make(), True)}
        results[make.__name__]["regularized"] = regularized(make(dropout=0.0), folder)
    model = small_model()
    replicated = torch.nn.parallel.DistributedDataParallel(small_model(dropout=0.0))
    results["replicated"] = regularized(replicated, folder)
    results["whole"] = watch_of(model).read(model).values
    torch.distributed.destroy_process_group()
    return results
