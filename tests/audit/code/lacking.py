"""Needs what nobody has."""

import no_such_framework  # noqa: F401


def step(params, tasks):  # type: ignore[no-untyped-def]
    return params
