"""`isotropy-metrics push`: a measure as a Space on the Hub."""

from __future__ import annotations

import argparse
from typing import Any


def add_to(commands: Any) -> None:
    """Declare the command."""
    push = commands.add_parser("push", help="publish a measure as a Space on the Hugging Face Hub")
    push.set_defaults(command=_push)
    push.add_argument("name", help="of a measure or comparison")
    push.add_argument("--namespace", help="user or organisation on the Hub")
    push.add_argument("--private", action="store_true", help="only its owners see the Space")
    push.add_argument("--requirement", help="what the Space installs, where that is not the package from PyPI")
    push.add_argument("--dry-run", metavar="DIR", help="write the Space's files into this folder, and send nothing")


def _push(options: argparse.Namespace) -> None:
    from isotropy_metrics.hub_space import push_space, write_space

    given = {} if options.requirement is None else {"requirement": options.requirement}
    if options.dry_run is not None:
        given |= {} if options.namespace is None else {"namespace": options.namespace}
        print(write_space(options.name, options.dry_run, **given))
    elif options.namespace is None:
        raise ValueError("name the owner of the Space with --namespace, or a folder with --dry-run")
    else:
        print(push_space(options.name, options.namespace, private=options.private, **given))
