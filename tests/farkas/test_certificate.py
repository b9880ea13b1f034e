"""A certificate is plain data: immutable, portable to the last bit, and suspicious."""

import copy
import dataclasses
import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from farkas import Certificate, CertificateError, Guarantee
from farkas.certificate import seal

INF = math.inf


def make(**changes):
    fields = {
        "kind": "duality_gap",
        "problem": "farkas.lasso/1",
        "value": 0.25,
        "tolerance": 1e-3,
        "scale": 500.0,
        "guarantee": Guarantee.GLOBAL,
        "lower": 1.0,
        "upper": 1.25,
        "residuals": {"dual_slope": 2.0},
        "witness": {"w": np.array([1.0, 2.0]), "labels": np.array(["a", "bc"])},
        "parameters": {"alpha": 0.5, "n": 3, "loss": "squared", "dense": True},
        "assumptions": ("the loss is convex",),
        "fingerprint": "f",
        "seal": "s",
        "created_with": "farkas 0",
    }
    return Certificate(**{**fields, **changes})


def same(a, b):
    """Whether two certificates agree in every bit."""
    for field in dataclasses.fields(a):
        x, y = getattr(a, field.name), getattr(b, field.name)
        if field.name == "witness":
            for name in {*x, *y}:
                np.testing.assert_array_equal(x[name], y[name], strict=True)
                assert x[name].tobytes() == y[name].tobytes()
        elif field.name in ("residuals", "parameters"):
            assert repr(sorted(x.items())) == repr(sorted(y.items()))
        else:
            assert repr(x) == repr(y)
    return True


# What it says -----------------------------------------------------------------------


def test_satisfied_compares_with_tolerance_times_scale():
    assert make(value=0.5).satisfied
    assert not make(value=0.5000001).satisfied
    assert not make(value=INF).satisfied


def test_relative_and_gap():
    assert make().relative == 0.25 / 500
    assert make().gap == 0.25
    assert make(lower=-INF).gap == INF
    assert make(lower=-INF, upper=-INF).gap == INF
    assert make(lower=INF, upper=INF).gap == INF


def test_the_bounds_default_to_no_claim():
    bare = Certificate(
        kind="poll_set", problem="p", value=0, tolerance=0, guarantee="local"
    )
    assert (bare.lower, bare.upper, bare.scale) == (-INF, INF, 1.0)
    assert bare.guarantee is Guarantee.LOCAL
    assert bare.fingerprint == bare.seal == ""
    assert not bare.witness


def test_repr_is_one_line_with_the_bounds_and_the_guarantee():
    assert repr(make()) == (
        "Certificate(duality_gap 0.25 <= 0.5, 1 <= optimum <= 1.25, GLOBAL, "
        "farkas.lasso/1)"
    )
    assert "duality_gap 0.75 > 0.5" in repr(make(value=0.75))
    assert "optimum" not in repr(make(lower=-INF, upper=INF))


def test_html_holds_the_claim_and_nothing_executable():
    nasty = "<script>alert(1)</script>"
    page = make(kind=nasty, problem=nasty, assumptions=(nasty,))._repr_html_()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    page = make()._repr_html_()
    for text in ("duality_gap", "GLOBAL", "1.25", "the loss is convex"):
        assert text in page
    assert "none" in make(assumptions=())._repr_html_()


def test_without_witness_keeps_the_claim_only():
    claim = make().without_witness()
    assert claim.witness == {}
    assert claim.seal == ""
    assert same(dataclasses.replace(claim, witness=make().witness, seal="s"), make())


# Immutability -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["value", "lower", "witness", "seal", "new"])
def test_no_attribute_can_be_set(name):
    with pytest.raises((AttributeError, TypeError)):
        setattr(make(), name, 0.0)


@pytest.mark.parametrize("name", ["residuals", "witness", "parameters"])
def test_no_mapping_can_be_changed(name):
    with pytest.raises(TypeError):
        getattr(make(), name)["new"] = 0.0


def test_the_witness_is_a_read_only_copy():
    array = np.array([1.0, 2.0])
    certificate = make(witness={"w": array})
    array[0] = 9.0
    assert certificate.witness["w"][0] == 1.0
    with pytest.raises(ValueError, match="read-only"):
        certificate.witness["w"][0] = 9.0


def test_the_mappings_are_copies():
    residuals = {"a": 1.0}
    certificate = make(residuals=residuals)
    residuals["a"] = 2.0
    assert certificate.residuals["a"] == 1.0
    certificate.to_dict()["parameters"]["alpha"] = 7.0
    assert certificate.parameters["alpha"] == 0.5


def test_two_certificates_are_never_confused():
    a, b = make(), make()
    assert a != b
    assert len({a, b}) == 2


# Validation -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": 1}, "kind must be a str"),
        ({"problem": None}, "problem must be a str"),
        ({"seal": b"s"}, "seal must be a str"),
        ({"value": -1e-300}, "value=-1e-300 must be a number >= 0"),
        ({"value": math.nan}, "value=nan must be"),
        ({"value": "1"}, "value='1' must be a real number"),
        ({"value": True}, "value=True must be a real number"),
        ({"value": 1j}, "must be a real number"),
        ({"value": np.complex128(1)}, "must be a real number"),
        ({"value": 10**400}, "value is too large"),
        ({"tolerance": -1.0}, "tolerance=-1.0 must be a number >= 0"),
        ({"tolerance": math.nan}, "tolerance=nan must be"),
        ({"scale": 0.0}, "scale=0.0 must be positive and finite"),
        ({"scale": INF}, "scale=inf must be positive and finite"),
        ({"scale": math.nan}, "scale=nan must be positive and finite"),
        ({"lower": math.nan}, "must not be NaN"),
        ({"upper": math.nan}, "must not be NaN"),
        ({"guarantee": "cosmic"}, "must be one of global, local, probabilistic"),
        ({"guarantee": ["global"]}, "must be one of global"),
        ({"residuals": [1.0]}, "residuals must be a mapping"),
        ({"residuals": {1: 1.0}}, "residuals must have str keys, got 1"),
        ({"residuals": {"a": "x"}}, r"residuals\['a'\]='x' must be a real number"),
        ({"witness": None}, "witness must be a mapping"),
        ({"witness": {"w": None}}, r"witness\['w'\] must be a numeric array"),
        ({"witness": {"w": [[1], [1, 2]]}}, r"witness\['w'\] must be an array"),
        ({"witness": {"w": np.array([{}])}}, "must be a numeric array, got object"),
        ({"witness": {"w": np.zeros(2, "M8[s]")}}, "must be a numeric array"),
        ({"witness": {"w": np.zeros(2, "f4,f4")}}, "must be a numeric array"),
        ({"parameters": {"a": [1]}}, r"parameters\['a'\] must be a float, int, str"),
        ({"parameters": {"a": None}}, "got NoneType"),
        ({"assumptions": "one text"}, "assumptions must be a tuple of str"),
        ({"assumptions": [1]}, "assumptions must be a tuple of str"),
    ],
)
def test_a_malformed_field_is_named(changes, message):
    with pytest.raises(CertificateError, match=message):
        make(**changes)


def test_numpy_numbers_become_plain_ones():
    certificate = make(
        value=np.float32(0.5),
        lower=np.int64(0),
        parameters={"alpha": np.float64(0.5), "n": np.int64(3), "on": np.True_},
    )
    assert type(certificate.value) is float
    assert type(certificate.lower) is float
    kinds = [type(item) for item in certificate.parameters.values()]
    assert kinds == [float, int, bool]


# JSON -------------------------------------------------------------------------------


def test_json_is_sorted_and_knows_no_nan_or_infinity():
    text = make(lower=-INF, residuals={"b": math.nan, "a": INF}).to_json()

    def refuse(literal):
        raise AssertionError(literal)

    fields = json.loads(text, parse_constant=refuse)
    assert list(fields) == sorted(fields)
    assert fields["lower"] == {"__float__": "-inf"}
    assert fields["residuals"] == {"a": {"__float__": "inf"}, "b": {"__float__": "nan"}}
    assert fields["witness"]["w"] == {
        "__array__": "AAAAAAAA8D8AAAAAAAAAQA==",
        "dtype": "<f8",
        "shape": [2],
    }


def test_json_restores_every_bit():
    extreme = [0.1, -0.0, 5e-324, 1.7976931348623157e308, INF, -INF, math.nan]
    certificate = make(
        value=0.1 + 0.2,
        lower=-INF,
        upper=5e-324,
        residuals={"nan": math.nan, "inf": -INF, "zero": -0.0},
        parameters={"alpha": 0.1, "n": 2**60, "text": 'ü"\n', "on": False, "x": INF},
        witness={
            "f": np.array(extreme),
            "f4": np.float32(extreme[:3]),
            "big-endian": np.arange(3, dtype=">i4"),
            "matrix": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            "scalar": np.array(1.5),
            "empty": np.empty((0, 3)),
            "bool": np.array([True, False]),
            "complex": np.array([1 + 2j, complex(0.0, -0.0)]),
            "text": np.array(["ü", ""]),
        },
    )
    text = certificate.to_json()
    restored = Certificate.from_json(text)
    assert same(restored, certificate)
    assert restored.to_json() == text
    assert Certificate.from_json(text.encode()).to_json() == text


def test_save_and_load(tmp_path):
    path = tmp_path / "certificate.json"
    certificate = make(parameters={"text": "ü"})
    certificate.save(path)
    assert same(Certificate.load(path), certificate)
    assert path.read_bytes().decode("utf-8") == certificate.to_json()


finite_or_not = st.floats(allow_nan=False)
names = st.text(st.characters(codec="utf-8", exclude_characters="_"), max_size=5)


@given(
    value=st.floats(0, allow_nan=False),
    bounds=st.tuples(finite_or_not, finite_or_not),
    residuals=st.dictionaries(names, st.floats()),
    parameters=st.dictionaries(
        names, st.floats() | st.integers(-(2**70), 2**70) | st.booleans() | st.text()
    ),
    witness=st.dictionaries(
        names, arrays(st.sampled_from(["<f8", "<f4", "<i8", "?"]), array_shapes())
    ),
    assumptions=st.lists(st.text()).map(tuple),
)
def test_json_pickle_and_deepcopy_restore_any_certificate(
    value, bounds, residuals, parameters, witness, assumptions
):
    certificate = make(
        value=value,
        lower=bounds[0],
        upper=bounds[1],
        residuals=residuals,
        parameters=parameters,
        witness=witness,
        assumptions=assumptions,
    )
    assert same(Certificate.from_json(certificate.to_json()), certificate)
    assert same(Certificate.from_dict(certificate.to_dict()), certificate)
    assert same(pickle.loads(pickle.dumps(certificate)), certificate)
    assert same(copy.deepcopy(certificate), certificate)


def test_a_copy_is_as_immutable_as_the_original():
    for twin in (copy.deepcopy(make()), pickle.loads(pickle.dumps(make()))):
        assert not twin.witness["w"].flags.writeable
        with pytest.raises(TypeError):
            twin.parameters["alpha"] = 1.0


def array_of(**changes):
    return {"__array__": "AAAAAAAA8D8=", "dtype": "<f8", "shape": [1], **changes}


@pytest.mark.parametrize(
    "changes",
    [
        {"witness": {"w": array_of(dtype="O")}},
        {"witness": {"w": array_of(dtype="|O")}},
        {"witness": {"w": array_of(dtype="O,f8")}},
        {"witness": {"w": array_of(dtype=[["a", "O"]])}},
        {"witness": {"w": array_of(dtype={"names": ["a"], "formats": ["O"]})}},
        {"witness": {"w": array_of(dtype="V8")}},
        {"witness": {"w": array_of(dtype="M8[s]")}},
        {"witness": {"w": array_of(dtype="nonsense")}},
        {"witness": {"w": array_of(dtype=None)}},
        {"witness": {"w": array_of(dtype="S0")}},
        {"witness": {"w": array_of(shape=[2])}},
        {"witness": {"w": array_of(shape=[2**70])}},
        {"witness": {"w": array_of(shape="1")}},
        {"witness": {"w": array_of(shape=[1.5])}},
        {"witness": {"w": array_of(__array__="not base64!")}},
        {"witness": {"w": array_of(__array__=[1])}},
        {"witness": {"w": {"__array__": "AAAAAAAA8D8="}}},
        {"witness": {"w": {"a": 1}}},
        {"witness": array_of()},
        {"value": {"__float__": [1]}},
        {"value": {"__float__": "a lot"}},
        {"value": {"__float__": 10**400}},
        {"value": 10**400},
        {"value": None},
        {"value": {}},
        {"lower": {"__float__": "nan"}},
        {"residuals": {"a": None}},
        {"parameters": {"alpha": {"b": 1}}},
        {"assumptions": None},
        {"assumptions": {"a": 1}, "kind": 3},
        {"__class__": "os.system"},
        {"satisfied": True},
    ],
    ids=lambda changes: repr(changes)[:60],
)
def test_json_that_is_no_certificate_is_refused(changes):
    fields = {**json.loads(make().to_json()), **changes}
    with pytest.raises(CertificateError):
        Certificate.from_json(json.dumps(fields))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "null",
        "[]",
        "{}",
        '"text"',
        json.dumps(array_of()),
        make().to_json()[:-1],
        make(value=0.5).to_json().replace('"value": 0.5', '"value": Infinity'),
        make(value=0.5).to_json().replace('"value": 0.5', '"value": NaN'),
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"a":' * 900 + "1" + "}" * 900,
        b"\xff\xfe\xfd",
        None,
    ],
    ids=lambda text: repr(text)[:20],
)
def test_text_that_is_no_certificate_is_refused(text):
    with pytest.raises(CertificateError, match="not a certificate"):
        Certificate.from_json(text)


@pytest.mark.parametrize("name", ["kind", "problem", "value", "tolerance", "guarantee"])
def test_a_missing_field_is_named(name):
    fields = make().to_dict()
    del fields[name]
    with pytest.raises(CertificateError, match=name):
        Certificate.from_dict(fields)


def test_unknown_fields_are_named():
    with pytest.raises(CertificateError, match="unknown certificate fields.*'proof'"):
        Certificate.from_dict({**make().to_dict(), "proof": 1})


# The seal ---------------------------------------------------------------------------


def test_the_seal_binds_problem_witness_and_parameters():
    witness, parameters = {"w": np.array([1.0, 2.0])}, {"alpha": 0.5}
    reference = seal("p", witness, parameters)
    assert reference == seal("p", {"w": np.array([1.0, 2.0])}, {"alpha": 0.5})
    others = {
        seal("q", witness, parameters),
        seal("p", {"w": np.array([1.0, 3.0])}, parameters),
        seal("p", {"v": np.array([1.0, 2.0])}, parameters),
        seal("p", {"w": np.array([[1.0, 2.0]])}, parameters),
        seal("p", {"w": np.array([1, 2])}, parameters),
        seal("p", {}, parameters),
        seal("p", witness, {"alpha": 1.5}),
        seal("p", witness, {"beta": 0.5}),
        seal("p", witness, {"alpha": "0.5"}),
        seal("p", witness, {}),
    }
    assert len(others) == 10
    assert reference not in others


def test_the_seal_does_not_depend_on_order_layout_or_numpy_types():
    matrix = np.arange(6.0).reshape(2, 3)
    assert seal("p", {"a": matrix, "b": matrix}, {"x": 0.5, "n": 2}) == seal(
        "p",
        {"b": matrix, "a": np.asfortranarray(matrix)},
        {"n": np.int64(2), "x": np.float64(0.5)},
    )
