"""Proofs over all networks of any width, by the doubly nonnegative relaxation."""
