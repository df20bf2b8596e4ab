"""Speed and memory beside a floor, in one process; see each file's docstring."""
