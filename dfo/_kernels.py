"""Rows of the test functions, compiled: one point in, its value out.

Without a vector math library the compiler does not vectorise sines. Here cosines of
``2 pi x`` come from a polynomial on the reduced range, which it does vectorise, and
``1 - cos`` from a square, so that a minimum is exactly zero.
"""

import math

from farkas.kernels import kernel

FAST = {"reassoc", "contract"}

# sin(pi r) / r as a polynomial in r^2: the Taylor coefficients (-1)^k pi^(2k+1)/(2k+1)!
# up to degree 20, below 1e-16 for |r| <= 1/2.
S0 = 3.141592653589793
S1 = -5.16771278004997
S2 = 2.550164039877345
S3 = -0.5992645293207921
S4 = 0.08214588661112823
S5 = -0.00737043094571435
S6 = 0.00046630280576761255
S7 = -2.1915353447830217e-05
S8 = 7.952054001475513e-07
S9 = -2.2948428997269873e-08
S10 = 5.392664662608128e-10

SCHWEFEL = 418.9828872724339
STYBLINSKI = 39.16616570377142


@kernel(fastmath=FAST)
def versine(x):
    """Return ``1 - cos(2 pi x) = 2 sin(pi r)^2`` with r the distance to an integer."""
    r = x - math.floor(x + 0.5)
    q = r * r
    s = S10
    s = s * q + S9
    s = s * q + S8
    s = s * q + S7
    s = s * q + S6
    s = s * q + S5
    s = s * q + S4
    s = s * q + S3
    s = s * q + S2
    s = s * q + S1
    s = s * q + S0
    s = s * r
    return 2.0 * s * s


@kernel(fastmath=FAST)
def sphere(x):
    """Sum of squares."""
    total = 0.0
    for j in range(x.shape[0]):
        total += x[j] * x[j]
    return total


@kernel(fastmath=FAST)
def ellipsoid(x):
    """Sum of squares with weights from 1 to 10^6."""
    d, total = x.shape[0], 0.0
    for j in range(d):
        total += 10.0 ** (6.0 * j / max(d - 1, 1)) * x[j] * x[j]
    return total


@kernel(fastmath=FAST)
def rosenbrock(x):
    """Banana-shaped valley."""
    total = 0.0
    for j in range(x.shape[0] - 1):
        a = x[j + 1] - x[j] * x[j]
        b = 1.0 - x[j]
        total += 100.0 * a * a + b * b
    return total


@kernel(fastmath=FAST)
def rastrigin(x):
    """Sphere with ripples of height 10."""
    total = 0.0
    for j in range(x.shape[0]):
        total += x[j] * x[j] + 10.0 * versine(x[j])
    return total


@kernel(fastmath=FAST)
def rastrigin_cbo(x):
    """Sphere with ripples of height 2.5."""
    total = 0.0
    for j in range(x.shape[0]):
        total += x[j] * x[j] + 2.5 * versine(x[j])
    return total


@kernel(fastmath=FAST)
def ackley(x):
    """Funnel with ripples."""
    d, squares, ripples = x.shape[0], 0.0, 0.0
    for j in range(d):
        squares += x[j] * x[j]
        ripples += versine(x[j])
    # exp(1) - exp(mean cos) without cancellation.
    rise = -math.e * math.expm1(-ripples / d)
    return rise - 20.0 * math.expm1(-0.2 * math.sqrt(squares / d))


@kernel
def griewank(x):
    """Bowl with a product of cosines."""
    total, log_free = 0.0, 1.0
    for j in range(x.shape[0]):
        total += x[j] * x[j]
        log_free *= math.cos(x[j] / math.sqrt(j + 1.0))
    return total / 4000.0 - log_free + 1.0


@kernel(fastmath=FAST)
def levy(x):
    """Waves along a valley."""
    d = x.shape[0]
    first = 1.0 + (x[0] - 1.0) / 4.0
    last = 1.0 + (x[d - 1] - 1.0) / 4.0
    total = 0.5 * versine(first)  # sin^2(pi w) = (1 - cos 2 pi w) / 2
    for j in range(d - 1):
        w = 1.0 + (x[j] - 1.0) / 4.0
        wave = math.sin(math.pi * w + 1.0)
        total += (w - 1.0) ** 2 * (1.0 + 10.0 * wave * wave)
    return total + (last - 1.0) ** 2 * (1.0 + 0.5 * versine(2.0 * last))


@kernel
def schwefel(x):
    """Deceptive waves; outside of the box the squared excess is added."""
    total = 0.0
    for j in range(x.shape[0]):
        z = min(max(x[j], -500.0), 500.0)
        total += SCHWEFEL - z * math.sin(math.sqrt(abs(z))) + (x[j] - z) ** 2
    return total


@kernel(fastmath=FAST)
def styblinski_tang(x):
    """Sum of quartics with two wells."""
    total = 0.0
    for j in range(x.shape[0]):
        q = x[j] * x[j]
        total += 0.5 * (q * q - 16.0 * q + 5.0 * x[j])
    return total


@kernel(fastmath=FAST)
def zakharov(x):
    """Bowl with a steep valley."""
    squares, weighted = 0.0, 0.0
    for j in range(x.shape[0]):
        squares += x[j] * x[j]
        weighted += 0.5 * (j + 1.0) * x[j]
    q = weighted * weighted
    return squares + q + q * q


@kernel
def alpine1(x):
    """Kinks at every zero of a wave."""
    total = 0.0
    for j in range(x.shape[0]):
        total += abs(x[j] * math.sin(x[j]) + 0.1 * x[j])
    return total


@kernel
def salomon(x):
    """Concentric ripples."""
    squares = 0.0
    for j in range(x.shape[0]):
        squares += x[j] * x[j]
    radius = math.sqrt(squares)
    return versine(radius) + 0.1 * radius


@kernel
def himmelblau(x):
    """Four minima of value 0."""
    a = x[0] * x[0] + x[1] - 11.0
    b = x[0] + x[1] * x[1] - 7.0
    return a * a + b * b


@kernel
def easom(x):
    """Plane with a hole."""
    away = (x[0] - math.pi) ** 2 + (x[1] - math.pi) ** 2
    return -math.cos(x[0]) * math.cos(x[1]) * math.exp(-away)


@kernel
def drop_wave(x):
    """Ripples from a drop."""
    q = x[0] * x[0] + x[1] * x[1]
    return -(1.0 + math.cos(12.0 * math.sqrt(q))) / (0.5 * q + 2.0)


@kernel
def eggholder(x):
    """Many deep holes."""
    a = x[1] + 47.0
    return -a * math.sin(math.sqrt(abs(x[0] / 2.0 + a))) - x[0] * math.sin(
        math.sqrt(abs(x[0] - a))
    )


@kernel
def michalewicz(x):
    """Steep valleys."""
    total = 0.0
    for j in range(x.shape[0]):
        total -= math.sin(x[j]) * math.sin((j + 1) * x[j] ** 2 / math.pi) ** 20
    return total


@kernel
def three_hump(x):
    """Three minima."""
    q = x[0] * x[0]
    return 2.0 * q - 1.05 * q * q + q**3 / 6.0 + x[0] * x[1] + x[1] * x[1]


@kernel
def mccormick(x):
    """Tilted wave."""
    return math.sin(x[0] + x[1]) + (x[0] - x[1]) ** 2 - 1.5 * x[0] + 2.5 * x[1] + 1.0


@kernel
def _canyon(x, amplitude):
    a, b = x[0], x[1]
    v = b - ((a - 1.0) * (a - 4.0) ** 2 / 8.0 + 2.0)
    barrier = -a - 1.6 * b
    valley = 25.0 * (1.0 - math.exp(-1.4 * v * v * math.exp(-0.002 * a**4)))
    waves = versine(0.375 * a) + versine(0.375 * b)
    wall = (1.0 - math.exp(-9.0 * barrier * barrier)) * math.copysign(1.0, barrier)
    if barrier <= 0.0:
        wall = 0.0
    wall *= 4.0 * math.exp(1.0 - 2.0 * v**4)
    return valley + 0.4 * a * a + 0.2 * b * b + amplitude * waves + wall


@kernel
def canyon(x):
    """Winding valley with ripples."""
    return _canyon(x, 1.1625)


@kernel
def canyon_smooth(x):
    """Winding valley with weak ripples."""
    return _canyon(x, 0.25)
