"""Where rows come from that lie in files: checked when they are opened, read in batches, never loaded whole."""

from isotropy_metrics.embedding_files.column_listing import ColumnListing, list_columns
from isotropy_metrics.embedding_files.compared_files import compare_files
from isotropy_metrics.embedding_files.embedding_file import Batch, EmbeddingFile
from isotropy_metrics.embedding_files.limits import Limits
from isotropy_metrics.embedding_files.measured_file import measure_file, measure_files
from isotropy_metrics.embedding_files.opening import open_embeddings, read_batches

__all__ = [
    "Batch",
    "ColumnListing",
    "EmbeddingFile",
    "Limits",
    "compare_files",
    "list_columns",
    "measure_file",
    "measure_files",
    "open_embeddings",
    "read_batches",
]
