"""Download: the fitted enhancement, the transformed embeddings, and the Python that repeats both at home."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from isotropy_metrics.enhancement import save_pretrained
from isotropy_metrics.noted_warnings import noted_warnings
from isotropy_metrics.whole_file import whole_folder
from isotropy_space.embeddings import Embeddings
from isotropy_space.enhancement_choice import choice_of

ZIP_FILE, ROWS_FILE, SCRIPT_FILE = "enhancement.zip", "enhanced.npy", "repeat.py"
SOURCE_FILE = "embeddings.npy"
"""Where the rows go that came from no file of the visitor's."""

SCRIPT = '''\
"""{title}: written by the Space of isotropy-metrics. It needs isotropy-metrics[enhancement,files]."""

import numpy as np

from isotropy_metrics.embedding_files import read_batches
from isotropy_metrics.enhancement import {kind}

rows = np.concatenate([batch.rows for batch in read_batches({file}{columns})])
enhancement = {enhancement}.fit(rows)
enhancement.save_pretrained({folder!r})
np.save({output!r}, enhancement.transform(rows))
'''


def write_downloads(
    embeddings: Embeddings,
    choice: str,
    strength: float,
    folder: str | Path,
    *,
    file: str | None = None,
    column: str | None = None,
    names: str | None = None,
    labels: str | None = None,
) -> list[Path]:
    """Fit the enhancement on all rows, and write it with what it makes of them: all files or none.

    Args:
        embeddings: the rows.
        choice: name of one of the `CHOICES`.
        strength: on its slider.
        folder: to be made; it may be there if it is empty.
        file: the file that the rows came from, for the script; None for none: then the rows are written too.
        column, names, labels: of that file, as `read_embeddings` was given them.

    Returns:
        `enhancement.zip`, what `save_pretrained` writes; `enhanced.npy`, the transformed rows; `repeat.py`; and
        `embeddings.npy` if the rows came from no file.

    Raises:
        ValueError: rows or a strength that the enhancement cannot be fitted with.
        FileExistsError: the folder holds something.
    """
    folder = Path(folder)
    if folder.is_file() or (folder.is_dir() and any(folder.iterdir())):
        raise FileExistsError(f"{folder.name} is taken: choose an empty folder for the downloads")
    code = repeating_code(choice, strength, file=file, column=column, names=names, labels=labels)
    with noted_warnings():  # `repair` shows them
        enhancement = choice_of(choice).make(strength).fit(embeddings.rows)
        enhanced = enhancement.transform(embeddings.rows)
    with whole_folder(folder) as unfinished:
        _write_zip(enhancement, unfinished)
        np.save(unfinished / ROWS_FILE, enhanced)
        (unfinished / SCRIPT_FILE).write_text(code, encoding="utf-8")
        if file is None:
            np.save(unfinished / SOURCE_FILE, embeddings.rows)
    names = [ZIP_FILE, ROWS_FILE, SCRIPT_FILE] + ([SOURCE_FILE] if file is None else [])
    return [folder / name for name in names]


def repeating_code(
    choice: str,
    strength: float,
    *,
    file: str | None = None,
    column: str | None = None,
    names: str | None = None,
    labels: str | None = None,
) -> str:
    """A complete script that repeats the downloads, beside the file that the rows came from.

    Args:
        choice, strength, column, names, labels: see `write_downloads`, as for
        file: of which only the last part of the path is kept.

    Raises:
        ValueError: there is no such choice or strength.
    """
    chosen = choice_of(choice)
    return SCRIPT.format(
        title=chosen.name,
        kind=chosen.kind.__name__,
        file=ascii(SOURCE_FILE if file is None else Path(file).name),
        columns=_columns(column, names, labels),
        enhancement=chosen.python(strength),
        folder=Path(ZIP_FILE).stem,
        output=ROWS_FILE,
    )


def _columns(column: str | None, names: str | None, labels: str | None) -> str:
    """As arguments; named columns are said too, or they would be read as features."""
    named = {"column": column, "words": names, "references": labels}
    written = "".join(f", {argument}={name!a}" for argument, name in named.items() if name)
    return f"{written}, may_be_missing=True" if names or labels else written


def _write_zip(enhancement: object, folder: Path) -> None:
    """The two files of `save_pretrained`, at the top of the archive: `from_pretrained` reads what it unpacks to."""
    saved = save_pretrained(enhancement, folder / "saved")
    with zipfile.ZipFile(folder / ZIP_FILE, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(saved.iterdir()):
            archive.write(path, path.name)
            path.unlink()
    saved.rmdir()
