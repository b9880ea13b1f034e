"""Projection onto one robust cone: closed forms and hostile input."""

import numpy as np
import pytest

from convexnn import project_cone, project_robust_cone


def test_closed_forms():
    # On the plane with x = (1, 1) and eps = 1/2: the cone p_1 + p_2 >= |p|_1 / 2.
    X, d = [[1.0, 1.0]], [1]
    inside = project_robust_cone([1.0, -0.2], X, d, 0.5)
    np.testing.assert_allclose(inside, [1.0, -0.2])
    np.testing.assert_allclose(project_robust_cone([1.0, -2.0], X, d, 0.5), [1.5, -0.5])
    np.testing.assert_allclose(
        project_robust_cone([-1.0, -2.0], X, d, 0.5), [0.0, 0.0], atol=1e-14
    )
    # With eps = 1 only the quadrant is left.
    np.testing.assert_allclose(
        project_robust_cone([3.0, -1.0], X, d, 1.0), [3.0, 0.0], atol=1e-14
    )


@pytest.mark.parametrize("scale", [1e-300, 1e-8, 1.0, 1e8, 1e300])
def test_units_do_not_matter(scale):
    rng = np.random.default_rng(0)
    X, g = rng.standard_normal((6, 3)), rng.standard_normal(3)
    d = X @ rng.standard_normal(3) >= 0
    eps = np.full(3, 0.05)
    expected = project_robust_cone(g, X, d, eps)
    scaled = project_robust_cone(g, scale * X, d, scale * eps)
    np.testing.assert_allclose(scaled, expected, atol=1e-10)
    scaled = project_robust_cone(scale * g, X, d, eps)
    np.testing.assert_allclose(scaled / scale, expected, atol=1e-10)


def test_zero_radius_is_the_plain_cone():
    rng = np.random.default_rng(1)
    X = rng.standard_normal((12, 4))
    d = X @ rng.standard_normal(4) >= 0
    for _ in range(20):
        g = rng.standard_normal(4)
        np.testing.assert_allclose(
            project_robust_cone(g, X, d, 0.0), project_cone(g, X, d), atol=1e-10
        )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([1.0], [[1.0, 2.0]], [1], 0.1), r"g must have shape \(2,\)"),
        (([np.nan, 1.0], [[1.0, 2.0]], [1], 0.1), "g must not contain"),
        (([1.0, 1.0], [[1.0, 2.0]], [2], 0.1), "d must be a 0/1 vector"),
        (([1.0, 1.0], [[1.0, 2.0]], [1, 0], 0.1), "d must be a 0/1 vector"),
        (([1.0, 1.0], [[1.0, 2.0]], [1], -0.1), "eps=-0.1"),
        (([1.0, 1.0], [[1.0, np.inf]], [1], 0.1), "X must not contain"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        project_robust_cone(*arguments)
