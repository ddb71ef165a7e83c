"""Pointers as they are written are read without YAML, and as YAML reads them."""

import random

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from ml_platform.datasets.embedded import pointers
from ml_platform.datasets.embedded.pointers import Pointer, decode, encode

HEX = "0123456789abcdef"
POINTERS = st.builds(
    Pointer,
    st.text(HEX, min_size=32, max_size=32),
    st.text(HEX, min_size=64, max_size=64),
    st.integers(0, 10**20),
    st.dictionaries(st.text(max_size=8), st.text(max_size=20), max_size=4),
)


def by_yaml(content: bytes) -> Pointer:
    """What YAML alone makes of it."""
    out = yaml.safe_load(content)["outs"][0]
    meta = out["meta"]
    return Pointer(str(out["md5"]), str(meta["sha256"]), int(out["size"]), dict(meta["metadata"]))


@given(POINTERS, st.text("ab \"\\'é:#-", min_size=1, max_size=9))
@example(Pointer("0" * 32, "1" * 64, 0, {"": "", "rows": " 12 "}), "a b")
def test_what_is_written_is_read(pointer: Pointer, name: str) -> None:
    content = encode(f"folder/{name}", pointer)
    assert decode(content) == pointer == by_yaml(content)


@given(st.integers(0, 10**9))
def test_what_is_read_without_yaml_says_the_same_by_yaml(seed: int) -> None:
    drawn = random.Random(seed)
    content = bytearray(encode("x.parquet", Pointer("a1" * 16, "0f" * 32, 1200, {"rows": "7", "key": "a: b"})))
    for _ in range(drawn.randint(1, 3)):
        content[drawn.randrange(len(content))] = drawn.choice(b'\n\t "\\:{}0a#\xc3')
    if pointers._PLAIN.fullmatch(content):
        assert decode(bytes(content)) == by_yaml(bytes(content))


def test_the_usual_pointer_is_not_left_to_yaml(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = {"rows": "1000", "run_id": "7f-1", "key": "a" * 64}
    content = encode("datasets/orders/2015-01-01.parquet", Pointer("a1" * 16, "0f" * 32, 1200, labels))
    empty = encode("x", Pointer("a1" * 16, "0f" * 32, 0))
    monkeypatch.setattr(yaml, "load", None)
    assert decode(content).metadata == labels
    assert decode(empty).metadata == {}
