"""What plugs into a `transformers.Trainer`, a `DataLoader` or a live model: what it does is in `isotropy_metrics`."""

from trainer_callbacks.attached_enhancement import AttachedEnhancement, attach_enhancement
from trainer_callbacks.enhancement_collator import EnhancementCollator

__all__ = ["AttachedEnhancement", "EnhancementCollator", "attach_enhancement"]
