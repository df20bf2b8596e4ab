"""The case study: how does fine-tuning affect the geometry of embedding space?"""

from isotropy_metrics.study.study import StudyResults, run_study

__all__ = ["StudyResults", "run_study"]
