"""Measure embeddings in parquet files on a Ray cluster, RAY_ADDRESS or this machine: statistics of batches, merged.

python examples/measure_with_ray.py s3://bucket/folder --column embedding --measures isoscore,uniformity
"""

import argparse
import pickle

import pyarrow as pa
import ray.data

from isotropy_metrics import find_measures, measure, merge_statistics, statistics_for, update_statistics
from isotropy_metrics.embedding_files.arrow_columns import vectors


def part(batch: pa.Table, column: str, measures: list[str]) -> pa.Table:
    """Statistics of some rows. A task returns them and keeps nothing: Ray repeats a lost task, and every row counts
    once. An actor that adds up batches would lose them when it is lost, or add one twice that it had not answered."""
    statistics = statistics_for(find_measures(measures))
    # As a sentence of its own a row is sampled, or not, by its path and number, whatever the batch and the attempt.
    own = batch["row_hash"].to_numpy() >> 12  # 52 bits
    update_statistics(statistics, vectors(batch[column].combine_chunks(), column, 0, None), sentences=own)
    return pa.table({"statistics": pa.array([pickle.dumps(statistics)], pa.large_binary())})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", help="files, or folders of them")
    parser.add_argument("--column", required=True, help="lists of numbers")
    parser.add_argument("--measures", default="isoscore,uniformity", help="names, comma-separated")
    options = parser.parse_args()
    measures = [each.name for each in find_measures(options.measures.split(","))]
    rows = ray.data.read_parquet(options.paths, include_row_hash=True).select_columns([options.column, "row_hash"])
    asked = {"batch_format": "pyarrow", "fn_kwargs": {"column": options.column, "measures": measures}}
    parts = rows.map_batches(part, batch_size=None, **asked)  # of any size: by the task that reads, rows do not travel
    print(measure(merge_statistics(pickle.loads(row["statistics"]) for row in parts.iter_rows()), measures))


if __name__ == "__main__":
    main()
