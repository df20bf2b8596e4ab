"""Every measure and comparison behaves as evaluate documents its modules, loads by name, and never touches Arrow."""

import inspect
import pickle
import subprocess
import sys

import evaluate
import numpy as np
import pytest

import isotropy_metrics
from isotropy_metrics import MEASURES, measure
from isotropy_metrics.evaluate_comparison import EmbeddingComparison
from isotropy_metrics.evaluate_measurement import EmbeddingMeasurement
from isotropy_metrics.evaluate_modules import RECORDS, registered_folders
from isotropy_metrics.evaluate_streaming import StreamingModule
from isotropy_metrics.measures.comparisons import COMPARISONS, compare
from isotropy_metrics.statistics import UnitSums

X = np.random.default_rng(0).normal(size=(1200, 12)) * np.linspace(1, 2, 12) + 0.5
Y = X[:, ::-1] + np.random.default_rng(1).normal(size=X.shape)
IDS = {
    "references": [("noun", "verb", "name")[i % 3] for i in range(len(X))],
    "words": np.arange(len(X)) % 40,
    "sentences": np.arange(len(X)) // 12,
}
TEXTS = ["A man is playing a guitar.", "Two dogs run through the snow.", "The market fell by three percent on Monday."]


def inputs_of(name):
    """All that a measure or comparison needs of the rows above."""
    if name in COMPARISONS:
        return {"embeddings1": X, "embeddings2": Y}
    return {"embeddings": X} | {each: IDS[each] for each in MEASURES[name].ids}


def plain(name, **arguments):
    """The value of the plain function for these inputs."""
    inputs = inputs_of(name) | arguments
    if name in COMPARISONS:
        return COMPARISONS[name](inputs.pop("embeddings1"), inputs.pop("embeddings2"), **inputs)
    return MEASURES[name](inputs.pop("embeddings"), **inputs)


def close(values):
    return {name: pytest.approx(value, rel=1e-10) for name, value in values.items()}


def part(inputs, rows):
    return {name: values[rows] for name, values in inputs.items()}


@pytest.fixture(autouse=True)
def registered():
    isotropy_metrics.register()
    yield
    isotropy_metrics.unregister()


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("network access")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


@pytest.mark.parametrize("name", RECORDS)
def test_loads_by_name_without_network_or_warning(name, no_network, caplog):
    module_type = "comparison" if name in COMPARISONS else "measurement"
    for module in (evaluate.load(name), evaluate.load(name, module_type=module_type)):
        assert not caplog.records
        assert (module.name, module.module_type) == (name, module_type)
        assert isinstance(module, evaluate.Comparison if name in COMPARISONS else evaluate.Measurement)


@pytest.mark.parametrize("name", RECORDS)
def test_every_way_of_adding_rows_gives_the_value_of_the_plain_function(name):
    inputs = inputs_of(name)
    expected = plain(name)
    module = evaluate.load(name)
    assert list(module.features) == list(inputs)
    assert module.compute(**inputs) == close(expected)
    for start in range(0, len(X), 250):
        module.add_batch(**part(inputs, slice(start, start + 250)))
    assert module.compute() == close(expected)
    for row in range(100):
        module.add(**part(inputs, row))
    assert len(module) > 0
    rest = part(inputs, slice(100, None))
    assert module.compute(**{n: getattr(v, "tolist", lambda v=v: v)() for n, v in rest.items()}) == close(expected)
    assert len(module) == 0
    assert isotropy_metrics.load(name).compute(**inputs) == expected


def test_combine_merges_the_results_of_several_modules():
    combined = evaluate.combine(["isoscore", "partition_isotropy"])
    combined.add_batch(embeddings=X[:300])
    combined.add_batch(embeddings=X[300:])
    result = combined.compute()
    assert result["isoscore"] == pytest.approx(MEASURES["isoscore"](X)["isoscore"])
    assert result["partition_isotropy_log10"] == pytest.approx(
        MEASURES["partition_isotropy"](X)["partition_isotropy_log10"]
    )
    assert result["isoscore_n_samples"] == len(X)
    assert combined.compute(embeddings=X)["isoscore"] == pytest.approx(result["isoscore"])


def test_combine_hands_labels_to_the_module_that_needs_them():
    combined = evaluate.combine(["isoscore", "silhouette"])
    combined.add_batch(embeddings=X, references=IDS["references"])
    assert combined.compute()["silhouette"] == plain("silhouette")["silhouette"]


def test_several_measures_in_one_module_share_one_pass():
    module = isotropy_metrics.load(list(MEASURES))
    assert len(module.statistics) == len({each.needs for each in MEASURES.values()} - {UnitSums})
    assert module.compute(embeddings=X, **IDS) == measure(X, **IDS)
    assert list(module.features) == ["embeddings", *IDS]


def test_several_comparisons_in_one_module_share_one_pass():
    module = isotropy_metrics.load(iter(COMPARISONS))
    assert len(module.statistics) == len({each.needs for each in COMPARISONS.values()})
    assert module.compute(embeddings1=X, embeddings2=Y) == compare(X, Y)


@pytest.mark.parametrize("name", ["isoscore", "partition_isotropy", "neural_collapse", "linear_cka", "modality_gap"])
def test_intervals_and_nulls_are_those_of_the_plain_function(name):
    inputs = inputs_of(name)
    expected = plain(name, interval=0.9, null=True, n_resamples=20, seed=3)
    assert {f"{name}_low", f"{name}_high", f"{name}_null"} <= set(expected)
    at_compute = evaluate.load(name, seed=3)
    assert at_compute.compute(**inputs, interval=0.9, null=True, n_resamples=20) == expected
    at_load = evaluate.load(name, seed=3, interval=0.9, null=True, n_resamples=20)
    at_load.add_batch(**inputs)
    assert at_load.compute() == expected


@pytest.mark.parametrize("name", ["isoscore", "neural_collapse", "linear_cka", "modality_gap"])
def test_intervals_of_rows_that_come_in_batches(name):
    inputs = inputs_of(name)
    module = evaluate.load(name, interval=0.95)
    module.add_batch(**part(inputs, slice(0, 400)))
    module.add_batch(**part(inputs, slice(400, 800)))
    result = pickle.loads(pickle.dumps(module)).compute(**part(inputs, slice(800, None)))
    assert result[name] == pytest.approx(plain(name)[name], rel=1e-10)
    assert result[f"{name}_low"] < result[name] < result[f"{name}_high"]


def test_an_interval_resamples_whole_sentences_where_they_are_known():
    rows = np.repeat(X[:60], 20, axis=0) + 1e-3 * X
    sentences = np.repeat(np.arange(60), 20)
    alone, together = (
        evaluate.load("isoscore").compute(embeddings=rows, interval=0.95, **ids)
        for ids in ({}, {"sentences": sentences})
    )
    width_alone, width_together = (r["isoscore_high"] - r["isoscore_low"] for r in (alone, together))
    assert width_together > 2 * width_alone  # 20 copies of a row: √20 times as wide
    assert together == MEASURES["isoscore"](rows, sentences=sentences, interval=0.95)


def test_rows_of_a_sample_give_an_interval_even_if_nobody_asked_for_one_when_they_came():
    module = evaluate.load("partition_isotropy")
    module.add_batch(embeddings=X)
    assert module.compute(interval=0.95) == plain("partition_isotropy", interval=0.95)


def test_an_interval_that_comes_too_late_is_refused_and_the_rows_stay():
    for name in ("isoscore", "modality_gap"):
        inputs = inputs_of(name)
        for late in ({}, inputs):
            module = evaluate.load(name)
            module.add_batch(**inputs)
            with pytest.raises(ValueError, match=r"before rows are added.*interval=0.95.*compute\(embeddings"):
                module.compute(interval=0.95, **late)
            assert module.compute() == pytest.approx(plain(name), rel=1e-10)


def test_options_can_be_given_at_load_time_and_at_compute_time():
    at_compute = evaluate.load("isoscore").compute(embeddings=X, unbiased=True)
    at_load = evaluate.load("isoscore", unbiased=True).compute(embeddings=X)
    assert at_compute == at_load == MEASURES["isoscore"](X, unbiased=True)
    assert evaluate.load("partition_isotropy", sample_size=150, seed=3).compute(embeddings=X)["n_sampled"] == 150


def test_padding_is_left_out_by_the_mask():
    padded = np.full((120, 12, 12), np.nan)
    padded[:, :10] = X.reshape(120, 10, 12)
    mask = np.arange(12) < np.full((120, 1), 10)
    module = evaluate.load("isoscore")
    module.add_batch(embeddings=padded, mask=mask)
    assert module.compute()["isoscore"] == pytest.approx(MEASURES["isoscore"](X)["isoscore"], rel=1e-12)
    labels = np.full(mask.shape, "padding")
    labels[mask] = IDS["references"]
    module = evaluate.load("silhouette")
    module.add_batch(embeddings=padded, references=labels, mask=mask)
    assert module.compute() == plain("silhouette")
    both = evaluate.load("linear_cka").compute(embeddings1=padded, embeddings2=2 * padded, mask=mask)
    assert (both["n_samples"], both["linear_cka"]) == (len(X), pytest.approx(1))


def test_weights_of_rows():
    weight = np.linspace(0.5, 2, len(X))
    for name in ("isoscore", "neural_collapse", "linear_cka"):
        module = evaluate.load(name)
        module.add(**part(inputs_of(name), 0), weight=weight[0])
        module.add_batch(**part(inputs_of(name), slice(1, None)), weight=weight[1:])
        assert module.compute() == pytest.approx(plain(name, weight=weight), rel=1e-10)


def test_rows_never_reach_arrow_or_the_disk(monkeypatch, tmp_path):
    def refuse(*args, **kwargs):
        raise AssertionError("Arrow")

    monkeypatch.setattr("datasets.arrow_writer.ArrowWriter.__init__", refuse)
    evaluate.load("isoscore", cache_dir=str(tmp_path)).compute(embeddings=X)
    assert list(tmp_path.iterdir()) == []


def test_docstrings_and_repr_say_what_evaluate_says():
    module = evaluate.load("isoscore")
    for method in (module.compute, module.add, module.add_batch):
        assert "embeddings" in method.__doc__
        assert module.inputs_description in method.__doc__
    assert 'name: "isoscore"' in repr(module)
    assert "stored examples: 0" in repr(module)
    assert "Share of the dimensions" in module.description
    assert "rudman" in module.citation
    assert module.info.reference_urls == ["https://huggingface.co/papers/2108.07344"]
    assert list(module.features) == ["embeddings"]
    assert "interval: level" in module.inputs_description
    assert "references" in repr(evaluate.load("silhouette").features)
    comparison = evaluate.load("linear_cka")
    for method in (comparison.compute, comparison.add, comparison.add_batch):
        assert "embeddings2" in method.__doc__
        assert comparison.inputs_description in method.__doc__


def test_no_option_is_an_input_or_an_argument_of_the_module():
    taken = {
        name
        for function in (
            evaluate.EvaluationModule,
            StreamingModule,
            EmbeddingMeasurement.compute,
            EmbeddingComparison.compute,
        )
        for name in inspect.signature(function).parameters
    }
    assert {name: set(record.options) & taken for name, record in RECORDS.items() if set(record.options) & taken} == {}


def test_a_name_is_of_a_measure_or_of_a_comparison():
    assert not set(MEASURES) & set(COMPARISONS)


def test_texts_and_a_model_in_place_of_embeddings(minilm_path):
    from isotropy_metrics.hidden_states import embed

    texts = [*TEXTS, "A woman slices an onion while the children set the table."]
    rows = embed(str(minilm_path), texts, layer=3, pooling=None)
    result = evaluate.load("isoscore").compute(data=texts, model_id=str(minilm_path), layer=3, unbiased=True)
    assert result["n_samples"] == len(rows)
    assert result["isoscore"] == pytest.approx(MEASURES["isoscore"](rows, unbiased=True)["isoscore"], rel=1e-4)


def test_texts_of_a_model_bring_their_words_and_sentences_and_take_labels(minilm_path):
    texts = TEXTS * 3
    module = isotropy_metrics.load(["silhouette", "self_similarity", "intra_sentence_similarity"])
    with pytest.warns(RuntimeWarning, match="it wants"):
        result = module.compute(
            data=texts,
            references=["music", "animals", "money"] * 3,
            model_id=str(minilm_path),
            layer=0,
            min_occurrences=3,
        )
    from isotropy_metrics.hidden_states import stream_hidden_states

    (batch,) = stream_hidden_states(str(minilm_path), texts, layers=0)
    ids = {
        "references": batch.text_index % 3,
        "words": batch.token_ids,
        "sentences": batch.text_index,
    }
    options = {"self_similarity": {"min_occurrences": 3}}
    with pytest.warns(RuntimeWarning, match="it wants"):
        assert result == measure(batch.layers[0], module.records, **ids, options=options)
    with pytest.raises(ValueError, match=r"references must have shape \(9,\)"):
        module.compute(data=texts, references=["music"], model_id=str(minilm_path))
    with pytest.raises(ValueError, match="silhouette needs references=: one class label per row"):
        module.compute(data=texts, model_id=str(minilm_path))


def test_an_interval_of_texts_resamples_texts(minilm_path):
    from isotropy_metrics.hidden_states import stream_hidden_states

    texts = TEXTS * 10
    module = evaluate.load("isoscore", interval=0.95, n_resamples=10, unbiased=True)
    result = module.compute(data=texts, model_id=str(minilm_path))
    (batch,) = stream_hidden_states(str(minilm_path), texts, layers=-1)
    (rows,) = batch.layers.values()
    assert result == module.records[0](rows, sentences=batch.text_index, interval=0.95, n_resamples=10, unbiased=True)


def test_a_module_in_use_survives_pickling():
    for names in ("partition_isotropy", "linear_cka", ["silhouette", "neural_collapse", "isoscore"]):
        module = isotropy_metrics.load(names, sample_size=500)
        inputs = inputs_of("silhouette" if isinstance(names, list) else names)
        module.add_batch(**part(inputs, slice(0, 400)))
        copy = pickle.loads(pickle.dumps(module))
        for each in (module, copy):
            each.add_batch(**part(inputs, slice(400, None)))
        assert (len(copy), copy.name) == (len(X), module.name)
        assert copy.compute() == module.compute()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: evaluate.load("isoscore", num_process=2, process_id=0), ValueError, "num_process=2.*merge"),
        (lambda: evaluate.load("isoscore", centred=True), TypeError, "no option 'centred'; its options: unbiased"),
        (lambda: evaluate.load("isoscore").compute(), ValueError, "add_batch"),
        (lambda: evaluate.load("isoscore").compute(embeddings=X, centered=True), TypeError, "no option 'centered'"),
        (lambda: evaluate.load("isoscore").compute(predictions=X), ValueError, "Bad inputs.*predictions"),
        (lambda: evaluate.load("isoscore").add_batch(references=X), ValueError, "Bad inputs.*references"),
        (lambda: evaluate.load("isoscore").compute(data=["a text"]), ValueError, "model_id"),
        (lambda: evaluate.load("isoscore").compute(mask=[1, 1]), ValueError, "mask and weight belong to embeddings"),
        (lambda: evaluate.load("isoscore").compute(embeddings=["a text"]), ValueError, "data="),
        (lambda: isotropy_metrics.load("isotropy"), ValueError, "no measure 'isotropy'; there are: .*isoscore"),
        (lambda: isotropy_metrics.load([]), ValueError, "no measure named"),
        (lambda: isotropy_metrics.load(["isoscore", "linear_cka"]), ValueError, "linear_cka is a comparison"),
        (lambda: evaluate.load("linear_cka", module_type="measurement"), TypeError, "module type 'comparison'"),
        (lambda: evaluate.load("isoscore", interval=95), ValueError, "interval must be a level between 0 and 1"),
        (lambda: evaluate.load("isoscore").compute(embeddings=X, interval=1), ValueError, "interval must be a level"),
        (lambda: evaluate.load("isoscore").add_batch(), ValueError, "pass embeddings="),
        (lambda: evaluate.load("isoscore").compute(references=X), ValueError, "belong to embeddings.*pass them"),
        (
            lambda: evaluate.load("isoscore").compute(embeddings=X, words=IDS["words"]),
            ValueError,
            "isoscore has no use for words: leave them out",
        ),
        (
            lambda: evaluate.load("isoscore").compute(embeddings=X, sentences=IDS["sentences"]),
            ValueError,
            "no use for sentences without interval=",
        ),
        (
            lambda: evaluate.load("neural_collapse").add_batch(embeddings=X),
            ValueError,
            "neural_collapse needs references=: one class label per row",
        ),
        (
            lambda: evaluate.load("silhouette").compute(embeddings=X),
            ValueError,
            "silhouette needs references=: one class label per row",
        ),
        (
            lambda: evaluate.load("silhouette").compute(embeddings=X, references=IDS["references"][1:]),
            ValueError,
            r"references must have shape \(1200,\)",
        ),
        (
            lambda: evaluate.load("self_similarity").add(embeddings=X[0]),
            ValueError,
            "needs words=: which word each row is an occurrence of",
        ),
        (lambda: evaluate.load("linear_cka").add_batch(embeddings1=X), ValueError, "two spaces: pass embeddings2"),
        (lambda: evaluate.load("linear_cka").add(embeddings1=X[0]), ValueError, "two spaces: pass embeddings2"),
        (lambda: evaluate.load("linear_cka").compute(), ValueError, r"compute\(embeddings1=..., embeddings2=...\)"),
        (
            lambda: evaluate.load("linear_cka").compute(mask=np.ones(3)),
            ValueError,
            "two spaces: pass embeddings1 and embeddings2",
        ),
        (
            lambda: evaluate.load("linear_cka").compute(embeddings1=X, embeddings2=Y[1:]),
            ValueError,
            "paired row by row",
        ),
        (
            lambda: evaluate.load("linear_cka").add_batch(embeddings=X),
            ValueError,
            r"Bad inputs.*'embeddings'.*\['embeddings1', 'embeddings2'\]",
        ),
        (
            lambda: evaluate.load("linear_cka").compute(embeddings1=X, embeddings2=Y, debias=True),
            TypeError,
            "no option 'debias'",
        ),
    ],
)
def test_wrong_use_is_refused_with_the_remedy(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_bad_batch_leaves_the_rows_added_before():
    bad = X.copy()
    bad[17, 3] = np.inf
    labels = IDS["references"]
    for interval in (None, 0.95):
        module = isotropy_metrics.load(
            ["isoscore", "neural_collapse", "silhouette"], interval=interval, n_resamples=10
        )
        module.add_batch(embeddings=X, references=labels)
        for message, batch in {
            "row 17": {"embeddings": bad, "references": labels},
            "12": {"embeddings": X[:, 1:], "references": labels},
            "needs references": {"embeddings": X},
            "references must": {"embeddings": X, "references": labels[1:]},
            "references must be text": {"embeddings": X, "references": X[:, 0]},
            "words": {"embeddings": X, "references": labels, "words": labels},
            "weight": {"embeddings": X, "references": labels, "weight": -X[:, 0]},
        }.items():
            with pytest.raises(ValueError, match=message):
                module.add_batch(**batch)
        assert module.compute() == measure(X, module.records, references=labels, interval=interval, n_resamples=10)


@pytest.mark.parametrize("name", ["isoscore", "neural_collapse"])
def test_a_bad_batch_leaves_the_parts_that_an_interval_is_made_of(name):
    inputs = inputs_of(name)
    module = evaluate.load(name, interval=0.95)
    module.add_batch(**inputs)
    bad = X.copy()
    bad[17, 3] = np.inf
    with pytest.raises(ValueError, match="row 17"):
        module.add_batch(**inputs | {"embeddings": bad})
    assert module.compute() == plain(name, interval=0.95)
    module.add(**part(inputs, 0))
    for row in range(10):  # into parts that are still empty
        with pytest.raises(ValueError, match="these rows have 11 features, the rows so far had 12"):
            module.add(**part(inputs | {"embeddings": X[:, 1:]}, row))
    assert len(module) == 1


def test_a_bad_batch_of_two_spaces_leaves_the_rows_added_before():
    bad = X.copy()
    bad[17, 3] = np.inf
    for interval in (None, 0.95):
        module = isotropy_metrics.load(["modality_gap", "linear_cka"], interval=interval)
        module.add_batch(embeddings1=X, embeddings2=Y)
        for message, batch in {
            "row 17": {"embeddings1": X, "embeddings2": bad},
            "12": {"embeddings1": X, "embeddings2": Y[:, 1:]},
            "paired row by row": {"embeddings1": X, "embeddings2": Y[1:]},
        }.items():
            with pytest.raises(ValueError, match=message):
                module.add_batch(**batch)
        assert module.compute() == compare(X, Y, module.records, interval=interval)


@pytest.mark.parametrize(
    "call", [{"embeddings": X[:1]}, {"embeddings": X[:2], "unbiased": True}, {"embeddings": X, "mask": np.ones(3)}]
)
@pytest.mark.filterwarnings("ignore:isoscore of 2 rows")
def test_a_compute_that_fails_leaves_no_rows_behind(call):
    module = evaluate.load("isoscore")
    with pytest.raises(ValueError):
        module.compute(**call)
    assert module.compute(embeddings=X) == MEASURES["isoscore"](X)


def test_rows_given_to_compute_are_sampled_apart_from_those_added_before(monkeypatch):
    rows = np.arange(1200.0)[:, None] * np.ones(2)
    module = evaluate.load("partition_isotropy", sample_size=500)
    monkeypatch.setattr(module, "_values", lambda statistics, **arguments: statistics[0].rows[:, 0])
    module.add_batch(embeddings=rows[:600])
    sampled = module.compute(embeddings=rows[600:])
    before, after = sampled[sampled < 600], sampled[sampled >= 600] - 600
    assert len(sampled) == 500
    assert 0.3 < len(np.intersect1d(before, after)) / len(before) < 0.6  # by chance 500 of 1200


def test_the_rows_of_a_compute_that_fails_are_not_those_of_the_next():
    module = evaluate.load("isoscore")
    module.add_batch(embeddings=X[:700])
    with pytest.raises(ValueError, match="features"):
        module.compute(embeddings=X[700:, 1:])
    assert module.compute(embeddings=X[700:]) == pytest.approx(plain("isoscore"), rel=1e-10)


def test_the_remedy_for_several_processes_works():
    from isotropy_metrics.statistics.distributed import merge_processes

    module = isotropy_metrics.load(list(MEASURES))
    module.add_batch(embeddings=X, **IDS)
    module.statistics = [merge_processes(statistic) for statistic in module.statistics]
    assert module.compute() == measure(X, **IDS)


def test_unregister_gives_evaluate_back_its_own_factory():
    original = evaluate.loading.evaluation_module_factory.isotropy_metrics_original
    isotropy_metrics.register()
    isotropy_metrics.unregister()
    assert evaluate.loading.evaluation_module_factory is original


def test_a_local_folder_of_the_same_name_comes_first(tmp_path, monkeypatch):
    (tmp_path / "isoscore").mkdir()
    (tmp_path / "isoscore" / "isoscore.py").write_text(
        "import evaluate\nimport datasets\n\n"
        "class Isoscore(evaluate.Measurement):\n"
        "    def _info(self):\n"
        "        features = datasets.Features({'embeddings': datasets.Value('float32')})\n"
        "        return evaluate.MeasurementInfo(description='mine', citation='', features=features)\n"
    )
    monkeypatch.chdir(tmp_path)
    assert evaluate.load("isoscore", cache_dir=str(tmp_path)).description == "mine"


ONLY_EVALUATE = """
import evaluate
X = [[0.0, 1.0], [0.0, -1.0], [1.0, 0.0], [-1.0, 0.0]] * 25
print(evaluate.load("isoscore").compute(embeddings=X)["isoscore"])
comparison = evaluate.load("linear_cka", module_type="comparison")
print(round(comparison.compute(embeddings1=X, embeddings2=X)["linear_cka"], 6))
"""


def run_script(script, home, **environment):
    import os

    keep = {key: value for key, value in os.environ.items() if key not in ("HF_HUB_OFFLINE", "HF_EVALUATE_OFFLINE")}
    return subprocess.run(
        [sys.executable, "-c", script],
        env=keep | {"HF_HOME": str(home)} | environment,
        capture_output=True,
        text=True,
        cwd=home,
    )


@pytest.mark.slow
@pytest.mark.parametrize("offline", ["HF_HUB_OFFLINE", "HF_EVALUATE_OFFLINE"])
def test_lasting_registration_serves_a_script_that_imports_evaluate_only(offline, tmp_path):
    command = "import sys; from isotropy_metrics.cli import main; sys.exit(main(sys.argv[1:]))"
    assert run_script(ONLY_EVALUATE, tmp_path, **{offline: "1"}).returncode != 0
    done = run_script(command.replace("sys.argv[1:]", "['register']"), tmp_path)
    assert done.returncode == 0, done.stderr
    loaded = run_script(ONLY_EVALUATE, tmp_path, **{offline: "1"})
    assert loaded.stdout.split() == ["1.0", "1.0"], loaded.stderr

    gone = "import sys\nsys.modules['isotropy_metrics'] = None\n" + ONLY_EVALUATE
    refused = run_script(gone, tmp_path, **{offline: "1"})
    assert "pip install 'isotropy-metrics[evaluate]'" in refused.stderr.splitlines()[-1]

    assert run_script(command.replace("sys.argv[1:]", "['unregister']"), tmp_path).returncode == 0
    assert run_script(ONLY_EVALUATE, tmp_path, **{offline: "1"}).returncode != 0
    assert not list((tmp_path / "modules").rglob("isoscore.py"))
    assert not list((tmp_path / "modules").rglob("linear_cka.py"))


def test_registering_twice_is_registering_once_and_foreign_folders_stay(monkeypatch, tmp_path):
    monkeypatch.setattr("evaluate.loading.init_dynamic_modules", lambda: str(tmp_path))
    foreign = tmp_path / "metrics" / "evaluate-measurement--other" / "0" / "other.py"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("import evaluate\n")
    isotropy_metrics.register(lasting=True)
    isotropy_metrics.register(lasting=True)
    assert len(registered_folders()) == len(RECORDS)
    assert {folder.name for folder in registered_folders()} > {"evaluate-comparison--linear_cka"}
    isotropy_metrics.unregister(lasting=True)
    assert registered_folders() == []
    assert foreign.is_file()
