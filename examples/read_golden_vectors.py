"""Check MAML and FO-MAML in plain floats against tanh_network.json, one of metaspec's golden vectors (the argument)."""

import cmath
import json
import sys
from pathlib import Path


def rows(array: dict) -> list[list[float]]:
    n, values = array["shape"][0], [float(x) for x in array["values"]]
    return [values[e * len(values) // n : (e + 1) * len(values) // n] for e in range(n)]


def tanh_network(v: list, params: dict, batch: dict) -> complex:  # mean of (f(x_e) - y_e)^2 over examples and outputs
    entries, squares, depth = iter(v), [], sum(name.startswith("w") for name in params)
    p = {name: [next(entries) for _ in params[name]["values"]] for name in sorted(params)}
    for x, y in zip(rows(batch["x"]), rows(batch["y"]), strict=True):
        for k in range(depth):
            w, b = p[f"w{k}"], p[f"b{k}"]
            x = [sum(a * s for a, s in zip(x, w[j :: len(b)], strict=True)) + b[j] for j in range(len(b))]
            x = [cmath.tanh(z) for z in x] if k < depth - 1 else x
        squares += [(a - b) ** 2 for a, b in zip(x, y, strict=True)]
    return sum(squares) / len(squares)


def gradient(v: list, params: dict, batch: dict) -> list[float]:  # by complex steps, exact to roundoff
    return [tanh_network([*v[:i], v[i] + 1e-30j, *v[i + 1 :]], params, batch).imag / 1e-30 for i in range(len(v))]


def delta(params: dict, task: dict, name: str, steps: int, lr: dict[str, dict] | str) -> list[float]:
    leaves = [(k, float(x)) for k in sorted(params) for x in params[k]["values"]]
    rates = [float(lr if isinstance(lr, str) else lr[k]["values"][0]) for k, _ in leaves]  # lr: a number, or one a leaf
    path, S = [[x for _, x in leaves]], task["support"]
    for _ in range(steps):
        g = gradient(path[-1], params, S)
        path.append([t - r * g for t, r, g in zip(path[-1], rates, g, strict=True)])
    u = gradient(path.pop(), params, task["query"])
    for theta in reversed(path if name == "MAML" else []):  # u - H (lr u), H by differences, good to about 12 digits
        moved = [[t + s * r * x / 1024 for t, r, x in zip(theta, rates, u, strict=True)] for s in (-2, -1, 1, 2)]
        g = zip(u, *(gradient(v, params, S) for v in moved), strict=True)
        u = [x - (a - 8 * b + 8 * c - d) * 1024 / 12 for x, a, b, c, d in g]
    return u


for vector in json.loads(Path(sys.argv[1]).read_text())["vectors"]:
    if vector["algorithm"]["name"] in ("MAML", "FOMAML") and "rule" not in vector["algorithm"]:
        tasks = [delta(vector["params"], task, **vector["algorithm"]) for task in vector["tasks"]]
        expected = [float(x) for _, leaf in sorted(vector["expected"]["delta"].items()) for x in leaf["values"]]
        error = max(abs(sum(d) / len(d) - x) for x, *d in zip(expected, *tasks, strict=True)) / max(map(abs, expected))
        print(f"{vector['id']:35} {-cmath.log10(max(error, 1e-16)).real:5.1f} digits agree")
