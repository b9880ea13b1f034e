"""Covering direct search: polls, a covering step and quadratic models, with a proof."""
