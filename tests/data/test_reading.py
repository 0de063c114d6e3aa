"""Reading of files that may be anything: regular files of a bounded size, and JSON of a bounded depth."""

import json
import os

import pytest

from metaspec.reading import DEEPEST, parsed_json, read_regular
from tests.training.attacks import nested


def test_a_link_is_followed_where_that_is_asked_for(tmp_path):
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "file", 7) == read_regular(tmp_path / "link", 7, follow=True) == b"content"
    with pytest.raises(OSError, match="it is a link, and links are not followed here"):
        read_regular(tmp_path / "link", 7)


def test_what_is_no_regular_file_of_that_size_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 2**40)
    for name, limit, message in (
        ("pipe", 9, "a pipe or a device"),
        ("/dev/zero", 9, "a pipe or a device"),
        (".", 9, "it is a folder, expected a file"),
        ("large", 2**30, "it has 1099511627776 bytes, expected at most 1073741824"),
        ("nowhere", 9, "No such file"),
        ("a\0b", 9, "null"),
    ):
        with pytest.raises(OSError, match=message) as caught:
            read_regular(tmp_path / name, limit)
        assert caught.value.strerror, name
        assert caught.value.filename == str(tmp_path / name)


def test_files_are_closed(tmp_path):
    (tmp_path / "file").touch()
    before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    for name in ("file", ".", "nowhere"):
        try:
            read_regular(tmp_path / name, 9)
        except OSError:
            continue
    assert len(os.listdir("/proc/self/fd")) == len(before) if before else True


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json.dumps(nested(DEEPEST)).encode(), f"more than {DEEPEST} levels"),
        (b"[" * 10**6, f"more than {DEEPEST} levels"),
        (b'{"a": {"b": 1, "b": 2}}', "a key is given twice"),
        (b"\xff\xfe{\x00}\x00", "can't decode byte"),
        (b"9" * 5000, "digits"),
        (b"[1,", "Expecting value"),
        (b"", "Expecting value"),
        (b'"' + b'\\"' * 10**5, "Unterminated string"),
    ],
)
def test_json_that_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        parsed_json(content)


@pytest.mark.parametrize(
    "value", [nested(DEEPEST - 1), {"[[[" * 99: '\\"{{{' * 99}, 3, None, "é[", [{}, [], [{}]] * 99]
)
def test_json_that_is_read(value):
    assert parsed_json(json.dumps(value).encode()) == value
    assert parsed_json(json.dumps(value, ensure_ascii=False).encode()) == value
