"""`isotropy-metrics enhance methods`: the names of all enhancements, what they do, and their options."""

from __future__ import annotations

import argparse
import inspect
import shutil
import textwrap
from typing import Any


def add_to(commands: Any) -> None:
    """Declare the command."""
    methods = commands.add_parser("methods", help="list the methods by name, with their options")
    methods.set_defaults(command=_methods)


def _methods(options: argparse.Namespace) -> None:
    from isotropy_metrics.cli.enhancement_steps import defaults_of, methods

    classes = methods()
    indent = max(map(len, classes)) + 4
    width = max(shutil.get_terminal_size().columns, indent + 40)
    for name, kind in classes.items():
        own = [f"{key}={default!r}" for key, default in defaults_of(kind).items()]
        text = summary_of(kind) + (f" Options: {', '.join(own)}." if own else "")
        lines = textwrap.wrap(text, width, initial_indent=" " * indent, subsequent_indent=" " * indent)
        print("  " + name.ljust(indent - 2) + "\n".join(lines).strip())


def summary_of(kind: type) -> str:
    """The first sentence of its docstring."""
    return inspect.getdoc(kind).split("\n\n")[0].replace("\n", " ")
