"""Messages of untrusted processes: what is sent comes back, and nothing else does anything."""

import pickle
import random
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest

from metaspec_conformance.containment.plain_data import MalformedDataError, decode, encode


@dataclass(frozen=True)
class Sent:
    """A dataclass with the kinds of types that messages have."""

    name: str
    size: float | None
    parts: tuple[int, ...]
    arrays: dict[str, Any]


class Point(NamedTuple):
    """A named tuple that the reader does not know."""

    x: Any
    y: Any


class Version(str):
    """Text of a class of its own."""


def test_what_is_sent_comes_back() -> None:
    sent = {
        "tree": [None, True, 1, 2.5, "text", (1, "a"), {3: "b", (4, 5): None}],
        "arrays": [np.zeros((0, 3)), np.arange(6, dtype=np.int32).reshape(2, 3), np.longdouble(1) / 3, np.float32(0.1)],
        "odd": [float("inf"), -0.0],
        "class": Sent("a", None, (1, 2), {"x": np.ones(2, np.float16)}),
    }
    found = decode(encode(sent), [Sent])
    assert found["tree"] == sent["tree"]
    for a, b in zip(found["arrays"], sent["arrays"], strict=True):
        assert (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    assert np.array_equal(np.signbit(found["odd"]), np.signbit(sent["odd"]))
    assert found["class"].arrays["x"].dtype == np.float16
    assert type(decode(encode(Version("2.1")))) is str


def test_a_named_tuple_that_is_not_known_keeps_its_names_and_can_be_sent_on() -> None:
    found = decode(encode(Point(1, np.ones(2))))
    assert (type(found).__name__, found.x, found._fields) == ("Point", 1, ("x", "y"))
    assert pickle.loads(pickle.dumps(found)).x == 1


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert decode(encode("a\x1b[2Jb\x9bc\n")) == "a\ufffd[2Jb\ufffdc\n"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Sent(1, None, (), {}), "Sent.name of type int"),  # type: ignore[arg-type]
        (Sent("a", "b", (), {}), "Sent.size of type str"),  # type: ignore[arg-type]
        (Sent("a", None, ("x",), {}), "Sent.parts of type tuple"),  # type: ignore[arg-type]
        (Sent("a", None, (), []), "Sent.arrays of type list"),  # type: ignore[arg-type]
    ],
)
def test_fields_are_of_their_types(value: Sent, text: str) -> None:
    with pytest.raises(MalformedDataError, match=text):
        decode(encode(value), [Sent])


def test_a_class_that_is_not_expected_is_refused_and_objects_are_not_sent() -> None:
    with pytest.raises(MalformedDataError, match="class 'Sent', which is not expected"):
        decode(encode(Sent("a", None, (), {})))
    for value in (object(), np.array([object()]), print, {1, 2}):
        with pytest.raises(MalformedDataError):
            encode(value)


@pytest.mark.parametrize("count", [300, pytest.param(20_000, marks=pytest.mark.soak)])
def test_damaged_messages_are_refused_or_read_as_plain_data(count: int) -> None:
    """Bytes changed, cut, doubled and drawn at random: a value or MalformedDataError, and nothing else."""
    rng = random.Random(count)
    whole = encode({"a": np.arange(4.0), "b": [Sent("x", 1.0, (1,), {"y": np.ones(3)}), Point(1, 2), (None, 2.5)]})
    refused = 0
    for _ in range(count):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            place = rng.randrange(len(data))
            match rng.randrange(4):
                case 0:
                    data[place] = rng.randrange(256)
                case 1:
                    del data[place:]
                case 2:
                    data[place:place] = data[: rng.randrange(50)]
                case _:
                    data[place : place + 8] = rng.randbytes(8)
            if not data:
                break
        try:
            decode(bytes(data), [Sent])
        except MalformedDataError:
            refused += 1
    assert refused > count // 2
    for data in (b"", b"\0" * 8, pickle.dumps(Sent), b"[" * 100_000, encode(1)[:8] + b"[" * 100_000):
        with pytest.raises(MalformedDataError):
            decode(data)
