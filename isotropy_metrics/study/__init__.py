"""The case study: how does fine-tuning affect the geometry of embedding space?

`run_study` is all of it. One experiment alone, on a case of one's own, is `EXPERIMENTS["drift"].run(case)`.
"""

from isotropy_metrics.study.case import StudyCase, StudySettings
from isotropy_metrics.study.experiments import EXPERIMENTS, Outcome
from isotropy_metrics.study.spaces.checkpoint import Checkpoint
from isotropy_metrics.study.study import run_study
from isotropy_metrics.study.study_results import StudyResults

__all__ = ["EXPERIMENTS", "Checkpoint", "Outcome", "StudyCase", "StudyResults", "StudySettings", "run_study"]
