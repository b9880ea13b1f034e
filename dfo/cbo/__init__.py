"""Consensus-based optimization: particles drawn to their weighted mean."""
