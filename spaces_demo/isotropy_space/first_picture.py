"""First picture: the example before and after fine-tuning, drawn before any script runs that draws the others."""

from __future__ import annotations

import html
import io
from functools import lru_cache

import numpy as np

from isotropy_metrics.views import neighborhood_changes, principal_projection
from isotropy_space import sentences as say
from isotropy_space.example import TITLES, example
from isotropy_space.palette import INK, RAMP

INCHES, DOTS_PER_INCH = (6.4, 2.7), 110

LOOK = {
    "svg.fonttype": "none",  # letters stay letters, in the font of the page
    "svg.hashsalt": "first picture",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "ytick.color": INK,
}


@lru_cache
def first_picture() -> str:
    """HTML of a picture with the words along their two strongest directions, and a sentence that says what changed.

    Plotly's script takes a browser a second or two to run; this is there with the page's text. `INK` becomes the
    colour of that text, on a light and on a dark ground.
    """
    from matplotlib import rc_context
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

    with rc_context(LOOK), io.StringIO() as svg:
        figure = Figure(INCHES, layout="constrained")
        for axes, which in zip(figure.subplots(1, len(TITLES)), TITLES, strict=True):
            shown = example(which)
            order = np.argsort(shown.labels)  # the few frequent words on top
            axes.set(title=say.FIRST_PICTURE_TITLES[which], xticks=[], yticks=[], aspect="equal", adjustable="datalim")
            points = axes.scatter(
                *principal_projection(shown.rows).coordinates[order].T,
                c=shown.labels[order],
                cmap=LinearSegmentedColormap.from_list("ramp", RAMP),
                s=4,
                linewidths=0,
                rasterized=True,
            )
        figure.colorbar(points, ax=figure.axes, label=shown.labels_title, aspect=30).outline.set_visible(False)
        figure.savefig(
            svg, format="svg", transparent=True, dpi=DOTS_PER_INCH, metadata={"Date": None, "Creator": None}
        )
        drawing = svg.getvalue()
    drawing = drawing[drawing.index("<svg") :].replace(INK.lower(), "currentColor")
    kept = neighborhood_changes(*(example(which).rows for which in TITLES)).overlap.mean()
    caption = html.escape(say.first_picture(len(shown.rows), kept))
    drawing = drawing.replace("<svg ", f'<svg role="img" aria-label="{caption}" style="width: 100%; height: auto" ', 1)
    return f'<figure class="first-picture">{drawing}<figcaption>{caption}</figcaption></figure>'
