"""The page, the figures and the tables."""
