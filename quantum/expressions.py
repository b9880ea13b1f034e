"""Angles written as expressions, turned into small postfix programs.

Qiskit's expressions are read from their text, so that no computer algebra is needed,
and the program is checked against Qiskit's own value at two points.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any

import numpy as np

from quantum._measure_states import CODES, data_angles

Instructions = list[tuple[int, float]]

_BINARY = {
    ast.Add: "add", ast.Sub: "subtract", ast.Mult: "multiply", ast.Div: "divide",
    ast.Pow: "power",
}  # fmt: skip
_FUNCTIONS = {
    "sin": "sin", "cos": "cos", "tan": "tan", "exp": "exp", "log": "log", "abs": "abs",
    "sign": "sign", "asin": "arcsin", "acos": "arccos", "atan": "arctan",
    "arcsin": "arcsin", "arccos": "arccos", "arctan": "arctan",
}  # fmt: skip

# Two points without symmetry at which program and expression must agree.
_PROBES = (0.3141, 0.5772)
_AGREEMENT = 1e-9


def program_of(expression: Any, parameters: Sequence[Any]) -> Instructions:
    """Compile a Qiskit expression.

    Parameters
    ----------
    expression : ParameterExpression or float
        The angle.
    parameters : sequence of Parameter
        Their positions are the features that the program reads.

    Returns
    -------
    list of tuple
        ``(code, value)``, see ``quantum._measure_states.CODES``.

    Raises
    ------
    ValueError
        If the expression uses what programs do not know.
    """
    from qiskit.circuit import Parameter

    if not getattr(expression, "parameters", None):
        return [(CODES.index("constant"), float(expression))]
    positions = {parameter: k for k, parameter in enumerate(parameters)}
    used = sorted(expression.parameters, key=positions.__getitem__)
    # Names may hold any character: plain ones are put in their place to be read.
    plain = {parameter: Parameter(f"v{positions[parameter]}") for parameter in used}
    text = str(expression.subs(plain)).replace("^", "**")
    try:
        program = _walk(ast.parse(text, mode="eval").body)
    except (SyntaxError, KeyError, TypeError) as error:
        raise ValueError(
            f"the angle {expression} cannot be evaluated ({error}); use +, -, *, /, "
            "integer powers and elementary functions."
        ) from None
    _compare(expression, program, used, positions)
    return program


def _walk(node: ast.AST) -> Instructions:
    if isinstance(node, ast.BinOp):
        code = CODES.index(_BINARY[type(node.op)])
        return [*_walk(node.left), *_walk(node.right), (code, 0.0)]
    if isinstance(node, ast.UnaryOp):
        inner = _walk(node.operand)
        if isinstance(node.op, ast.UAdd):
            return inner
        if len(inner) == 1 and inner[0][0] == CODES.index("constant"):
            return [(inner[0][0], -inner[0][1])]
        minus = (CODES.index("constant"), -1.0)
        return [*inner, minus, (CODES.index("multiply"), 0.0)]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        code = CODES.index(_FUNCTIONS[node.func.id])
        return [*_walk(node.args[0]), (code, 0.0)]
    if isinstance(node, ast.Name):
        return [(CODES.index("feature"), float(int(node.id.removeprefix("v"))))]
    if isinstance(node, ast.Constant):
        return [(CODES.index("constant"), float(node.value))]  # type: ignore[arg-type]
    raise TypeError(f"unknown syntax {type(node).__name__}")


def _compare(
    expression: Any, program: Instructions, used: list[Any], positions: dict[Any, int]
) -> None:
    for probe in _PROBES:
        values = {p: probe + 0.01 * j for j, p in enumerate(used)}
        row = np.zeros((1, 1 + max(positions.values())))
        for parameter, value in values.items():
            row[0, positions[parameter]] = value
        starts = np.array([0, len(program)])
        ours = data_angles(row, np.array(program, dtype=float), starts)[0][0, 0]
        theirs = expression.bind(values).numeric()
        if not abs(ours - theirs) <= _AGREEMENT * (1.0 + abs(theirs)):
            raise ValueError(
                f"the angle {expression} was read as {ours!r}, but is {theirs!r}."
            )
