"""The measured guidance: the same work through every strategy, and a verdict on each claim."""
