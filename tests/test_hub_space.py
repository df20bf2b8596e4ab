"""A measure written as a Space of the Hub loads from there, and its card says all that the record knows."""

import importlib.util
import inspect
import json
import os
import pickle
import re
import subprocess
import sys
import warnings
from pathlib import Path

import evaluate
import numpy as np
import pytest
import yaml
from huggingface_hub import HfApi, SpaceCard

from isotropy_metrics.evaluate_modules import RECORDS
from isotropy_metrics.hub_app import values_of_files
from isotropy_metrics.hub_space import push_space, write_space
from isotropy_metrics.measures.comparisons import Comparison

X = np.random.default_rng(0).normal(size=(1000, 12)) * np.linspace(1, 2, 12)
Y = X[:, ::-1] + np.random.default_rng(1).normal(size=X.shape)
LABELS = np.array(["noun", "verb"])[np.arange(len(X)) % 2]
INPUTS = {
    "isoscore": {"embeddings": X},
    "partition_isotropy": {"embeddings": X},
    "silhouette": {"embeddings": X, "references": LABELS},
    "self_similarity": {"embeddings": X, "words": np.arange(len(X)) % 40},
    "linear_cka": {"embeddings1": X, "embeddings2": Y},
    "modality_gap": {"embeddings1": X, "embeddings2": Y},
}
SECTIONS = ["How to use", "Formula", "Values", "Options", "What it does not tell", "Source"]
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


LOAD = """
import json
import sys

import evaluate
import numpy as np

values = {}
for folder in sys.argv[2:]:
    module = evaluate.load(folder)
    with np.load(f"{sys.argv[1]}/{module.name}.npz") as inputs:
        values[module.name] = module.compute(**inputs)
print(json.dumps(values))
"""


@pytest.mark.slow
def test_written_folders_load_in_a_fresh_process_and_give_the_value_of_the_plain_function(tmp_path):
    folders = [write_space(name, tmp_path / "spaces" / name) for name in INPUTS]
    for name, inputs in INPUTS.items():
        np.savez(tmp_path / f"{name}.npz", **inputs)
    offline = {"HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path), *map(str, folders)],
        env=os.environ | offline,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    values = json.loads(done.stdout)
    assert values == {name: RECORDS[name](**inputs) for name, inputs in INPUTS.items()}


def test_a_folder_of_any_name_loads_by_the_script_in_it(tmp_path):
    script = write_space("isoscore", tmp_path / "dry-run")
    assert script == tmp_path / "dry-run" / "isoscore.py"
    module = evaluate.load(str(script), module_type="measurement")
    assert module.compute(embeddings=X) == RECORDS["isoscore"](X)


def test_the_script_names_the_remedy_where_the_package_is_missing(tmp_path, monkeypatch):
    folder = write_space("linear_cka", tmp_path / "linear_cka", requirement='isotropy-metrics; python_version > "3"')
    monkeypatch.setitem(sys.modules, "isotropy_metrics.evaluate_modules", None)
    with pytest.raises(ImportError, match="linear_cka is in .*pip install 'isotropy-metrics; python_version > \"3\"'"):
        evaluate.load(str(folder))


@pytest.mark.parametrize("name", RECORDS)
def test_every_card_says_all_that_the_record_knows(name, tmp_path):
    record = RECORDS[name]
    write_space(name, tmp_path / name, namespace="some-lab")
    text = (tmp_path / name / "README.md").read_text(encoding="utf-8")
    _, front_matter, body = text.split("---\n", 2)
    facts = yaml.safe_load(front_matter)
    assert facts["tags"] == ["evaluate", "comparison" if isinstance(record, Comparison) else "measurement"]
    assert (facts["title"], facts["sdk"], facts["app_file"], facts["pinned"]) == (name, "gradio", "app.py", False)
    assert facts["description"] == record.summary
    assert {facts["colorFrom"], facts["colorTo"]} <= COLOURS
    assert re.fullmatch(r"6\.\d+\.\d+", facts["sdk_version"])

    sections = dict(zip(*[iter(re.split(r"^## (.+)\n", body, flags=re.MULTILINE)[1:])] * 2, strict=True))
    assert list(sections) == SECTIONS
    assert all(len(section.strip()) > 4 for section in sections.values())
    assert f'evaluate.load("some-lab/{name}", module_type="{record.module_type}")' in sections["How to use"]
    assert f"from isotropy_metrics import {name}\n" in sections["How to use"]
    assert all(f"{each}=" in sections["How to use"] for each in record.ids)
    for fact in ("Range: ", "Unchanged by", "Rows wanted: ", f"Returns: `{name}`"):
        assert fact in sections["Values"]
    assert ("A space compared with itself: " in sections["Values"]) == isinstance(record, Comparison)
    assert ("An isotropic space: " in sections["Values"]) != isinstance(record, Comparison)
    assert all(each in sections["Values"] for each in record.invariant_to)
    assert f"{record.rows_wanted(768):,}" in sections["Values"]
    assert all(f"`{each}={default!r}`: " in sections["Options"] for each, default in record.options.items())
    assert "What it does not tell" not in sections["Formula"]
    assert record.paper_url in sections["Source"]
    assert record.citation in sections["Source"]


@pytest.mark.parametrize("name", RECORDS)
def test_every_paragraph_of_a_docstring_is_in_the_card(name, tmp_path):
    write_space(name, tmp_path / name)
    card = " ".join((tmp_path / name / "README.md").read_text(encoding="utf-8").split())
    before_args = RECORDS[name].__doc__.split("\nArgs:\n")[0]
    for paragraph in before_args.strip().split("\n\n"):
        assert " ".join(paragraph.removeprefix("What it does not tell:").split()) in card


def test_the_front_matter_is_that_of_a_space_card(tmp_path):
    write_space("isoscore", tmp_path / "isoscore")
    data = SpaceCard.load(tmp_path / "isoscore" / "README.md").data
    assert (data.sdk, data.app_file, data.license) == ("gradio", "app.py", "apache-2.0")
    assert data.tags == ["evaluate", "measurement"]


def test_facts_that_depend_on_the_width_say_so(tmp_path):
    write_space("participation_ratio", tmp_path / "space")
    text = (tmp_path / "space" / "README.md").read_text(encoding="utf-8")
    for line in (
        "- Range: 1 … d.",
        "- An isotropic space: d.",
        "- d is the number of features.",
        "- Rows wanted: 3,840 for 384 features, 7,680 for 768; fewer raise a warning.",
    ):
        assert f"{line}\n" in text
    assert "## Options\n\nNone.\n" in text


def test_requirements_are_what_the_measure_needs(tmp_path):
    write_space("isoscore", tmp_path / "isoscore")
    assert (tmp_path / "isoscore" / "requirements.txt").read_text() == "isotropy-metrics[evaluate]\n"
    write_space("silhouette", tmp_path / "silhouette", requirement="isotropy-metrics @ git+https://example.org/x")
    assert (tmp_path / "silhouette" / "requirements.txt").read_text().splitlines() == [
        "isotropy-metrics @ git+https://example.org/x",
        "scikit-learn",
    ]


def test_a_folder_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    taken = tmp_path / "isoscore"
    taken.mkdir()
    write_space("isoscore", taken)
    files = {"README.md", "isoscore.py", "requirements.txt", "app.py"}
    assert {path.name for path in taken.iterdir()} == files
    with pytest.raises(FileExistsError, match="isoscore exists: choose another folder"):
        write_space("isoscore", taken)
    with pytest.raises(FileExistsError, match="requirements.txt exists"):
        write_space("isoscore", taken / "requirements.txt")
    with pytest.raises(ValueError, match="no measure 'isotropy'; there are: .*isoscore"):
        write_space("isotropy", tmp_path / "isotropy")

    def full(path, text, encoding):
        raise OSError("disk full")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(OSError, match="disk full"):
        write_space("isoscore", tmp_path / "other")
    assert list(tmp_path.iterdir()) == [taken]


class FakeApi:
    """Remembers what the Hub was asked for, and the files that were sent."""

    def __init__(self, token=None):
        self.token = token
        self.calls = []
        FakeApi.latest = self

    def create_repo(self, repo_id, **arguments):
        self.calls.append(("create_repo", repo_id, arguments))
        return f"https://huggingface.co/spaces/{repo_id}"

    def upload_folder(self, *, folder_path, **arguments):
        self.calls.append(("upload_folder", arguments))
        self.files = {path.name: path.read_text() for path in Path(folder_path).iterdir()}


@pytest.mark.parametrize(("name", "module_type"), [("isoscore", "measurement"), ("linear_cka", "comparison")])
def test_push_makes_the_space_and_sends_the_written_files(name, module_type, monkeypatch, tmp_path):
    real = {method: inspect.signature(getattr(HfApi, method)) for method in ("create_repo", "upload_folder")}
    monkeypatch.setattr("huggingface_hub.HfApi", FakeApi)
    assert push_space(name, "some-lab", private=True, token="hf_x") == f"https://huggingface.co/spaces/some-lab/{name}"
    api = FakeApi.latest
    assert api.token == "hf_x"
    assert api.calls == [
        (
            "create_repo",
            f"some-lab/{name}",
            {"repo_type": "space", "space_sdk": "gradio", "private": True, "exist_ok": True},
        ),
        (
            "upload_folder",
            {"repo_id": f"some-lab/{name}", "repo_type": "space", "commit_message": f"{name} of isotropy-metrics"},
        ),
    ]
    for method, *_, arguments in api.calls:  # the real methods take them
        real[method].bind_partial(None, **arguments)
    write_space(name, tmp_path / name, namespace="some-lab")
    assert api.files == {path.name: path.read_text() for path in (tmp_path / name).iterdir()}


def test_nothing_is_made_on_the_hub_for_a_name_that_is_no_measure(monkeypatch):
    monkeypatch.setattr("huggingface_hub.HfApi", FakeApi)
    FakeApi.latest = None
    with pytest.raises(ValueError, match="no measure 'isotropy'"):
        push_space("isotropy", "some-lab")
    assert FakeApi.latest is None or FakeApi.latest.calls == []


def test_push_without_a_connection_says_so():
    with pytest.raises(OSError, match="offline"):  # the tests run with HF_HUB_OFFLINE=1
        push_space("isoscore", "some-lab")


@pytest.fixture
def upload(tmp_path):
    def save(name, array):
        np.save(tmp_path / f"{name}.npy", array)
        return str(tmp_path / f"{name}.npy")

    return save


PAGE = """
import json
import runpy
import sys

app, *paths = sys.argv[1:]
(click,) = runpy.run_path(app)["demo"].fns.values()


def answer(*paths):
    try:
        return click.fn(*paths)
    except Exception as error:
        return type(error).__module__, str(error)


labels = [file.label for file in click.inputs]
print(json.dumps([labels, answer(*paths), answer(*[None] * len(paths)), answer(*[app] * len(paths))]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["isoscore", "silhouette", "linear_cka"])
def test_the_page_builds_without_warnings_and_its_button_computes_or_refuses(name, tmp_path, upload):
    if importlib.util.find_spec("gradio") is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("the package 'gradio' is not installed")
    write_space(name, tmp_path / name)
    paths = [upload(each, array) for each, array in INPUTS[name].items()]
    # gradio leaves an event loop open, in a process of its own so that its ResourceWarning is not ours
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-W",
            "ignore::ResourceWarning",
            "-c",
            PAGE,
            tmp_path / name / "app.py",
            *paths,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    labels, answer, without_files, of_text = json.loads(done.stdout)
    assert labels == [f"{each} (.npy)" for each in INPUTS[name]]
    assert answer == [RECORDS[name](**INPUTS[name]), ""]
    first = next(iter(INPUTS[name]))
    assert without_files == ["gradio.exceptions", repr(f"upload {first} as a .npy file")]
    assert of_text[0] == "gradio.exceptions"
    assert f"{first} must be an array of numbers" in of_text[1]


class Exploit:
    def __reduce__(self):
        return exec, ("raise SystemExit('the pickle ran')",)


def test_uploads_that_are_no_plain_arrays_are_refused(tmp_path, upload):
    record = RECORDS["isoscore"]
    np.savez(tmp_path / "archive.npz", X=X)
    (tmp_path / "archive.npz").rename(tmp_path / "archive.npy")
    (tmp_path / "pickle.npy").write_bytes(pickle.dumps(Exploit()))
    (tmp_path / "text.npy").write_text("1 2 3")
    (tmp_path / "empty.npy").write_bytes(b"")
    (tmp_path / "cut.npy").write_bytes(Path(upload("whole", X)).read_bytes()[:500])
    upload("objects", np.array([Exploit(), 1], dtype=object))
    for name in ("pickle", "text", "empty", "cut", "objects"):
        with pytest.raises(ValueError, match="embeddings must be an array of numbers .* nor are pickled objects"):
            values_of_files(record, {"embeddings": str(tmp_path / f"{name}.npy")})
    with pytest.raises(ValueError, match="must be one array, got an archive"):
        values_of_files(record, {"embeddings": str(tmp_path / "archive.npy")})


def test_the_page_shows_the_warnings_of_a_measure_and_no_others(upload, monkeypatch):
    flat = upload("flat", np.ones((500, 3)))
    record = RECORDS["isoscore"]
    original = record.function

    def with_another_warning(moments):
        warnings.warn("of the server", DeprecationWarning, stacklevel=1)
        return original(moments)

    monkeypatch.setattr(record, "function", with_another_warning)
    values, notes = values_of_files(record, {"embeddings": flat})
    assert np.isnan(values["isoscore"])
    assert notes == "isoscore is NaN: all rows are the same"
