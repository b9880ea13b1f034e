"""Local graph clustering by diffusion, with noisy node labels."""

import importlib
from typing import Any

_EXPORTS = {
    "FlowDiffusionClustering": "estimators",
    "Graph": "graph",
    "HeatKernelClustering": "walk_estimators",
    "LabelFlowClustering": "label_estimators",
    "NodeLabeler": "labels",
    "PageRankClustering": "walk_estimators",
    "approximate_pagerank": "pagerank",
    "check_certificate": "certificate",
    "check_graph": "graph",
    "conductance": "sweep",
    "conductance_lower": "certificate",
    "crd": "capacity_releasing",
    "cut_lower": "certificate",
    "find_clusters": "ncp",
    "flow_diffusion": "diffusion",
    "flow_improve": "improve",
    "heat_kernel": "heat",
    "l1_pagerank": "pagerank",
    "label_accuracy": "planted",
    "load_graph": "graph",
    "load_karate_club": "karate",
    "make_planted_cluster": "planted",
    "mqi": "improve",
    "ncp_profile": "ncp",
    "noisy_labels": "planted",
    "plot_graph": "plotting",
    "plot_ncp": "plotting",
    "plot_progress": "plotting",
    "plot_sweep": "plotting",
    "save_edges": "storage",
    "save_graph": "storage",
    "simple_local": "improve",
    "sweep_cut": "sweep",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        value = getattr(importlib.import_module(f"graphs.{_EXPORTS[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'graphs' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
