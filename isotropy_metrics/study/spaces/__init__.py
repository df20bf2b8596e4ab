"""What a checkpoint makes of texts: token vectors and pooled texts, layer by layer."""
