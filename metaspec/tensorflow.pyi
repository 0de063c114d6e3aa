from metaspec import *
from metaspec.protocol import Backend
from typing import Any

backend: Backend
xp: Any
