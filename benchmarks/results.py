"""What the contests came to: results.json, and RESULTS.md, which is written from it alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

from benchmarks.contest import MOST_SECONDS, Size, growth
from isotropy_metrics.whole_file import whole_file

JSON, MARKDOWN = "results.json", "RESULTS.md"

INTRODUCTION = """\
# Benchmarks

Every task beside a floor, what nobody can do without, and beside its peers: in one process, on the same float32 rows,
in a new random order every round, with a pause before each call in which the threads of the one before fall asleep.
Time is the median over rounds; × is the median over rounds of (time / time of the floor in the same round), with the
smallest and the largest; "processor ×" is the same of processor time, of all threads. Memory is what a call adds to
the peak of a fresh process that holds its inputs. Figures of one machine: `{command}` writes this file and
`results.json`, which has every round.
"""


def write(folder: Path, document: dict[str, Any]) -> dict[str, Any]:
    """Write both files; tasks that were not run again stay, if they are of the same machine, versions and sizes.

    Returns:
        What was written.
    """
    path = folder / JSON
    earlier = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    if all(earlier.get(key) == document[key] for key in ("machine", "versions", "quick")):
        document = document | {"tasks": earlier["tasks"] | document["tasks"]}
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in ((JSON, json.dumps(document, indent=1)), (MARKDOWN, markdown(document))):
        with whole_file(folder / name) as beside:
            beside.write_text(text + "\n", encoding="utf-8")
    return document


def markdown(document: dict[str, Any]) -> str:
    """RESULTS.md of results.json."""
    command = "python -m benchmarks --quick" if document["quick"] else "make bench"
    machine = document["machine"]
    parts = [
        INTRODUCTION.format(command=command).strip(),
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB, {machine['system']}; "
        f"threads of {machine['threads']}; GPU: {machine['gpu']}.",
        ", ".join(f"{name} {version}" for name, version in document["versions"].items()) + ".",
        "## What is promised",
        *_targets(document["tasks"]),
    ]
    for record in document["tasks"].values():
        parts += [f"## {record['title']}", f"Of {record['day']}.", *_task(record)]
    return "\n\n".join(parts)


def _targets(tasks: dict[str, Any]) -> Iterator[str]:
    targets = [target for record in tasks.values() for target in record["targets"]]
    measured = [each for each in targets if each["held"] is not None]
    lines = [
        [each["sentence"], f"{each['figure']:.2f}", "held" if each["held"] else "**not held**"] for each in measured
    ]
    if lines:
        yield _table(["", "measured", ""], lines)
    if len(measured) < len(targets):
        yield "Not measured in this run: " + "; ".join(t["sentence"] for t in targets if t["held"] is None) + "."


def _task(record: dict[str, Any]) -> Iterator[str]:
    if record["skipped"]:
        yield f"skipped: {record['skipped']}. The floor would be: {record['floor']}."
        return
    by_size = {Size(each["rows"], each["features"], each["kind"]): each for each in record["sizes"]}
    main = Size(**record["main"])
    for size, each in by_size.items():
        is_on_an_axis = size.kind == main.kind and (size.rows == main.rows) != (size.features == main.features)
        if not is_on_an_axis:
            yield f"{size}:"
            yield _contestants(each["contestants"], with_memory=size == main)
    for axis, other, letter in (("rows", "features", "n"), ("features", "rows", "d")):
        sizes = {s for s in by_size if (s.kind, getattr(s, other)) == (main.kind, getattr(main, other))}
        along = {getattr(s, axis): by_size[s] for s in sorted(sizes)}
        if len(along) > 1:
            yield f"How it grows with the {axis}, at {getattr(main, other):,} {other}:"
            yield _growth(along, letter)
    lines = [_agreement(each) for each in record["agreements"]]
    if lines:
        yield f"The same value? At {next(iter(by_size))}:"
        yield _table(["", "ours", "peer", ""], lines)
    yield from _left_out(by_size, record["absent"])


def _contestants(contestants: list[dict[str, Any]], with_memory: bool) -> str:
    lines = []
    for each in contestants:
        ratio = f"{each['ratio']:.2f} ({each['ratio_min']:.2f} to {each['ratio_max']:.2f})"
        line = [f"{each['role']}: {each['name']}", _time(each["seconds"]), ratio, f"{each['processor_ratio']:.2f}"]
        line.append(str(len(each["wall"])))
        memory = "" if each["extra_megabytes"] is None else f"{each['extra_megabytes']:,.0f} MB"
        lines.append([*line, memory] if with_memory else line)
    return _table(["", "time", "×", "processor ×", "rounds", *(["extra memory"] if with_memory else [])], lines)


def _growth(along: dict[int, dict[str, Any]], letter: str) -> str:
    names = {each["name"]: each["role"] for record in along.values() for each in record["contestants"]}
    lines = []
    for name, role in names.items():
        found = {n: c for n, record in along.items() for c in record["contestants"] if c["name"] == name}
        cells = [f"{_time(found[n]['seconds'])} ({found[n]['ratio']:.2f}×)" if n in found else "" for n in along]
        exponent = growth([(n, each["seconds"]) for n, each in found.items()])
        lines.append([f"{role}: {name}", *cells, f"{letter}^{exponent:.1f}" if len(found) > 1 else ""])
    return _table(["", *(f"{letter} = {n:,}" for n in along), "last step grows as"], lines)


def _agreement(each: dict[str, Any]) -> list[str]:
    difference = abs(each["ours"] - each["peer"]) / max(abs(each["peer"]), 1e-300)
    verdict = each["reason"] or f"to {each['tolerance']:.0e}"
    return [each["what"], f"{each['ours']:.6g}", f"{each['peer']:.6g}", f"{difference:.1e}: {verdict}"]


def _left_out(by_size: dict[Size, dict[str, Any]], absent: dict[str, str]) -> Iterator[str]:
    left_out = [(name, size, why) for size, each in by_size.items() for name, why in each["left_out"].items()]
    lines = [f"* {name}: {reason}" for name, reason in absent.items()]
    for name, of_name in groupby(sorted(left_out), key=lambda entry: entry[0]):
        lines.append(f"* {name}: " + "; ".join(f"{size}: {reason}" for _, size, reason in of_name))
    if lines:
        yield f"Left out (more than {MOST_SECONDS:.0f} s a call, too much memory, or not to be had):"
        yield "\n".join(lines)


def _time(seconds: float) -> str:
    if seconds < 0.1:
        return f"{seconds * 1e3:.3g} ms"
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"


def _table(head: list[str], lines: list[list[str]]) -> str:
    ruler = ["---", *["---:" for _ in head[1:]]]
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, ruler, *lines))
