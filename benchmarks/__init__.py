"""Tasks of this package beside a floor and their peers, in one process: `python -m benchmarks`, or `make bench`."""
