"""Every measure behaves as evaluate documents its modules, loads by name with no network, and never touches Arrow."""

import pickle
import subprocess
import sys

import evaluate
import numpy as np
import pytest

import isotropy_metrics
from isotropy_metrics import MEASURES, measure
from isotropy_metrics.evaluate_modules import registered_folders

X = np.random.default_rng(0).normal(size=(600, 8)) * np.linspace(1, 2, 8) + 0.5
TEXTS = ["A man is playing a guitar.", "Two dogs run through the snow.", "The market fell by three percent on Monday."]


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


@pytest.mark.parametrize("name", MEASURES)
def test_loads_by_name_without_network_or_warning(name, no_network, caplog):
    module = evaluate.load(name)
    assert not caplog.records
    assert (module.name, module.module_type) == (name, "measurement")


@pytest.mark.parametrize("name", MEASURES)
def test_every_way_of_adding_rows_gives_the_value_of_the_plain_function(name):
    expected = MEASURES[name](X)
    module = evaluate.load(name)
    assert module.compute(embeddings=X) == pytest.approx(expected, rel=1e-10)
    for start in range(0, len(X), 250):
        module.add_batch(embeddings=X[start : start + 250])
    assert len(module) == len(X)
    assert module.compute() == pytest.approx(expected, rel=1e-10)
    for row in X[:100]:
        module.add(embeddings=row)
    assert module.compute(embeddings=X[100:].tolist()) == pytest.approx(expected, rel=1e-10)
    assert len(module) == 0
    assert isotropy_metrics.load(name).compute(embeddings=X) == expected


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


def test_several_measures_in_one_module_share_one_pass():
    module = isotropy_metrics.load(list(MEASURES))
    assert len(module.statistics) == len({each.needs for each in MEASURES.values()})
    assert module.compute(embeddings=X) == measure(X)


def test_options_can_be_given_at_load_time_and_at_compute_time():
    at_compute = evaluate.load("isoscore").compute(embeddings=X, unbiased=True)
    at_load = evaluate.load("isoscore", unbiased=True).compute(embeddings=X)
    assert at_compute == at_load == MEASURES["isoscore"](X, unbiased=True)
    assert evaluate.load("partition_isotropy", sample_size=50, seed=3).compute(embeddings=X)["n_sampled"] == 50


def test_padding_is_left_out_by_the_mask():
    padded = np.full((60, 12, 8), np.nan)
    padded[:, :10] = X.reshape(60, 10, 8)
    mask = np.arange(12) < np.full((60, 1), 10)
    module = evaluate.load("isoscore")
    module.add_batch(embeddings=padded, mask=mask)
    assert module.compute()["isoscore"] == pytest.approx(MEASURES["isoscore"](X)["isoscore"], rel=1e-12)


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


def test_texts_and_a_model_in_place_of_embeddings(minilm_path):
    from isotropy_metrics.hidden_states import embed

    rows = embed(str(minilm_path), TEXTS, layer=3, pooling=None)
    result = evaluate.load("isoscore").compute(data=TEXTS, model_id=str(minilm_path), layer=3, unbiased=True)
    assert result["n_samples"] == len(rows)
    assert result["isoscore"] == pytest.approx(MEASURES["isoscore"](rows, unbiased=True)["isoscore"], rel=1e-4)


def test_a_module_in_use_survives_pickling():
    module = evaluate.load("partition_isotropy", sample_size=100)
    module.add_batch(embeddings=X[:400])
    copy = pickle.loads(pickle.dumps(module))
    for each in (module, copy):
        each.add_batch(embeddings=X[400:])
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
    ],
)
def test_wrong_use_is_refused_with_the_remedy(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_bad_batch_leaves_the_rows_added_before():
    module = isotropy_metrics.load(list(MEASURES))
    module.add_batch(embeddings=X)
    bad = X.copy()
    bad[17, 3] = np.inf
    with pytest.raises(ValueError, match="row 17"):
        module.add_batch(embeddings=bad)
    assert module.compute() == measure(X)


@pytest.mark.parametrize(
    "call", [{"embeddings": X[:1]}, {"embeddings": X[:2], "unbiased": True}, {"embeddings": X, "mask": np.ones(3)}]
)
def test_a_compute_that_fails_leaves_no_rows_behind(call):
    module = evaluate.load("isoscore")
    with pytest.raises(ValueError):
        module.compute(**call)
    assert module.compute(embeddings=X) == MEASURES["isoscore"](X)


def test_the_remedy_for_several_processes_works():
    from isotropy_metrics.statistics.distributed import merge_processes

    module = isotropy_metrics.load(list(MEASURES))
    module.add_batch(embeddings=X)
    module.statistics = [merge_processes(statistic) for statistic in module.statistics]
    assert module.compute() == measure(X)


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
print(evaluate.load("isoscore").compute(embeddings=[[0.0, 1.0], [0.0, -1.0], [1.0, 0.0], [-1.0, 0.0]])["isoscore"])
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


@pytest.mark.parametrize("offline", ["HF_HUB_OFFLINE", "HF_EVALUATE_OFFLINE"])
def test_lasting_registration_serves_a_script_that_imports_evaluate_only(offline, tmp_path):
    command = "import sys; from isotropy_metrics.cli import main; sys.exit(main(sys.argv[1:]))"
    assert run_script(ONLY_EVALUATE, tmp_path, **{offline: "1"}).returncode != 0
    done = run_script(command.replace("sys.argv[1:]", "['register']"), tmp_path)
    assert done.returncode == 0, done.stderr
    loaded = run_script(ONLY_EVALUATE, tmp_path, **{offline: "1"})
    assert loaded.stdout.strip() == "1.0", loaded.stderr

    gone = "import sys\nsys.modules['isotropy_metrics'] = None\n" + ONLY_EVALUATE
    refused = run_script(gone, tmp_path, **{offline: "1"})
    assert "pip install 'isotropy-metrics[evaluate]'" in refused.stderr.splitlines()[-1]

    assert run_script(command.replace("sys.argv[1:]", "['unregister']"), tmp_path).returncode == 0
    assert run_script(ONLY_EVALUATE, tmp_path, **{offline: "1"}).returncode != 0
    assert not list((tmp_path / "modules").rglob("isoscore.py"))


def test_registering_twice_is_registering_once_and_foreign_folders_stay(monkeypatch, tmp_path):
    monkeypatch.setattr("evaluate.loading.init_dynamic_modules", lambda: str(tmp_path))
    foreign = tmp_path / "metrics" / "evaluate-measurement--other" / "0" / "other.py"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("import evaluate\n")
    isotropy_metrics.register(lasting=True)
    isotropy_metrics.register(lasting=True)
    assert len(registered_folders()) == len(MEASURES)
    isotropy_metrics.unregister(lasting=True)
    assert registered_folders() == []
    assert foreign.is_file()
