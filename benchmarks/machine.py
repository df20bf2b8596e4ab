"""What a benchmark ran on: figures of another machine, or of other versions, are other figures."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

LIBRARIES = (
    "numpy",
    "scipy",
    "torch",
    "transformers",
    "evaluate",
    "datasets",
    "scikit-learn",
    "scikit-dimension",
    "IsoScore",
    "embedding-quality",
    "torchmetrics",
    "sentence-transformers",
)


def machine() -> dict[str, str | int]:
    """Processor, cores, memory, threads and GPU."""
    import torch
    from threadpoolctl import threadpool_info

    blas = {
        f"{pool['internal_api']} {pool['version'] or ''}".strip(): pool["num_threads"] for pool in threadpool_info()
    }
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.machine()}",
        "threads": ", ".join(f"{name}: {n}" for name, n in sorted(blas.items()))
        + f", torch: {torch.get_num_threads()}",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }


def versions() -> dict[str, str]:
    """Of Python, this package and the libraries beside it."""
    from isotropy_metrics.version import __version__

    found = {"Python": platform.python_version(), "isotropy-metrics": __version__}
    for name in LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
