"""The study's tables as files: CSV with every digit, Markdown and LaTeX as people read them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from isotropy_metrics.study.report.tables import Column, Row, columns_of, format_cell

LONG = 40
"""Rows; a longer table in LaTeX breaks across pages."""

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        **{letter: f"\\{letter}" for letter in "&%$#_{}"},
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': r"\textquotedbl{}",
        "[": "{[}",
        "]": "{]}",
        "–": "--",
        "−": "$-$",
        "×": r"$\times$",
        "→": r"$\to$",
        "²": "$^2$",
        "√": r"$\surd$",
        "∞": r"$\infty$",
        "α": r"$\alpha$",
        "τ": r"$\tau$",
        "λ": r"$\lambda$",
        "\n": " ",
    }
)
"""Letters that LaTeX takes for commands, and those that pdflatex does not know. A row may not begin with [."""

_MARKDOWN = str.maketrans({letter: f"\\{letter}" for letter in "\\`*_[]|~"} | {"<": "&lt;", "&": "&amp;", "\n": " "})


def write_table(rows: Sequence[Row], path: Path, protocol: Mapping[str, Any]) -> None:
    """Write `<path>.csv`, `<path>.md` and `<path>.tex`."""
    columns = columns_of(rows, protocol)
    texts = {"csv": csv_text(rows), "md": markdown_text(rows, columns), "tex": latex_text(rows, columns)}
    for ending, text in texts.items():
        path.with_name(f"{path.name}.{ending}").write_text(text, encoding="utf-8", newline="")


def csv_text(rows: Sequence[Row]) -> str:
    """Every column with every digit; a missing value is empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def markdown_text(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """Values rounded, limits beside them."""
    lines = [[column.name for column in columns], *_cells(rows, columns)]
    lines = [" | ".join(cell.translate(_MARKDOWN) for cell in line) for line in lines]
    lines.insert(1, " | ".join(":---" if column.is_text else "---:" for column in columns))
    return "".join(f"| {line} |\n" for line in lines)


def latex_text(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """The same for the package booktabs; a long table for longtable too."""
    head, *body = [
        " & ".join(cell.translate(_LATEX) for cell in line) + r" \\"
        for line in [[column.name for column in columns], *_cells(rows, columns)]
    ]
    kind = "longtable" if len(rows) > LONG else "tabular"
    lines = [
        rf"\begin{{{kind}}}{{{''.join('l' if column.is_text else 'r' for column in columns)}}}",
        r"\toprule",
        head,
        r"\midrule",
        *([r"\endhead"] if kind == "longtable" else []),
        *body,
        r"\bottomrule",
        rf"\end{{{kind}}}",
    ]
    return "".join(f"{line}\n" for line in lines)


def _cells(rows: Sequence[Row], columns: Sequence[Column]) -> list[list[str]]:
    return [[format_cell(row, column) for column in columns] for row in rows]
