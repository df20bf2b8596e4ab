"""The case study: how does fine-tuning affect the geometry of embedding space?"""

from isotropy_metrics.study.study import run_study
from isotropy_metrics.study.study_results import StudyResults

__all__ = ["StudyResults", "run_study"]
