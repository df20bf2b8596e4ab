"""`isotropy-metrics enhance`: fit an enhancement on a file, apply it to others, export it to other software."""

from __future__ import annotations

from typing import Any

from isotropy_metrics.cli import enhance_apply, enhance_export, enhance_fit, enhance_methods

COMMANDS = (enhance_fit, enhance_apply, enhance_export, enhance_methods)


def add_to(commands: Any) -> None:
    """Declare the command and its subcommands."""
    enhance = commands.add_parser(
        "enhance",
        help="fit an enhancement such as whitening on a file, apply it to others, export it",
        description="Fit an enhancement on embeddings, once; apply it to any file of the same model; export it.",
    )
    subcommands = enhance.add_subparsers(required=True, metavar="COMMAND")
    for each in COMMANDS:
        each.add_to(subcommands)
