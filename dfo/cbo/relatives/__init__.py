"""Consensus hopping, many consensus points, and sampling."""
