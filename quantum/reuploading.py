"""Data re-uploading: the data enter again between trainable blocks.

The circuit is ``W(theta_L) S(x) ... W(theta_1) S(x)`` (Perez-Salinas et al.,
arXiv:1907.02085), with one rotation RY a feature in S.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from quantum._measure_states import CODES
from quantum.circuit import GateTable, empty_table, table_from_rows


def data_layer(n: int) -> GateTable:
    """Return one RY of the feature of the same number on each qubit."""
    layer = table_from_rows(n, [("ry", (q,), None) for q in range(n)], 0)
    layer.gates[:, 5] = np.arange(n)
    tape = np.array([(CODES.index("feature"), q) for q in range(n)], dtype=float)
    return dataclasses.replace(layer, tape=tape, starts=np.arange(n + 1))


def reuploading_table(block: GateTable, layers: int) -> GateTable:
    """Return ``layers`` repetitions of a data layer and a trainable block.

    Parameters
    ----------
    block : GateTable
        The trainable gates, with new weights in each layer.
    layers : int
        L.

    Returns
    -------
    GateTable
        With ``layers * block.n_parameters`` weights.
    """
    layer, table = data_layer(block.n), empty_table(block.n)
    for k in range(layers):
        table = table + layer + block.shifted(k * block.n_parameters)
    return table
