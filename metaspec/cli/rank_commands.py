"""Commands that several processes run together, started by the launcher of a backend's engine."""

import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from metaspec.backend.protocol import Backend
from metaspec.errors import MetaspecError
from metaspec.ranks import RankGroup, together
from metaspec.ranks.watch import EXIT


@contextmanager
def joined_ranks(B: Backend, timeout: float) -> Iterator[RankGroup]:
    """Enter the group of the processes that the launcher has started; without a launcher it is this one alone.

    An error ends a process of several at once: engines wait in their orderly end for processes that have ended.
    """
    with B.joined(timeout):
        if B.process()[1] == 1:
            yield RankGroup(B)
            return
        try:
            with together(B, timeout) as ranks:
                yield ranks
        except typer.Exit as ending:
            _leave(ending.exit_code)
        except (MetaspecError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            _leave(EXIT)
        except Exception:
            traceback.print_exc()
            _leave(EXIT)


def _leave(status: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
