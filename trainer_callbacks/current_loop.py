"""Which loop over a dataloader is running: what tells an interrupted evaluation or training from the present one."""

from __future__ import annotations

import sys
import weakref


def current_loop() -> tuple[weakref.ref, int] | None:
    """Tells apart the loops over dataloaders that Accelerate prepared; None outside of them.

    A dataloader is in `dataloader_references` from the beginning of an iteration until it ends. One that was
    interrupted stays there, and if it is iterated over again, it is there once more.
    """
    accelerate_state = sys.modules.get("accelerate.state")  # not imported: then no such loop is running
    if accelerate_state is None:
        return None
    references = accelerate_state.GradientState().dataloader_references
    current = references[-1]
    return None if current is None else (weakref.ref(current), sum(each is current for each in references))
