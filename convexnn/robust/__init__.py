"""Robust training: programs whose constraints hold for every perturbed row."""
