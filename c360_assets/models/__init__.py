"""Models: what they are trained on, training, and scores in batch."""
