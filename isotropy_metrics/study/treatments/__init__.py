"""The treatments of the paper on both checkpoints, and what is read off the treated spaces."""
