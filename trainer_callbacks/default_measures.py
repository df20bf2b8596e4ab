"""DEFAULT_MEASURES: what is measured while a model trains, unless one asks for more."""

DEFAULT_MEASURES = ("isoscore", "average_cosine_similarity", "effective_rank")
"""How evenly variance is spread, how alike directions are, how many directions there are: all of second moments."""
