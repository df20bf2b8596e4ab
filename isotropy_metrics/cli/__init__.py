"""The command `isotropy-metrics`: arguments in, one sentence per error out; every job is done elsewhere."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import isotropy_metrics
from isotropy_metrics.cli import enhance, measure, measures, merge, plot, push, registration, study
from isotropy_metrics.cli.launched import INTERRUPTED, are_several, as_one

COMMANDS = (measure, merge, measures, enhance, study, plot, registration, push)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. Launched processes share the work of commands that are made for it."""
    options = _parser().parse_args(arguments)
    if "shares_work" in options and are_several():
        return as_one(lambda: _exit_code(options))
    return _exit_code(options)


def _exit_code(options: argparse.Namespace) -> int:
    try:
        options.command(options)
    except KeyboardInterrupt as interrupt:
        print(f"\ninterrupted: {str(interrupt) or 'nothing was written'}", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, OSError, ImportError) as error:
        print(f"isotropy-metrics: {error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="isotropy-metrics", description=isotropy_metrics.__doc__.split("\n")[0])
    parser.add_argument("--version", action="version", version=isotropy_metrics.__version__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for each in COMMANDS:
        each.add_to(commands)
    return parser
