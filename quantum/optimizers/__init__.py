"""Optimizers of functions of angles, one a file."""
