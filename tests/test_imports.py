"""The house: `import isotropy_metrics` is light, and nothing imports upward."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
HEAVY = """
    torch transformers evaluate datasets sklearn matplotlib gradio pandas huggingface_hub sentence_transformers tqdm
"""
FLOORS = {
    "isotropy_metrics.arrays": 0,
    "isotropy_metrics.processes": 0,
    "isotropy_metrics.statistics": 1,
    "isotropy_metrics.measures": 2,
    "isotropy_metrics.": 3,  # enhancement, hidden_states, evaluate_modules, and what else there is
    "isotropy_metrics": 4,  # the public names
    "trainer_callbacks": 5,
    "isotropy_metrics.study": 6,  # which watches its own fine-tuning with the callback
    "isotropy_metrics.cli": 7,
    "isotropy_metrics.__main__": 8,
    "spaces_demo": 9,
    "isotropy_space": 9,  # in the folder spaces_demo, which is on the path of app.py
}


def floor_of(module: str) -> int | None:
    """The floor of the longest prefix of this module's name; None for modules of others."""
    parts = module.split(".")
    for length in range(len(parts), 0, -1):
        name = ".".join(parts[:length])
        if name in FLOORS:
            return FLOORS["isotropy_metrics."] if name == "isotropy_metrics" and length < len(parts) else FLOORS[name]
    return None


def imports_of(path: Path, module: str) -> list[tuple[int, str]]:
    """Line and absolute name of every import in a file, in functions too, but not those for type checkers only."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            node.body = []
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) + 1 - node.level] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                deeper = ROOT.joinpath(*base.split("."), alias.name)
                is_module = deeper.is_dir() or deeper.with_suffix(".py").exists()
                found.append((node.lineno, f"{base}.{alias.name}" if is_module else base))
    return found


def source_files() -> list[Path]:
    return [p for top in ("isotropy_metrics", "trainer_callbacks", "spaces_demo") for p in (ROOT / top).rglob("*.py")]


def test_nothing_imports_upward():
    upward = []
    for path in source_files():
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for line, imported in imports_of(path, module):
            if (floor_of(imported) or 0) > floor_of(module):
                upward.append(f"{path.relative_to(ROOT)}:{line} imports {imported}")
    assert not upward, "\n".join(upward)


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("isotropy_metrics.measures.isoscore", "isotropy_metrics.statistics", True),
        ("isotropy_metrics.statistics.moments", "isotropy_metrics.measures.isoscore", False),
        ("isotropy_metrics.measures.isoscore", "isotropy_metrics", False),
        ("isotropy_metrics.hidden_states", "isotropy_metrics.study.report.report", False),
        ("isotropy_metrics.study.report.report", "isotropy_metrics.enhancement.whitening", True),
        ("isotropy_metrics.study.training.fine_tuning", "trainer_callbacks", True),
        ("trainer_callbacks.isotropy_callback", "isotropy_metrics.study", False),
        ("spaces_demo.app", "trainer_callbacks.isotropy_callback", True),
        ("isotropy_metrics.hub_app", "isotropy_space.figures", False),
    ],
)
def test_the_floors_are_those_of_the_design(importer, imported, allowed):
    assert (floor_of(imported) <= floor_of(importer)) == allowed


STATEMENTS = ["import isotropy_metrics", "from isotropy_metrics import measure, hidden_states"]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_a_fresh_interpreter_loads_no_heavy_library(statement):
    code = f"{statement}\nimport sys\nprint(*(set(sys.modules) & set({HEAVY.split()!r})))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


def test_measuring_arrays_and_lists_loads_no_heavy_library_either():
    code = (
        "import numpy as np, sys\n"
        "from isotropy_metrics import measure\n"
        "measure(np.random.default_rng(0).normal(size=(2000, 4)))\n"
        f"print(*(set(sys.modules) & set({HEAVY.split()!r})))"
    )
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr


def test_trainer_callbacks_are_found_without_loading_what_they_plug_into():
    code = (
        "import sys, trainer_callbacks\n"
        "print(*(set(sys.modules) & {'torch', 'transformers', 'sentence_transformers', 'datasets', 'accelerate'}))\n"
        "for name in trainer_callbacks.__all__:\n"
        "    assert getattr(trainer_callbacks, name).__name__ == name\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout.split()) == (0, []), done.stderr
