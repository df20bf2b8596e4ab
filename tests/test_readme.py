"""What the README, the examples and the benchmark say is what the code does (README's sessions run as doctests)."""

import subprocess
import sys
from pathlib import Path

import pytest

from isotropy_metrics.measures._table import with_table

ROOT = Path(__file__).parents[1]


def test_table_of_measures_is_the_generated_one():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_table(text) == text, "run `make readme`"


EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
LONG = {
    "classify_enhanced_embeddings",
    "enhance_token_states",
    "evaluate_texts",
    "finetune_classifier",
    "finetune_sts",
    "layers_of_a_model",
    "study_reactions",
}


@pytest.mark.parametrize(
    "example",
    [pytest.param(path, id=path.stem, marks=[pytest.mark.slow] * (path.stem in LONG)) for path in EXAMPLES],
)
def test_example_runs(example, tmp_path, minilm_path, stsb_folder):
    done = subprocess.run([sys.executable, str(example)], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.slow
def test_benchmark_runs_beside_its_floor():
    command = [
        sys.executable,
        "-m",
        "benchmarks.second_moments",
        "--rows",
        "5000",
        "--features",
        "32",
        "--rounds",
        "1",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("x floor") == 10


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "n_ratios"),
    [
        (("benchmarks.watching", "--texts", "40", "--rounds", "1"), 5),
        (("benchmarks.regularizing", "--steps", "1", "--rounds", "1"), 12),
    ],
)
def test_benchmark_of_training_runs_beside_its_floor(arguments, n_ratios, minilm_path, stsb_folder):
    done = subprocess.run([sys.executable, "-m", *arguments], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("x floor") == n_ratios
