"""`isotropy-metrics register` and `unregister`."""

from __future__ import annotations

import argparse
from typing import Any

import isotropy_metrics


def add_to(commands: Any) -> None:
    """Declare both commands."""
    register = commands.add_parser("register", help="let evaluate.load find every measure by name, from now on")
    register.set_defaults(command=_register)
    unregister = commands.add_parser("unregister", help="undo register")
    unregister.set_defaults(command=_unregister)


def _register(options: argparse.Namespace) -> None:
    isotropy_metrics.register(lasting=True)
    from isotropy_metrics.evaluate_modules import RECORDS, registered_folders

    folder = registered_folders()[0].parent
    print(f"registered in {folder}: evaluate.load now finds {', '.join(RECORDS)}")


def _unregister(options: argparse.Namespace) -> None:
    isotropy_metrics.unregister(lasting=True)
    print("unregistered")
