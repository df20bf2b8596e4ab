"""What may be uploaded: stated before, and enforced while a file is read."""

from __future__ import annotations

from isotropy_metrics.embedding_files import Limits

MAX_BYTES = 200_000_000
MAX_ROWS = 200_000
MAX_FEATURES = 8192
MAX_VALUES = 50_000_000
MIN_ROWS = MIN_FEATURES = 2

UPLOAD_LIMITS = Limits(
    n_bytes=MAX_BYTES,
    header_bytes=3 * 2**20,
    n_columns=MAX_FEATURES + 100,
    n_rows=MAX_ROWS,
    n_features=MAX_FEATURES,
    n_values=MAX_VALUES,
    unpacked_bytes=10 * MAX_VALUES,
    text_bytes=100_000_000,
)

MAX_TEXTS = 2000
MAX_CHARACTERS = 200_000
MAX_TOKENS = 512
"""Of one text: what is longer is cut, because the time that a model takes grows with the square."""

MAX_MODEL_BYTES = 1_000_000_000
MAX_LAYERS = 200


def limits_sentence() -> str:
    """What may be uploaded, in words.

    Example:
        >>> limits_sentence()
        'At most 200 MB, 200,000 rows, 8,192 numbers per row and 50 million numbers in all.'
    """
    return (
        f"At most {MAX_BYTES // 10**6} MB, {MAX_ROWS:,} rows, {MAX_FEATURES:,} numbers per row and "
        f"{MAX_VALUES // 10**6} million numbers in all."
    )


def texts_sentence() -> str:
    """How many texts may be pasted, in words.

    Example:
        >>> texts_sentence()
        'One text per line: at most 2,000 texts and 200,000 characters; of each, the first 512 tokens count.'
    """
    return (
        f"One text per line: at most {MAX_TEXTS:,} texts and {MAX_CHARACTERS:,} characters; of each, the first "
        f"{MAX_TOKENS} tokens count."
    )
