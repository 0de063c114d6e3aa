"""Why a law stays that sees none of the seeded faults."""

JUSTIFIED: dict[str, str] = {}
