"""Tasks: labelled texts, and how embeddings of them are scored."""

from isotropy_metrics.study.tasks.classification import Classification
from isotropy_metrics.study.tasks.custom import Custom
from isotropy_metrics.study.tasks.loading import BBC, STSB, load_task
from isotropy_metrics.study.tasks.pair_classification import PairClassification
from isotropy_metrics.study.tasks.similarity import Similarity
from isotropy_metrics.study.tasks.task import OWN, Task, TaskPart, data_digest, task_name

__all__ = [
    "BBC",
    "OWN",
    "STSB",
    "Classification",
    "Custom",
    "PairClassification",
    "Similarity",
    "Task",
    "TaskPart",
    "data_digest",
    "load_task",
    "task_name",
]
