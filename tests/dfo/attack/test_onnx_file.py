"""Networks from ONNX files against the same formulas in NumPy."""

import numpy as np
import pytest

from dfo import as_network
from dfo.attack.onnx_file import read_onnx

RNG = np.random.default_rng(0)
W1, B1 = RNG.standard_normal((3, 4)), RNG.standard_normal(4)
W2, B2 = RNG.standard_normal((4, 2)), RNG.standard_normal(2)
MEAN, SCALE = RNG.standard_normal(3), RNG.uniform(1, 2, 3)
X = RNG.standard_normal((5, 3))


def written(tmp_path, nodes, **constants):
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    made, last = [], "x"
    for k, (kind, inputs, attributes) in enumerate(nodes):
        names = [last if name == "x" else name for name in inputs]
        made.append(helper.make_node(kind, names, [f"t{k}"], name=kind, **attributes))
        last = f"t{k}"
    double = onnx.TensorProto.DOUBLE
    graph = helper.make_graph(
        made,
        "net",
        [helper.make_tensor_value_info("x", double, [None, 3])],
        [helper.make_tensor_value_info(last, double, [None, None])],
        [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    path = tmp_path / "net.onnx"
    onnx.save(helper.make_model(graph), path)
    return path


def test_scaled_gemm_network(tmp_path):
    path = written(
        tmp_path,
        [
            ("Sub", ["x", "mean"], {}),
            ("Div", ["x", "scale"], {}),
            ("Gemm", ["x", "w1", "b1"], {"transB": 1}),
            ("Tanh", ["x"], {}),
            ("Gemm", ["x", "w2", "b2"], {"alpha": 2.0}),
            ("Softmax", ["x"], {"axis": 1}),
        ],
        mean=MEAN,
        scale=SCALE,
        w1=W1.T.copy(),
        b1=B1,
        w2=W2,
        b2=B2,
    )
    Z = np.tanh((X - MEAN) / SCALE @ W1 + B1) @ (2 * W2) + B2
    P = np.exp(Z) / np.exp(Z).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(as_network(path).forward(X), P)
    np.testing.assert_allclose(as_network(path, output="logits").forward(X), Z)


@pytest.mark.parametrize(
    ("kind", "phi"),
    [
        ("Relu", lambda z: np.maximum(z, 0)),
        ("Sigmoid", lambda z: 1 / (1 + np.exp(-z))),
        ("Identity", lambda z: z),
    ],
)
def test_matmul_and_add(tmp_path, kind, phi):
    path = written(
        tmp_path,
        [
            ("Flatten", ["x"], {}),
            ("MatMul", ["x", "w1"], {}),
            ("Add", ["x", "b1"], {}),
            (kind, ["x"], {}),
            ("MatMul", ["x", "w2"], {}),
            ("Mul", ["x", "two"], {}),
        ],
        w1=W1,
        b1=B1,
        w2=W2,
        two=np.float64(2.0),
    )
    expected = 2 * (phi(X @ W1 + B1) @ W2)
    np.testing.assert_allclose(read_onnx(path).forward(X), expected)


def test_a_constant_on_the_left(tmp_path):
    nodes = [("Sub", ["mean", "x"], {}), ("MatMul", ["x", "w1"], {})]
    path = written(tmp_path, nodes, mean=MEAN, w1=W1)
    np.testing.assert_allclose(read_onnx(path).forward(X), (MEAN - X) @ W1)


def test_other_nodes_are_named(tmp_path):
    path = written(tmp_path, [("Sin", ["x"], {})])
    with pytest.raises(NotImplementedError, match="Sin"):
        as_network(str(path))


def test_without_the_package(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match="onnx"):
        as_network(str(tmp_path / "net.onnx"))
