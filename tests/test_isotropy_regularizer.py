"""IsotropyRegularizer: the loss and the gradient of a Trainer with a term, however it accumulates and logs."""

import numpy as np
import pytest
import torch
from small_trainer import examples, small_model, small_trainer
from torch.nn.functional import cross_entropy
from transformers import TrainerCallback

from trainer_callbacks.isotropy_regularizer import FILE_NAME, IsotropyRegularizer
from trainer_callbacks.regularizers.bures_isotropy import BuresIsotropy
from trainer_callbacks.regularizers.cl_reg import CLReg
from trainer_callbacks.regularizers.cor_reg import CorReg
from trainer_callbacks.regularizers.cos_reg import CosReg
from trainer_callbacks.regularizers.i_star import IStar
from trainer_callbacks.regularizers.persistent_entropy import PersistentEntropy
from trainer_callbacks.regularizers.sigreg import SIGReg
from trainer_callbacks.regularizers.uniformity import Uniformity
from trainer_callbacks.regularizers.vicreg import VICReg

ONE_STEP = {
    "optim": "sgd",
    "learning_rate": 0.1,
    "max_steps": 1,
    "lr_scheduler_type": "constant",
    "eval_strategy": "no",
    "max_grad_norm": 0,
}
TERMS = {
    "i_star": lambda: IStar(reference="identity"),
    "i_star ema": lambda: IStar(reference="ema"),
    "cos_reg": CosReg,
    "cor_reg": CorReg,
    "bures_isotropy": BuresIsotropy,
    "vic_reg": VICReg,
    "uniformity": Uniformity,
    "sig_reg": SIGReg,
    "persistent_entropy": PersistentEntropy,
}


def trained(folder, term=None, weight=1.0, *, model=None, of_regularizer=None, with_trainer=True, **arguments):
    resume = arguments.pop("resume", None)
    trainer = small_trainer(folder, model=model or small_model(dropout=0.0), **arguments)
    if term is not None:
        handle = trainer if with_trainer else None
        trainer.add_callback(IsotropyRegularizer(term, weight, trainer=handle, **of_regularizer or {}))
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def weights(trainer):
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


def training_logs(trainer):
    return [entry for entry in trainer.state.log_history if "learning_rate" in entry]


def test_a_weight_of_zero_changes_nothing(tmp_path):
    """Dropout is on and the training set is shuffled; the term runs, and draws from no global generator."""
    plain = trained(tmp_path, model=small_model(dropout=0.1))
    for term in (IStar(), SIGReg(), PersistentEntropy()):
        zero = trained(tmp_path, term, 0.0, model=small_model(dropout=0.1))
        assert torch.equal(weights(plain), weights(zero))
        assert [e["loss"] for e in training_logs(plain)] == [e["loss"] for e in training_logs(zero)]


@pytest.mark.parametrize("name", TERMS)
def test_gradient_with_accumulation_is_that_of_the_joined_batch(name, tmp_path):
    """The effect of the term on one step of SGD, with one batch of 8 and with 4 micro-batches of 2."""
    effects, values = [], []
    for accumulation in (1, 4):
        batches = {"per_device_train_batch_size": 8 // accumulation, "gradient_accumulation_steps": accumulation}
        plain = trained(tmp_path, **ONE_STEP, **batches)
        term = TERMS[name]()
        regularised = trained(tmp_path, term, 0.5, **ONE_STEP, **batches)
        effects.append(weights(regularised) - weights(plain))
        values.append(training_logs(regularised)[0][term.name])
    largest = effects[0].abs().max()
    assert largest > 1e-5
    assert (effects[0] - effects[1]).abs().max() < 1e-4 * largest + 3e-7
    assert values[0] == pytest.approx(values[1], rel=1e-5)


def test_without_the_trainer_the_term_is_the_mean_over_micro_batches(tmp_path, caplog):
    """On four equal micro-batches that is the term of one of them."""
    same = examples(2) * 4
    effects = []
    for accumulation in (1, 4):
        batches = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": accumulation}
        batches |= {"train": same[: 2 * accumulation], "train_sampling_strategy": "sequential"}
        plain = trained(tmp_path, **ONE_STEP, **batches)
        regularised = trained(tmp_path, IStar(reference="identity"), **ONE_STEP, **batches, with_trainer=False)
        effects.append(weights(regularised) - weights(plain))
    assert (effects[0] - effects[1]).abs().max() < 1e-5 * effects[0].abs().max() + 3e-7
    assert effects[0].abs().max() > 1e-3
    assert "but no reporter" in caplog.text


def test_the_log_has_task_loss_term_and_weight_for_every_reporter(tmp_path):
    class Reporter(TrainerCallback):
        def on_log(self, args, state, control, logs, **_):
            reported.append(dict(logs))

    reported = []
    trainer = small_trainer(tmp_path, callbacks=[Reporter()], logging_steps=2)
    trainer.add_callback(IsotropyRegularizer(IStar(), 0.5, trainer=trainer, warmup_steps=4))
    trainer.train()
    logs = training_logs(trainer)
    assert [entry["i_star_weight"] for entry in logs] == [0.25, 0.5, 0.5]
    assert logs[2]["loss"] == pytest.approx(logs[2]["task_loss"] + 0.5 * logs[2]["i_star"], rel=1e-6)
    for entry in logs:
        assert {key: value for key, value in entry.items() if key != "step"} in reported
    assert not any("i_star" in key for entry in reported if "eval_loss" in entry for key in entry)


def test_warm_up_over_a_share_of_the_steps(tmp_path):
    trainer = trained(tmp_path, CosReg(), -2.0, of_regularizer={"warmup_steps": 0.5})
    assert [entry["cos_reg_weight"] for entry in training_logs(trainer)] == pytest.approx(
        [-2 / 3, -4 / 3, -2, -2, -2, -2]
    )


def test_where_the_trainer_computes_the_loss_it_needs_the_function(tmp_path):
    for arguments in ({"label_smoothing_factor": 0.1},):
        with pytest.raises(ValueError, match="pass compute_loss_func=regularizer.compute_loss_func"):
            trained(tmp_path, IStar(), **arguments)


@pytest.mark.parametrize("accumulation", [1, 3])
def test_compute_loss_func_is_the_same_training(accumulation, tmp_path):
    def task_loss(outputs, labels, num_items_in_batch=None):
        return cross_entropy(outputs["logits"], labels, reduction="sum") / num_items_in_batch

    batches = {"gradient_accumulation_steps": accumulation, **ONE_STEP, "max_steps": 2}
    effects, logs = [], []
    for term in (IStar(reference="identity"), None):
        trainer = small_trainer(tmp_path, model=small_model(dropout=0.0), **batches)
        regularizer = IsotropyRegularizer(IStar(reference="identity"), 0.3 if term else 0.0, trainer=trainer)
        trainer.compute_loss_func = regularizer.compute_loss_func(task_loss)
        trainer.add_callback(regularizer)
        trainer.train()
        effects.append(weights(trainer))
        logs.append(training_logs(trainer)[0])
    assert logs[0]["loss"] == pytest.approx(logs[0]["task_loss"] + 0.3 * logs[0]["i_star"], rel=1e-5)
    assert logs[0]["task_loss"] == pytest.approx(logs[1]["loss"], rel=1e-5)
    if accumulation == 1:
        hooked = trained(tmp_path, IStar(reference="identity"), 0.3, **batches)
        assert (weights(hooked) - effects[0]).abs().max() < 1e-6
    assert (effects[0] - effects[1]).abs().max() > 1e-3


def test_the_reference_of_i_star_is_renewed_every_epoch(tmp_path):
    class Noted(TrainerCallback):
        def on_epoch_begin(self, args, state, control, model, **_):
            before.append({name: value.clone() for name, value in model.state_dict().items()})

        def on_step_begin(self, *_, **__):
            references.append(term.c0.clone())

    before, references, term, data = [], [], IStar(), examples(8)
    trainer = small_trainer(tmp_path, train=data, max_steps=4, eval_strategy="no")
    trainer.add_callback(Noted())
    trainer.add_callback(IsotropyRegularizer(term, 1.0, trainer=trainer))
    trainer.train()
    assert torch.equal(references[0], references[1]) and torch.equal(references[2], references[3])
    for weights_then, reference in zip(before, references[::2], strict=True):
        model = small_model().eval()
        model.load_state_dict(weights_then)
        with torch.no_grad():
            states = [model(torch.tensor([row["input_ids"]]), output_hidden_states=True).hidden_states for row in data]
        rows = np.concatenate([layer[0].numpy() for text in states for layer in text[1:]])
        np.testing.assert_allclose(reference, np.cov(rows.T), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("reference", ["epoch", "ema"])
def test_a_resumed_run_ends_where_a_run_in_one_piece_ends(reference, tmp_path):
    settings = {"save_strategy": "steps", "save_steps": 4, "model": None}
    whole = trained(tmp_path, IStar(reference=reference), **settings | {"model": small_model()})
    checkpoint = tmp_path / "checkpoint-4"
    assert (checkpoint / FILE_NAME).is_file()
    settings["model"] = small_model(seed=1)
    resumed = trained(tmp_path, IStar(reference=reference), **settings, resume=str(checkpoint))
    assert torch.equal(weights(whole), weights(resumed))
    assert [e["i_star"] for e in training_logs(whole)] == [e["i_star"] for e in training_logs(resumed)]


def test_a_checkpoint_without_the_reference_is_said(tmp_path, caplog):
    trained(tmp_path, save_strategy="steps", save_steps=4)
    trained(
        tmp_path, IStar(reference="ema"), save_strategy="steps", save_steps=4, resume=str(tmp_path / "checkpoint-4")
    )
    assert "there is no isotropy_regularizer.safetensors in the checkpoint: i_star begins anew" in caplog.text


def test_evaluation_config_and_hooks_are_left_alone(tmp_path):
    model = small_model()
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    trainer = trained(tmp_path, IStar(), model=model)
    assert model.config.output_hidden_states is False
    assert trainer.predict(examples(3)).predictions.shape == (3, 2)
    assert "get_batch_samples" not in vars(trainer)
    left = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    by_transformers = {"transformers.utils.output_capturing"}
    own = [
        hook.__module__
        for module in model.modules()
        for hook in module._forward_hooks.values()
        if getattr(hook, "__module__", None) not in by_transformers
    ]
    assert own == [] and len(left) == len(hooks)


def test_the_term_sees_the_tokens_that_count_of_the_layers_asked_for(tmp_path):
    class Seen(CosReg):
        def of_layers(self, *passes):
            seen.append([[tuple(rows.shape) for rows in layers] for layers in passes])
            return super().of_layers(*passes)

    seen, data = [], examples(4)
    n_tokens = sum(len(row["input_ids"]) for row in data)
    for settings, expected in (
        ({"layers": [0, -1], "pooling": None}, [[(n_tokens, 16)] * 2]),
        ({"layers": "all", "pooling": "mean"}, [[(4, 16)] * 2]),
        ({"layers": 1, "pooling": "cls"}, [[(4, 16)]]),
    ):
        seen.clear()
        trained(tmp_path, Seen(), of_regularizer=settings, train=data, **ONE_STEP)
        assert seen == [expected]


def test_two_passes_differ_by_dropout_and_all_processes_of_the_loss_work(tmp_path):
    class Seen(CLReg):
        def of_rows(self, first, second):
            seen.append((first.detach().clone(), second.detach().clone()))
            return super().of_rows(first, second)

    seen = []
    trainer = trained(tmp_path, Seen(), model=small_model(dropout=0.1), **ONE_STEP)
    ((first, second),) = seen
    assert first.shape == second.shape == (4, 16)
    assert 0.01 < (first - second).abs().max()
    assert np.isfinite(training_logs(trainer)[0]["seen"])


def test_a_module_that_calls_its_encoder_twice(tmp_path):
    class Siamese(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = small_model(dropout=0.0).bert

        def forward(self, input_ids, attention_mask, labels=None):
            states = [self.encoder(ids, mask).last_hidden_state for ids, mask in ((input_ids, attention_mask),) * 2]
            return {"loss": (states[0] - states[1]).square().mean() + states[0].square().mean()}

    class Seen(CosReg):
        def of_layers(self, *passes):
            seen.append(passes[0][0].shape)
            return super().of_layers(*passes)

    seen, data = [], examples(4)
    trained(tmp_path, Seen(), model=Siamese(), train=data, label_names=["labels"], **ONE_STEP)
    assert seen == [(2 * sum(len(row["input_ids"]) for row in data), 16)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"term": torch.nn.Linear(2, 2)}, "term must be a RegularizationTerm such as IStar"),
        ({"term": IStar(), "pooling": "last"}, "pooling must be one of None, 'mean', 'cls', got 'last'"),
        ({"term": IStar(), "warmup_steps": -1}, "warmup_steps must be a number of steps"),
        ({"term": IStar(), "layers": "first"}, "layers must be"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        IsotropyRegularizer(weight=1.0, **arguments)


def test_a_layer_that_there_is_not_ends_the_training_at_its_first_step(tmp_path):
    with pytest.raises(ValueError, match="layer 9 is out of range"):
        trained(tmp_path, CosReg(), of_regularizer={"layers": 9})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
def test_torch_compile(tmp_path):
    plain = trained(tmp_path, IStar(), **ONE_STEP | {"max_steps": 3})
    compiled = trained(
        tmp_path, IStar(), **ONE_STEP | {"max_steps": 3}, torch_compile=True, torch_compile_backend="aot_eager"
    )
    assert (weights(plain) - weights(compiled)).abs().max() < 1e-5
    assert [e["i_star"] for e in training_logs(plain)] == pytest.approx([e["i_star"] for e in training_logs(compiled)])
