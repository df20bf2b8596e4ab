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


OF_ENGINES = {"measure_with_dask", "measure_with_ray"}  # of files that they are given: test_engines.py runs them
EXAMPLES = [path for path in sorted((ROOT / "examples").glob("*.py")) if path.stem not in OF_ENGINES]
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
