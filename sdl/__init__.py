"""Supervised dictionary learning with covariates.

Not built yet: the package is importable and has no public names.
"""

__all__: list[str] = []
