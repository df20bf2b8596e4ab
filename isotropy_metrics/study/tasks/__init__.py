"""Tasks: labelled texts, and how embeddings of them are scored."""

from isotropy_metrics.study.tasks.loading import load_task
from isotropy_metrics.study.tasks.similarity import Similarity
from isotropy_metrics.study.tasks.task import Task, TaskPart

__all__ = ["Similarity", "Task", "TaskPart", "load_task"]
