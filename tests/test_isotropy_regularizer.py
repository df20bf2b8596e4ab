"""IsotropyRegularizer: the loss and the gradient of a Trainer with a term, however it accumulates and logs."""

import csv

import numpy as np
import pytest
import torch
from small_trainer import examples, small_model, small_trainer
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    set_seed,
)

import isotropy_metrics
from isotropy_metrics.hidden_states import stream_hidden_states
from isotropy_metrics.statistics import Moments
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
    for each in term if isinstance(term, list) else [] if term is None else [term]:
        handle = trainer if with_trainer else None
        trainer.add_callback(IsotropyRegularizer(each, weight, trainer=handle, **of_regularizer or {}))
    trainer.train(resume_from_checkpoint=resume)
    return trainer


def weights_of(model):
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def weights(trainer):
    return weights_of(trainer.model)


def training_logs(trainer):
    return [entry for entry in trainer.state.log_history if "learning_rate" in entry]


def test_a_weight_of_zero_changes_nothing(tmp_path):
    """Dropout is on and the training set is shuffled; the term runs, and draws from no global generator."""
    plain = trained(tmp_path, model=small_model(dropout=0.1))
    for term in (IStar(), SIGReg(), PersistentEntropy(), CLReg(), [CLReg(), IStar()]):
        zero = trained(tmp_path, term, 0.0, model=small_model(dropout=0.1))
        assert torch.equal(weights(plain), weights(zero))
        assert [e["loss"] for e in training_logs(plain)] == [e["loss"] for e in training_logs(zero)]


@pytest.mark.slow
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
    assert (checkpoint / FILE_NAME.format("i_star")).is_file()
    settings["model"] = small_model(seed=1)
    resumed = trained(tmp_path, IStar(reference=reference), **settings, resume=str(checkpoint))
    assert torch.equal(weights(whole), weights(resumed))
    assert [e["i_star"] for e in training_logs(whole)] == [e["i_star"] for e in training_logs(resumed)]


def test_a_checkpoint_without_the_reference_is_said(tmp_path, caplog):
    trained(tmp_path, save_strategy="steps", save_steps=4)
    trained(
        tmp_path, IStar(reference="ema"), save_strategy="steps", save_steps=4, resume=str(tmp_path / "checkpoint-4")
    )
    assert "checkpoint-4/isotropy_regularizer_i_star.safetensors, so i_star begins anew" in caplog.text


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


@pytest.mark.slow
def test_two_terms_add_up_with_and_without_accumulation(tmp_path):
    def terms():
        return [CLReg(), IStar()]

    effects, logs = [], []
    for accumulation in (1, 4):
        batches = {"per_device_train_batch_size": 8 // accumulation, "gradient_accumulation_steps": accumulation}
        plain = weights(trained(tmp_path, **ONE_STEP, **batches))
        both = trained(tmp_path, terms(), 0.5, **ONE_STEP, **batches)
        effects.append(weights(both) - plain)
        logs.append(training_logs(both)[0])
        if accumulation == 1:
            alone = sum(weights(trained(tmp_path, term, 0.5, **ONE_STEP, **batches)) - plain for term in terms())
    for effect in effects:
        assert (effect - alone).abs().max() < 1e-4 * alone.abs().max() + 3e-7
    for entry in logs:
        assert entry["loss"] == pytest.approx(entry["task_loss"] + 0.5 * (entry["cl_reg"] + entry["i_star"]), rel=1e-5)
    for name in ("cl_reg", "i_star"):
        assert logs[0][name] == pytest.approx(logs[1][name], rel=1e-5)


def test_two_terms_are_resumed_each_with_its_own_state(tmp_path):
    def terms():
        return [IStar(reference="ema"), SIGReg()]

    settings = {"save_strategy": "steps", "save_steps": 4}
    whole = trained(tmp_path, terms(), model=small_model(), **settings)
    resumed = trained(tmp_path, terms(), model=small_model(seed=1), **settings, resume=str(tmp_path / "checkpoint-4"))
    assert torch.equal(weights(whole), weights(resumed))


def test_two_terms_of_one_name_are_refused(tmp_path):
    class LastIStar(IStar):
        pass

    with pytest.raises(ValueError, match=r"two terms have the name i_star.*class OtherIStar\(IStar\)"):
        trained(tmp_path, [IStar(), IStar()])
    assert "last_i_star" in training_logs(trained(tmp_path, [IStar(), LastIStar()], **ONE_STEP))[0]


def test_a_second_training_begins_with_the_term_as_it_was_given(tmp_path):
    trainer = small_trainer(tmp_path, model=small_model(dropout=0.0), **ONE_STEP | {"max_steps": 3})
    trainer.add_callback(IsotropyRegularizer(IStar(reference="ema"), 1.0, trainer=trainer))
    curves = []
    for _ in range(2):  # as in a search of hyperparameters
        trainer.model = trainer.model_wrapped = small_model(dropout=0.0)
        trainer.optimizer = None
        trainer.train()
        curves.append([entry["i_star"] for entry in training_logs(trainer)])
    assert curves[0] == curves[1]


@pytest.mark.parametrize("when", ["backward", "after the step"])
def test_an_interrupted_training_leaves_nothing_to_the_next(when, tmp_path):
    """Of another Trainer on the same model, which has no regulariser."""

    class Stop(TrainerCallback):
        def on_step_end(self, *_, **__):
            raise KeyboardInterrupt

    def interrupt(gradient):
        raise KeyboardInterrupt

    model = small_model(dropout=0.0)
    in_backward = model.classifier.weight.register_hook(interrupt) if when == "backward" else None
    trainer = small_trainer(tmp_path, model=model, callbacks=[Stop()])
    trainer.add_callback(IsotropyRegularizer(IStar(reference="identity"), 100.0, trainer=trainer))
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    if in_backward is not None:
        in_backward.remove()
    model.zero_grad()
    fresh = small_model(dropout=0.0)
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(weights(trained(tmp_path, model=model)), weights(trained(tmp_path, model=fresh)))


def test_forward_passes_that_are_not_trained_on_have_no_rows_in_the_term(tmp_path):
    class Seen(CosReg):
        def of_rows(self, rows):
            seen.append(len(rows))
            return super().of_rows(rows)

    class MonteCarloDropout(TrainerCallback):
        def on_step_begin(self, args, state, control, model, **_):
            model.train()
            with torch.no_grad():
                model(torch.ones(5, 7, dtype=torch.long))

    seen, data = [], examples(4)
    trainer = small_trainer(tmp_path, train=data, callbacks=[MonteCarloDropout()], **ONE_STEP)
    trainer.add_callback(IsotropyRegularizer(Seen(), 1.0, trainer=trainer))
    trainer.train()
    assert seen == [sum(len(row["input_ids"]) for row in data)]


class LogitsAlone(torch.nn.Module):
    """A module that computes no loss and takes no labels; its output is a dict, or the first logit of each text."""

    def __init__(self, bare: bool) -> None:
        super().__init__()
        self.inner, self.bare = small_model(dropout=0.0), bare

    def forward(self, input_ids, attention_mask):
        logits = self.inner(input_ids, attention_mask).logits
        return logits[:, 0] if self.bare else {"logits": logits}


@pytest.mark.parametrize("bare", [True, False])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_compute_loss_func_of_a_module_that_takes_no_labels(bare, accumulation, tmp_path):
    def task_loss(outputs, labels, num_items_in_batch=None):
        if bare:
            return (outputs - labels.float()).square().sum() / num_items_in_batch
        return cross_entropy(outputs["logits"], labels, reduction="sum") / num_items_in_batch

    batches = {"gradient_accumulation_steps": accumulation, "label_names": ["labels"], **ONE_STEP}
    trainer = small_trainer(tmp_path, model=LogitsAlone(bare), **batches)
    regularizer = IsotropyRegularizer(CosReg(), 0.5, trainer=trainer)
    trainer.compute_loss_func = regularizer.compute_loss_func(task_loss)
    trainer.add_callback(regularizer)
    trainer.train()
    (entry,) = training_logs(trainer)
    assert entry["loss"] == pytest.approx(entry["task_loss"] + 0.5 * entry["cos_reg"], rel=1e-5)


def test_a_loss_that_is_computed_past_the_one_of_the_model_is_refused(tmp_path):
    class Weighted(Trainer):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            outputs = model(**inputs)
            loss = cross_entropy(outputs.logits, inputs["labels"], weight=torch.tensor([1.0, 2.0]))
            return (loss, outputs) if return_outputs else loss

    trainer = small_trainer(tmp_path, **ONE_STEP)
    trainer.__class__ = Weighted
    trainer.add_callback(IsotropyRegularizer(IStar(), 1.0, trainer=trainer))
    with pytest.raises(ValueError, match="so the term has no part in it"):
        trainer.train()


@pytest.mark.parametrize("is_scaled", [None, True, False])
def test_the_term_keeps_its_weight_in_a_loss_of_ones_own(is_scaled, tmp_path):
    """Which calls the model twice a micro-batch and does not pass `num_items_in_batch` on."""

    class RDrop(Trainer):
        loss_is_scaled_for_ga = is_scaled

        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            return (model(**inputs).loss + model(**inputs).loss) / 2

    losses = []
    for weight in (0.0, 0.5):
        trainer = small_trainer(tmp_path, model=small_model(dropout=0.0), gradient_accumulation_steps=2, **ONE_STEP)
        trainer.__class__ = RDrop
        trainer.add_callback(IsotropyRegularizer(CosReg(), weight, trainer=trainer))
        trainer.train()
        losses.append(training_logs(trainer)[0])
    assert losses[1]["loss"] - losses[0]["loss"] == pytest.approx(0.5 * losses[1]["cos_reg"], rel=1e-5)


def test_a_frozen_encoder_is_said_and_one_in_eval_mode_is_regularised(tmp_path, caplog):
    frozen = small_model(dropout=0.0)
    frozen.bert.requires_grad_(False)
    trained(tmp_path, IStar(), model=frozen, **ONE_STEP | {"max_steps": 2})
    assert caplog.text.count("no weights that are trained have a part in the hidden states: i_star does nothing") == 1
    in_eval = small_model(dropout=0.1)
    in_eval.bert.eval()
    in_eval.bert.train = lambda mode=True: in_eval.bert
    values = [
        training_logs(trained(tmp_path, IStar(), model=model, **ONE_STEP))[0]["i_star"]
        for model in (in_eval, small_model(dropout=0.0))
    ]
    assert values[0] == values[1]


def test_each_layer_is_shrunk_to_its_own_reference_in_any_order(tmp_path):
    def value_of(layers):
        trainer = trained(tmp_path, IStar(union=False), of_regularizer={"layers": layers}, **ONE_STEP)
        return training_logs(trainer)[0]["i_star"]

    expected = value_of([1, 2])
    for layers in ([2, 1], [-1, 1], [1, 2, -1]):
        assert value_of(layers) == pytest.approx(expected, rel=1e-6)
    assert value_of([2]) != pytest.approx(expected, rel=1e-6)


def test_states_that_the_caller_asks_for_are_left_in_the_output(tmp_path):
    class Asks(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = small_model(dropout=0.0)

        def forward(self, input_ids, attention_mask, labels=None):
            output = self.inner(input_ids, attention_mask, labels=labels, output_hidden_states=True)
            return {"loss": output.loss + output.hidden_states[1].square().mean()}

    trainer = trained(tmp_path, [CosReg(), IStar()], model=Asks(), label_names=["labels"], **ONE_STEP)
    assert training_logs(trainer)[0]["cos_reg"] > 0


def test_buffers_see_each_batch_once(tmp_path):
    class WithBatchNorm(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.norm = small_model(dropout=0.0), torch.nn.BatchNorm1d(2)

        def forward(self, input_ids, attention_mask, labels=None):
            logits = self.norm(self.inner(input_ids, attention_mask).logits)
            return {"loss": cross_entropy(logits, labels), "logits": logits}

    arguments = {"gradient_accumulation_steps": 2, "label_names": ["labels"], **ONE_STEP}
    norms = [trained(tmp_path, term, 0.0, model=WithBatchNorm(), **arguments).model.norm for term in (None, CosReg())]
    assert norms[1].num_batches_tracked == 2
    assert torch.equal(norms[0].running_mean, norms[1].running_mean)


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_enable` is deprecated:FutureWarning")
@pytest.mark.parametrize("reentrant", [True, False])
def test_gradient_checkpointing_is_the_same_step(reentrant, tmp_path):
    plain = trained(tmp_path, IStar(), 10.0, **ONE_STEP)
    model = small_model(dropout=0.0)
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    model.enable_input_require_grads()
    checkpointed = trained(tmp_path, IStar(), 10.0, model=model, **ONE_STEP)
    assert (weights(plain) - weights(checkpointed)).abs().max() < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("accumulation", [1, 2])
@pytest.mark.parametrize("name", [name for name in TERMS if name != "i_star ema"])
def test_the_gradient_of_the_whole_loss_is_that_of_its_value(name, accumulation, tmp_path):
    """In double precision: the step of SGD beside differences of the loss that the Trainer logs."""

    def model(shift=None):
        model = small_model(dropout=0.0).double()
        model.accepts_loss_kwargs = False  # its loss is a mean: the Trainer divides
        if shift is not None:
            torch.nn.utils.vector_to_parameters(
                torch.nn.utils.parameters_to_vector(model.parameters()) + shift, model.parameters()
            )
        return model

    class Whole(Trainer):
        def training_step(self, *arguments, **named):
            loss = super().training_step(*arguments, **named)
            losses.append(loss.double())
            return loss.float()

    def step(shift=None):
        losses.clear()
        trainer = small_trainer(
            tmp_path,
            model=model(shift),
            **ONE_STEP,
            per_device_train_batch_size=8 // accumulation,
            gradient_accumulation_steps=accumulation,
        )
        trainer.__class__ = Whole
        trainer.add_callback(IsotropyRegularizer(TERMS[name](), 2.0, trainer=trainer))
        trainer.train()
        return weights(trainer), sum(losses).item()

    losses = []
    start = weights_of(model())
    direction = torch.randn(len(start), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gradient = (start - step()[0]) / ONE_STEP["learning_rate"]
    slope = (step(1e-5 * direction)[1] - step(-1e-5 * direction)[1]) / 2e-5
    assert slope == pytest.approx((gradient @ direction).item(), rel=1e-4)


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
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_torch_compile(tmp_path):
    plain = trained(tmp_path, IStar(), **ONE_STEP | {"max_steps": 3})
    compiled = trained(
        tmp_path, IStar(), **ONE_STEP | {"max_steps": 3}, torch_compile=True, torch_compile_backend="aot_eager"
    )
    assert (weights(plain) - weights(compiled)).abs().max() < 1e-5
    assert [e["i_star"] for e in training_logs(plain)] == pytest.approx([e["i_star"] for e in training_logs(compiled)])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")
def test_a_weight_that_rises_compiles_nothing_anew(tmp_path):
    n_graphs = []
    for max_steps in (3, 12):
        torch.compiler.reset()
        torch._dynamo.utils.counters.clear()
        arguments = ONE_STEP | {"max_steps": max_steps, "logging_steps": 12}
        arguments |= {"torch_compile": True, "torch_compile_backend": "aot_eager"}
        trained(tmp_path, CosReg(), of_regularizer={"warmup_steps": 20}, **arguments)
        n_graphs.append(torch._dynamo.utils.counters["stats"]["unique_graphs"])
    assert n_graphs[1] <= n_graphs[0] + 2


@pytest.mark.slow
def test_the_sign_of_the_weight_moves_isoscore_of_held_out_texts_in_fifty_steps(minilm_path, stsb_folder, tmp_path):
    """MiniLM on pairs of the STS benchmark, whose task is to regress their score; measured in eval mode."""
    tokenizer = AutoTokenizer.from_pretrained(minilm_path)

    def pairs(name, n):
        with open(stsb_folder / name, encoding="utf-8", newline="") as file:
            rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        return [(row[5], row[6], float(row[4]) / 5) for row in rows if len(row) >= 7][:n]

    train = [
        dict(tokenizer(first, second, truncation=True, max_length=32)) | {"labels": score}
        for first, second, score in pairs("sts-train.csv", 200)
    ]
    held_out = [text for pair in pairs("sts-dev.csv", 100) for text in pair[:2]]

    def isoscore_star_after(weight):
        set_seed(0)
        model = AutoModelForSequenceClassification.from_pretrained(minilm_path, num_labels=1)
        arguments = TrainingArguments(
            str(tmp_path),
            max_steps=50,
            per_device_train_batch_size=4,
            learning_rate=5e-5,
            report_to=[],
            save_strategy="no",
            use_cpu=True,
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        trainer = Trainer(model, arguments, train_dataset=train, data_collator=DataCollatorWithPadding(tokenizer))
        trainer.add_callback(IsotropyRegularizer(IStar(), weight, trainer=trainer, reference_size=100))
        trainer.train()
        moments = Moments()
        for layers in stream_hidden_states(model.eval(), held_out, tokenizer=tokenizer, layers=range(1, 7)):
            for rows in layers.layers.values():
                moments.update(rows)
        return isotropy_metrics.isoscore_star(moments)["isoscore_star"]

    toward, plain, away = (isoscore_star_after(weight) for weight in (1.0, 0.0, -1.0))
    assert toward > plain + 0.02
    assert away < plain - 0.02
