"""An enhancement as a repository of the Hugging Face Hub, with a card that says what it is and how to load it."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

from isotropy_metrics.enhancement._steps import steps_of
from isotropy_metrics.enhancement.fingerprint import Fingerprint
from isotropy_metrics.enhancement.saved_enhancement import fingerprint_of, save
from isotropy_metrics.optional_library import optional

CARD = """\
---
library_name: isotropy-metrics
tags:
- embeddings
- post-processing
- isotropy{base_model}
---

# {name}

An enhancement of embeddings, fitted with `isotropy-metrics`: {steps}. Apply it to embeddings of the same model, layer
and pooling as it was fitted on, and to queries and documents alike.

| fitted on | |
|---|---|
{facts}

```python
from isotropy_metrics.enhancement import from_pretrained

enhancement = from_pretrained({arguments})
enhanced = enhancement.transform(embeddings)  # (n_samples, {n_features})
```

`pip install 'isotropy-metrics[enhancement]'`. The files are JSON and safetensors, and hold no code.
"""


def push(enhancement: Any, repo_id: str, *, private: bool, token: str | None, **of_model: Any) -> str:
    """See `push_to_hub`."""
    hub = optional("huggingface_hub", "huggingface_hub", "push_to_hub")
    with tempfile.TemporaryDirectory(prefix="isotropy-metrics-") as folder:
        save(enhancement, folder, **of_model)
        Path(folder, "README.md").write_text(card(enhancement, repo_id, fingerprint_of(enhancement)), encoding="utf-8")
        api = hub.HfApi(token=token)
        address = api.create_repo(repo_id, private=private, exist_ok=True)
        message = f"{_names_of(enhancement)} of isotropy-metrics"
        api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message=message)
    return str(address)


def card(enhancement: Any, repo_id: str, fingerprint: Fingerprint) -> str:
    """README.md of the repository."""
    known = fingerprint.known()
    is_on_hub = re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", fingerprint.model or "") and not Path(fingerprint.model).exists()
    checked = [*(["model", "revision"] if is_on_hub else []), "layer", "pooling"]
    arguments = [repr(repo_id), *(f"{name}={known[name]!r}" for name in checked if name in known)]
    return CARD.format(
        name=repo_id.rpartition("/")[2],
        base_model=f"\nbase_model: {fingerprint.model}" if is_on_hub else "",
        steps=_names_of(enhancement),
        facts="\n".join(f"| {name} | {value} |" for name, value in known.items()),
        arguments=", ".join(arguments),
        n_features=fingerprint.n_features,
    )


def _names_of(enhancement: Any) -> str:
    return ", then ".join(type(step).__name__ for _, step in steps_of(enhancement))
