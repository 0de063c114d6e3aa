"""Random damages and forgeries of checkpoints and run folders. Each is a function of (random numbers, folder)."""

import hashlib
import json
import os
import shutil
import struct

ODD_VALUES = [
    None,
    True,
    False,
    -1,
    0,
    1,
    3,
    2**63,
    10**400,
    -(10**30),
    0.5,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "3",
    "\ud800",
    "\0",
    "../../etc/passwd",
    [],
    {},
    [[]],
    [1, 2, 3],
    ["a", None],
    {"mean": 1.0},
    {"mean": "x", "half_width": None},
    {"": {"": []}},
]


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def places(value, path=()):
    """Every path in a JSON value, the empty one first."""
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in entries:
        yield from places(entry, (*path, key))


def mutated(rng, value):
    """A copy of a JSON value with one to three entries replaced, removed, doubled or added."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.integers(1, 4)):
        path = list(places(value))[1:]
        if not path:
            return value
        *above, last = path[rng.integers(len(path))]
        holder = value
        for key in above:
            holder = holder[key]
        odd = ODD_VALUES[rng.integers(len(ODD_VALUES))] if rng.random() < 0.9 else nested(int(rng.integers(1, 90)))
        what = rng.integers(4)
        if what == 0:
            del holder[last]
        elif what == 1 and isinstance(holder, list):
            holder.insert(last, holder[last])
        elif what == 2 and isinstance(holder, dict):
            holder["added" if rng.random() < 0.5 else ["steps", "best", "format"][rng.integers(3)]] = odd
        else:
            holder[last] = odd
    return value


def damaged_bytes(rng, content):
    """Bytes with something flipped, cut, overwritten, doubled or put in their place."""
    content, what = bytearray(content), rng.integers(9)
    at = int(rng.integers(max(len(content), 1)))
    if rng.random() < 0.5:  # the values of arrays lie at the end
        at = max(len(content) - 1 - int(rng.integers(200)), 0)
    if what == 0 and content:
        content[at] ^= 1 << int(rng.integers(8))
    elif what == 1:
        content = content[:at]
    elif what == 2:
        content[at : at + 64] = bytes(len(content[at : at + 64]))
    elif what == 3:
        content += rng.bytes(int(rng.integers(1, 100)))
    elif what == 4:
        content[at:at] = rng.bytes(int(rng.integers(1, 40)))
    elif what == 5:
        content = bytearray(rng.bytes(int(rng.integers(0, 3000))))
    elif what == 6:
        content = bytearray([b"", b"null", b"[]", b"{}", b"\xff\xfe", b'{"a":1,"a":2}', b"9" * 9000][rng.integers(7)])
    elif what == 7:
        content = bytearray([b"[", b'{"a":', b"[{}, "][rng.integers(3)] * int(rng.integers(1, 20000)))
    else:
        other = int(rng.integers(max(len(content), 1)))
        content = content[other:] + content[:other]
    return bytes(content)


def odd_file(rng, path):
    """A link, a pipe, a folder, a device or nothing in the place of a file or folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    what = rng.integers(8)
    if what == 0:
        os.mkfifo(path)
    elif what == 1:
        path.mkdir()
    elif what == 2:
        path.symlink_to(path.name)
    elif what < 6:
        path.symlink_to(["/dev/zero", "/etc/passwd", "/nowhere"][what - 3])
    elif what == 6:
        path.write_bytes(b"")


def digest(description):
    return hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()


def forged(folder, change, arrays=None):
    """Rewrites a checkpoint with the digests that belong to its new content."""
    file = folder / "state.json"
    description = json.loads(file.read_bytes())
    description.pop("digest")
    if arrays is not None:
        (folder / "state.safetensors").write_bytes(arrays)
        description["arrays"] = {"bytes": len(arrays), "sha256": hashlib.sha256(arrays).hexdigest()}
    description = change(description)
    if isinstance(description, dict):
        description["digest"] = digest(description)
    file.write_text(json.dumps(description))


def safetensors_bytes(header, data):
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(content)) + content + data


def parsed_safetensors(content):
    size = struct.unpack("<Q", content[:8])[0]
    return json.loads(content[8 : 8 + size]), content[8 + size :]


def forged_header(rng, content):
    """A safetensors file with another header: mutated, of another length, or of arrays that are not there."""
    header, data = parsed_safetensors(content)
    what = rng.integers(7)
    if what == 0:
        return struct.pack("<Q", int(rng.integers(1 << 62))) + content[8:]
    if what == 1:
        return content[:8] + damaged_bytes(rng, content[8:])
    if what == 2:
        name = sorted(header)[rng.integers(len(header))]
        header[name]["shape"] = [[10**12, 10**6], [2**64], [-1], [0, 2**40], [1] * 70, []][rng.integers(6)]
    elif what == 3:
        name = sorted(header)[rng.integers(len(header))]
        header[name]["dtype"] = ["F64", "BF16", "F8_E4M3", "F99", "BOOL", "I32", "C64"][rng.integers(7)]
    elif what == 4:
        name = sorted(header)[rng.integers(len(header))]
        header[["strange", "history/x", "best/w9", "params/"][rng.integers(4)]] = header.pop(name)
    elif what == 5:
        header, data = {"history/query_loss": {"dtype": "F64", "shape": [0], "data_offsets": [0, 0]}}, b""
    else:
        header = mutated(rng, header)
    return safetensors_bytes(header, data)
