"""Outlier dimensions in the parameters of real architectures with planted values, and in real weights."""

import numpy as np
import pytest
import torch
import transformers

from isotropy_metrics.model_parameters import outlier_dimensions_of

PLANTED = {"weight": 3, "bias": 17}


def bert(n_layers=6):
    torch.manual_seed(0)
    config = transformers.BertConfig(
        hidden_size=64, num_hidden_layers=n_layers, num_attention_heads=4, intermediate_size=128, vocab_size=100
    )
    model = transformers.BertModel(config)
    for name, parameter in model.named_parameters():
        if "LayerNorm" in name:
            torch.nn.init.normal_(parameter, mean=1.0, std=0.05)
    return model


def plant(model, n_layers, where="output.LayerNorm"):
    for layer in model.encoder.layer[:n_layers]:
        norm = layer.get_submodule(where)
        norm.weight.data[PLANTED["weight"]] = 5.0
        norm.bias.data[PLANTED["bias"]] = -5.0


def test_planted_dimensions_are_found_in_the_output_normalisations():
    model = bert()
    plant(model, 5)
    model.encoder.layer[0].output.LayerNorm.bias.data[3] = 9.0
    found = outlier_dimensions_of(model)
    assert [each["dimension"] for each in found] == [3, 17]
    assert found[0] == {"dimension": 3, "n_weight_layers": 5, "n_bias_layers": 1, "n_layers": 6}
    assert (found[1]["n_weight_layers"], found[1]["n_bias_layers"]) == (0, 5)
    assert [each["dimension"] for each in outlier_dimensions_of(model, most=1)] == [3]


def test_too_few_layers_and_other_normalisations_do_not_count():
    model = bert()
    plant(model, 3)
    assert outlier_dimensions_of(model) == []
    assert len(outlier_dimensions_of(model, min_layers=3)) == 2
    model = bert()
    plant(model, 6, where="attention.output.LayerNorm")
    assert outlier_dimensions_of(model) == []


def test_normalisations_without_bias_and_models_without_layers():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        hidden_size=64, num_hidden_layers=5, num_attention_heads=4, intermediate_size=128, vocab_size=100
    )
    model = transformers.LlamaModel(config).to(torch.bfloat16)
    for layer in model.layers:
        layer.post_attention_layernorm.weight.data.normal_(1.0, 0.05)
        layer.post_attention_layernorm.weight.data[9] = 7.0
    found = outlier_dimensions_of(model)
    assert [(each["dimension"], each["n_weight_layers"], each["n_bias_layers"]) for each in found] == [(9, 5, 0)]
    with pytest.raises(ValueError, match="Linear has no layers with a normalisation"):
        outlier_dimensions_of(torch.nn.Linear(3, 3))


def test_real_weights_by_their_definition(minilm_path):
    model = transformers.AutoModel.from_pretrained(minilm_path)
    weights = np.array([layer.output.LayerNorm.weight.detach().double().numpy() for layer in model.encoder.layer])
    biases = np.array([layer.output.LayerNorm.bias.detach().double().numpy() for layer in model.encoder.layer])
    found = outlier_dimensions_of(model, min_layers=2, most=1000)
    counts = [
        (np.abs(v - v.mean(axis=1, keepdims=True)) > 3 * v.std(axis=1, ddof=1, keepdims=True)).sum(axis=0)
        for v in (weights, biases)
    ]
    expected = {int(i) for count in counts for i in np.flatnonzero(count >= 2)}
    assert {each["dimension"] for each in found} == expected and expected
    for each in found:
        assert (each["n_weight_layers"], each["n_bias_layers"]) == tuple(int(c[each["dimension"]]) for c in counts)
