"""The card of a measure's Space on the Hub: README.md, from the record of the measure."""

from __future__ import annotations

import json
import re

from isotropy_metrics.measures import Measure
from isotropy_metrics.measures._statistics import ID_MEANINGS
from isotropy_metrics.measures.comparisons import Comparison
from isotropy_metrics.statistics import RowSample

SDK_VERSION = "6.31.0"
"""The gradio that the page was tested with."""

UNTOLD = "What it does not tell:"
"""How the paragraph of a docstring begins that says what the measure does not see."""

FRONT_MATTER = """\
---
title: {title}
colorFrom: blue
colorTo: yellow
sdk: gradio
sdk_version: {sdk_version}
python_version: "3.11"
app_file: app.py
pinned: false
license: apache-2.0
tags:
- evaluate
- {module_type}
description: {description}
---
"""

BODY = """
# {name}

{summary}

This is a {module_type} of the Python package `isotropy-metrics`, which computes it here and elsewhere.

## How to use

```bash
pip install '{requirements}'
```

```python
import evaluate

{module_type} = evaluate.load("{namespace}/{name}", module_type="{module_type}")
{module_type}.compute({arguments})
```

{inputs}

Rows that do not fit in memory go batch by batch to `{module_type}.add_batch({arguments})`, before `compute()`. What is
kept of them: {kept}.

Without evaluate it is a function:

```python
from isotropy_metrics import {name}

{name}({positional})
```

## Formula

{formula}

## Values

{facts}

Returns: {returns}

## Options

{options}

## What it does not tell

It does not tell {untold}

## Source

<{paper_url}>

```bibtex
{citation}
```
"""


def card(record: Measure, namespace: str, requirements: list[str]) -> str:
    """README.md of the Space of a measure or comparison: its owner's name, and what to install for it."""
    sections = _sections(record.__doc__)
    inputs = _inputs(record)
    by_position = [value if name.startswith("embeddings") else f"{name}={value}" for name, value in inputs.items()]
    front_matter = FRONT_MATTER.format(
        title=record.name,
        sdk_version=SDK_VERSION,
        module_type=record.module_type,
        description=json.dumps(record.summary, ensure_ascii=False),
    )
    return front_matter + BODY.format(
        name=record.name,
        summary=record.summary,
        module_type=record.module_type,
        namespace=namespace,
        requirements="' '".join(requirements),
        arguments=", ".join(f"{name}={value}" for name, value in inputs.items()),
        positional=", ".join(by_position),
        kept="a random sample of at most 10,000" if issubclass(record.needs, RowSample) else "sums over them",
        inputs=_inputs_in_words(record),
        formula=sections["formula"],
        facts=_facts(record),
        returns=_in_one_line(sections["Returns"]),
        options=_options(record, sections["Args"]),
        untold=sections["untold"],
        paper_url=record.paper_url,
        citation=record.citation,
    )


def _sections(docstring: str) -> dict[str, str]:
    """The parts of a measure's docstring by their headings, `formula` and `untold` among them."""
    before, *parts = re.split(r"\n(Args|Returns|Raises|Example|Facts):\n", docstring)
    _, body = before.split("\n\n", 1)
    paragraphs = body.strip().split("\n\n")
    untold = [paragraph for paragraph in paragraphs if paragraph.startswith(UNTOLD)]
    if not untold:
        raise ValueError(f"the docstring has no paragraph {UNTOLD!r}")
    formula = "\n\n".join(paragraph for paragraph in paragraphs if paragraph not in untold)
    named = dict(zip(parts[::2], parts[1::2], strict=True))
    return named | {"formula": formula, "untold": untold[0].removeprefix(UNTOLD).strip()}


def _inputs(record: Measure) -> dict[str, str]:
    """What `compute` takes, and the names of variables that one might have for it."""
    if isinstance(record, Comparison):
        return {"embeddings1": "X", "embeddings2": "Y"}
    variables = {"references": "labels", "words": "words", "sentences": "sentences"}
    return {"embeddings": "X"} | {name: variables[name] for name in record.ids}


def _inputs_in_words(record: Measure) -> str:
    if isinstance(record, Comparison):
        paired = "row i of the one belonging to row i of the other" if record.paired else "which need not be paired"
        width = ", with as many features in both" if record.same_width else ""
        return f"`X` and `Y` are the rows `(n_samples, n_features)` of the two spaces, {paired}{width}."
    ids = "".join(f"; `{_inputs(record)[name]}`, {ID_MEANINGS[name]}, as text or whole numbers" for name in record.ids)
    return f"`X` are rows `(n_samples, n_features)`, numpy or torch{ids}."


def _facts(record: Measure) -> str:
    on_request = "On request: a bootstrap interval, `interval=0.95`, and the value by chance, `null=True`."
    return "\n".join(f"- {fact}" for fact in (*record.facts[:-1], on_request))


def _options(record: Measure, args: str) -> str:
    if not record.options:
        return "None."
    entries = re.findall(r"^    (\w+(?:, \w+)*): (.+(?:\n {8,}.+)*)", args, flags=re.MULTILINE)
    described = {name: text for names, text in entries for name in names.split(", ")}
    return "\n".join(
        f"- `{name}={default!r}`: {_in_one_line(described[name])}" for name, default in record.options.items()
    )


def _in_one_line(text: str) -> str:
    return " ".join(text.split())
