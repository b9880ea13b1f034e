"""Sampled convex programs: random hidden units, one convex output layer."""
