"""`isotropy-metrics merge`: measures of all rows that `measure --state` has seen in parts, on one machine or many."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

from isotropy_metrics.cli.measure_options import options_of_measures
from isotropy_metrics.cli.value_table import print_result
from isotropy_metrics.cli.warning_sentences import warnings_as_sentences
from isotropy_metrics.cli.words import words
from isotropy_metrics.embedding_files.measured_file import check_asked, values_of
from isotropy_metrics.embedding_files.output_path import check_output
from isotropy_metrics.measures import find_measures, measure, merge_statistics
from isotropy_metrics.statistics_file import load_facts, load_statistics, save_statistics

ALIKE = ("columns", "measures", "interval", "sample_size", "seed")
"""What was asked must be the same for all parts."""


def add_to(commands: Any) -> None:
    """Declare the command."""
    merge = commands.add_parser(
        "merge",
        help="join what `measure --state` kept of parts, and measure the whole",
        description="Measure all rows that `isotropy-metrics measure FILES --state STATE` has seen, each part on a "
        "machine of its own if need be. The rows themselves are not needed any more.",
    )
    merge.set_defaults(command=_merge)
    add = merge.add_argument
    add("states", metavar="STATE", nargs="+", help="files that `measure --state` wrote")
    add("--output", metavar="OUT", help="keep the joint statistics in this .safetensors file, for another merge")
    add("--overwrite", action="store_true", help="replace OUT")
    add("--measures", metavar="A,B", help="some of those that were asked for; default: all of them")
    add("--option", action="append", default=[], metavar="NAME.KEY=VALUE", help="as in isoscore.unbiased=true")
    add("--interval", type=float, metavar="LEVEL", help="add bootstrap intervals, if the parts had --interval too")
    add("--null", action="store_true", help="add what as many isotropic rows give")
    add("--json", action="store_true", help="print the values as JSON and nothing else")


def _merge(options: argparse.Namespace) -> None:
    if options.output is not None:
        check_output(Path(options.output), options.overwrite)
    twice = next((path for path, count in Counter(options.states).items() if count > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} is named twice: its rows would count twice")
    facts_of = {path: load_facts(path) for path in options.states}
    asked = _checked(facts_of)
    there = asked["measures"]
    chosen = find_measures(there if options.measures is None else words(options.measures))
    unknown = [each.name for each in chosen if each.name not in there]
    if unknown:
        raise ValueError(
            f"{unknown[0]} is not among the measures that the parts were measured for: {', '.join(there)}"
        )
    if options.interval is not None and not asked["interval"]:
        raise ValueError("--interval needs parts that were measured with --interval too")
    own_options = options_of_measures(options.option, chosen)
    check_asked(chosen, own_options, options.interval, weighted=False)
    statistics = merge_statistics(load_statistics(path)[0] for path in options.states)  # one after the other
    if options.output is not None:
        files = [file for facts in facts_of.values() for file in facts["asked"]["files"]]
        streams = [stream for facts in facts_of.values() for stream in _streams(facts)]
        done = {"n_files": len(files), "n_batches": 0, "n_rows_of_file": 0, "n_rows": statistics[0].n_rows}
        save_statistics(options.output, statistics, asked=asked | {"files": files, "stream": streams}, done=done)
    settings = {"interval": options.interval, "null": options.null, "seed": asked["seed"]}
    with warnings_as_sentences():
        values = values_of(measure, statistics, chosen, own_options, settings, options.measures is not None, False)
    print_result(values, [(" + ".join(options.states), "statistics")], as_json=options.json)


def _checked(facts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """What was asked of all parts; ValueError if they are no parts of one whole."""
    first, seen = None, Counter()
    for path, own in facts.items():
        if not {"asked", "done"} <= own.keys() or "measures" not in own["asked"]:
            raise ValueError(f"{path} holds statistics, but not those of files: `measure --state` writes such")
        asked = own["asked"]
        if own["done"]["n_files"] < len(asked["files"]) or "process" in asked:
            raise ValueError(f"{path} is not complete: run the command again that wrote it, it goes on")
        first = first or asked
        other = next((name for name in ALIKE if asked[name] != first[name]), None)
        if other is not None:
            raise ValueError(f"{path} and {next(iter(facts))} differ in {other}: {asked[other]} and {first[other]}")
        seen.update(tuple(file.values()) for file in asked["files"])
    twice = next((path for (path, *_), count in seen.items() if count > 1), None)
    if twice is not None:
        raise ValueError(f"{twice} is in more than one part: its rows would count twice")
    streams = Counter(stream for own in facts.values() for stream in _streams(own))
    shared = next((stream for stream, count in streams.items() if count > 1), None)
    if shared is not None:
        raise ValueError(f"two parts have the stream {shared}: measure each with a --stream of its own")
    return first


def _streams(facts: dict[str, Any]) -> list[int]:
    stream = facts["asked"]["stream"]
    return stream if isinstance(stream, list) else [stream]
