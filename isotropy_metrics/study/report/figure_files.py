"""The study's figures as files for papers, and as drawings inside the page that take its colours."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from isotropy_metrics.study.report.figures import COLORS, GROUND, INK, WIDTH, make_legible, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAGE_COLORS = {
    INK.lower(): "currentColor",
    "#000000": "currentColor",
    GROUND.lower(): "var(--ground)",
    **{color.lower(): f"var(--{checkpoint})" for checkpoint, color in COLORS.items()},
}
"""What the drawing's colours become on the page."""

WIDE = 1.25
"""Times the width of a panel."""

POINTER = re.compile(r"(?<![\w&])#([A-Za-z_][\w.-]*)")
"""To an id, as in `url(#name)` or `#name`; a colour has the same form, but no id is one."""

BACKGROUND = "patch_1"
"""What matplotlib calls the ground of a figure."""

LINK = "{http://www.w3.org/1999/xlink}href"


def write_figure(figure: Figure, path: Path) -> None:
    """Write `<path>.png` and `<path>.svg`, dark on white."""
    with style():
        make_legible(figure)
        figure.savefig(path.with_name(f"{path.name}.png"), facecolor="white")
        figure.set_layout_engine("none")  # the layout found stays, and is not searched again
        figure.savefig(path.with_name(f"{path.name}.svg"), facecolor="white", metadata={"Date": None})


def inline_svg(drawing: Path, prefix: str, label: str) -> str:
    """A drawing for the page: text is text, the ground is the page's, and ids begin with the prefix.

    Args:
        drawing: an SVG file of `write_figure`.
        prefix: other than that of every other drawing of the page.
        label: what it shows, for those who do not see it.
    """
    root = ElementTree.fromstring(drawing.read_bytes())
    _drop_unused(root)
    _prefix_ids(root, prefix)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        if "style" in element.attrib:
            element.set("style", _page_style(element.get("style", "")))
        if LINK in element.attrib:
            element.set("href", element.attrib.pop(LINK))
    root.attrib = {"viewBox": root.get("viewBox", ""), "role": "img", "aria-label": label}
    return ElementTree.tostring(root, encoding="unicode")


def is_wide(figure: Figure) -> bool:
    """Whether it takes the place of two panels, and keeps its size on a phone in a box that scrolls."""
    return figure.get_figwidth() > WIDE * WIDTH


def _drop_unused(root: ElementTree.Element) -> None:
    """Metadata, the white ground, and style sheets, which would hold for the whole page; it has the same rule."""
    for parent in list(root.iter()):
        for child in list(parent):
            if child.get("id") == BACKGROUND or child.tag.rpartition("}")[2] in ("metadata", "style"):
                parent.remove(child)


def _prefix_ids(root: ElementTree.Element, prefix: str) -> None:
    """New names for the ids that something in the drawing points to; the others go."""
    values = [value for element in root.iter() for value in element.attrib.values() if "#" in value]
    pointed_at = {name for value in values for name in POINTER.findall(value)}
    names: dict[str, str] = {}
    for element in root.iter():
        name = element.attrib.pop("id", None)
        if name in pointed_at:
            names[name] = f"{prefix}-{len(names)}"
            element.set("id", names[name])
    for element in root.iter():
        for key, value in element.attrib.items():
            if "#" in value:
                element.set(key, POINTER.sub(lambda found: f"#{names.get(found[1], found[1])}", value))


def _page_style(text: str) -> str:
    """A style in the colours and the font of the page."""
    for color, on_page in PAGE_COLORS.items():
        text = text.replace(color, on_page)
    return text
