"""Package metadata; the base needs numpy, scipy and threadpoolctl, everything else is an extra."""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
VERSION = re.search(r'__version__ = "([^"]+)"', (ROOT / "isotropy_metrics" / "version.py").read_text())[1]

BASE_REQUIRE = ["numpy>=1.24", "scipy>=1.10", "threadpoolctl>=3.1"]
EVALUATE_REQUIRE = ["evaluate>=0.4.6", "datasets>=3.0"]
ENHANCEMENT_REQUIRE = ["scikit-learn>=1.6", "safetensors>=0.4", "huggingface_hub>=0.30"]
FILES_REQUIRE = ["pyarrow>=15.0", "tqdm>=4.60", "rich>=13.0"]
TRAINER_REQUIRE = [
    *ENHANCEMENT_REQUIRE,
    "torch>=2.4",
    "transformers>=5.0",
    "datasets>=3.0",
    "accelerate>=1.1",
    "tqdm>=4.60",
]
STUDY_REQUIRE = [
    *TRAINER_REQUIRE,
    "matplotlib>=3.8",
    "pandas>=2.0",
    "jinja2>=3.1",
    "rich>=13.0",
    "wordfreq>=3.1",
    "filelock>=3.12",
]
EXPORT_REQUIRE = [
    *ENHANCEMENT_REQUIRE,
    "torch>=2.7",
    "sentence-transformers>=6.0",
    "faiss-cpu>=1.8",
    "onnx>=1.17",
    "onnxscript>=0.5",
    "onnxruntime>=1.20",
]
ENGINES_REQUIRE = [*FILES_REQUIRE, "ray[data]>=2.60", "dask[distributed]>=2025.1"]
DEMO_REQUIRE = [*FILES_REQUIRE, *STUDY_REQUIRE, "gradio[mcp]>=6.0", "plotly>=6.0"]
BENCH_REQUIRE = [
    *EVALUATE_REQUIRE,
    *FILES_REQUIRE,
    *STUDY_REQUIRE,
    *EXPORT_REQUIRE,
    "IsoScore==2.0.1",
    "scikit-dimension==0.5.0",
    "embedding-quality==0.1.1",
    "torchmetrics>=1.4",
]
TEST_REQUIRE = [
    *BENCH_REQUIRE,
    *DEMO_REQUIRE,
    *ENGINES_REQUIRE,
    "pytest>=8.0",
    "pytest-xdist>=3.6",
    "hypothesis>=6.100",
    "playwright>=1.49",
    "psutil>=5.9",
    "peft>=0.15",
    "tensorboard>=2.18",
    "trackio>=0.20",
]
DEV_REQUIRE = [*TEST_REQUIRE, "ruff>=0.12", "pre-commit>=4.0", "build>=1.2"]
ALL_REQUIRE = sorted({*EVALUATE_REQUIRE, *FILES_REQUIRE, *STUDY_REQUIRE, *EXPORT_REQUIRE, *DEMO_REQUIRE, *DEV_REQUIRE})

setup(
    name="isotropy-metrics",
    version=VERSION,
    description="Measure, watch and repair the geometry of embedding spaces in the Hugging Face ecosystem",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.10",
    packages=find_packages(
        include=["isotropy_metrics", "isotropy_metrics.*", "trainer_callbacks", "trainer_callbacks.*"]
    ),
    package_data={
        "isotropy_metrics": ["py.typed", "study/report/templates/*.jinja"],
        "trainer_callbacks": ["py.typed"],
    },
    install_requires=BASE_REQUIRE,
    extras_require={
        "evaluate": EVALUATE_REQUIRE,
        "enhancement": ENHANCEMENT_REQUIRE,
        "engines": ENGINES_REQUIRE,
        "export": EXPORT_REQUIRE,
        "files": FILES_REQUIRE,
        "trainer": TRAINER_REQUIRE,
        "study": STUDY_REQUIRE,
        "demo": DEMO_REQUIRE,
        "bench": BENCH_REQUIRE,
        "test": TEST_REQUIRE,
        "dev": DEV_REQUIRE,
        "all": ALL_REQUIRE,
    },
    entry_points={"console_scripts": ["isotropy-metrics=isotropy_metrics.cli:main"]},
    keywords="embeddings isotropy anisotropy evaluate transformers trainer whitening nlp",
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3 :: Only",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
)
