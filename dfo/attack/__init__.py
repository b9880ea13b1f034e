"""Trained networks as functions with derivatives, and searches through them."""
