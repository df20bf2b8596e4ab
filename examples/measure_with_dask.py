"""Measure embeddings in parquet files on Dask, DASK_SCHEDULER_ADDRESS or this machine: a part per row group, merged.

python examples/measure_with_dask.py s3://bucket/folder --column embedding --measures isoscore,uniformity
"""

import argparse
import zlib

import pyarrow.dataset as arrow
from dask import bag, distributed

from isotropy_metrics import find_measures, measure, merge_statistics, statistics_for, update_statistics
from isotropy_metrics.embedding_files.arrow_columns import vectors


def part(group: arrow.ParquetFileFragment, column: str, measures: list[str]) -> list:
    """Statistics of one row group."""
    stream = zlib.crc32(f"{group.path} {group.row_groups[0].id}".encode())  # a repeated task draws the same sample
    statistics = statistics_for(find_measures(measures), stream=stream)
    for batch in group.to_batches(columns=[column], batch_size=8192, batch_readahead=2):
        update_statistics(statistics, vectors(batch[column], column, 0, None))
    return statistics


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", help="files, or folders of them")
    parser.add_argument("--column", required=True, help="lists of numbers")
    parser.add_argument("--measures", default="isoscore,uniformity", help="names, comma-separated")
    options = parser.parse_args()
    measures = [each.name for each in find_measures(options.measures.split(","))]
    files = [file for path in options.paths for file in arrow.dataset(path).get_fragments()]
    groups = bag.from_sequence(group for file in files for group in file.split_by_row_group() if group.count_rows())
    parts = groups.map(part, column=options.column, measures=measures)
    with distributed.Client():
        print(measure(parts.reduction(merge_statistics, merge_statistics, split_every=4).compute(), measures))


if __name__ == "__main__":
    main()
