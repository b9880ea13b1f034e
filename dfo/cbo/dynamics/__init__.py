"""The particles and their steps."""
