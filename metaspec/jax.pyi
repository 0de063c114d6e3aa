from typing import Any

from metaspec import *
from metaspec.backend.protocol import Backend

backend: Backend
xp: Any
