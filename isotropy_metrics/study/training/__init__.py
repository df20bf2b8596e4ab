"""Fine-tuning with a standard Trainer: the encoder, a head for each task, and the loop."""
