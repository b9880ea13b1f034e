"""Zachary's karate club, the smallest graph everybody knows."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array, csr_array

# One line a node: its later neighbours, and the number of contexts in which the two
# met (W. W. Zachary, "An information flow model for conflict and fission in small
# groups", Journal of Anthropological Research 33, 1977).
_TIES = """
0 1:4 2:5 3:3 4:3 5:3 6:3 7:2 8:2 10:2 11:3 12:1 13:3 17:2 19:2 21:2 31:2
1 2:6 3:3 7:4 13:5 17:1 19:2 21:2 30:2
2 3:3 7:4 8:5 9:1 13:3 27:2 28:2 32:2
3 7:3 12:3 13:3
4 6:2 10:3
5 6:5 10:3 16:3
6 16:3
8 30:3 32:3 33:4
9 33:2
13 33:3
14 32:3 33:2
15 32:3 33:4
18 32:1 33:2
19 33:1
20 32:3 33:1
22 32:2 33:3
23 25:5 27:4 29:3 32:5 33:4
24 25:2 27:3 31:2
25 31:7
26 29:4 33:2
27 33:4
28 31:2 33:2
29 32:4 33:2
30 32:3 33:3
31 32:4 33:4
32 33:5
"""
_OFFICER = (
    9, 14, 15, 18, 20, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33,
)  # fmt: skip


def load_karate_club(*, weighted: bool = False) -> tuple[csr_array, NDArray[np.bool_]]:
    """Return the friendships in a karate club that split in two.

    Parameters
    ----------
    weighted : bool, default=False
        Whether an edge weighs as much as the number of contexts in which its ends met.

    Returns
    -------
    adjacency : csr_array of shape (34, 34)
        Symmetric.
    faction : ndarray of bool, shape (34,)
        Members who stayed with the instructor, node 0.

    Examples
    --------
    >>> from graphs import load_karate_club
    >>> A, faction = load_karate_club()
    >>> A.nnz // 2, int(faction.sum())
    (78, 17)
    """
    i, j, w = [], [], []
    for line in _TIES.split("\n"):
        node, *ties = line.split() or [""]
        for tie in ties:
            other, number = tie.split(":")
            i.append(int(node))
            j.append(int(other))
            w.append(float(number) if weighted else 1.0)
    ends = (np.array(i + j), np.array(j + i))
    faction = np.ones(34, dtype=bool)
    faction[list(_OFFICER)] = False
    return csr_array(coo_array((np.array(w + w), ends), shape=(34, 34))), faction
