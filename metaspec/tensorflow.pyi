from typing import Any

from metaspec import *
from metaspec.protocol import Backend

backend: Backend
xp: Any
