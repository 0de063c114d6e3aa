"""`python -m metaspec_conformance.kinks`: print docs/kinks.md, measured anew on the four backends."""

from metaspec_conformance.kinks.kink_document import BACKENDS, document
from metaspec_conformance.kinks.kink_measurements import measure_all

if __name__ == "__main__":
    print(document(measure_all(BACKENDS)), end="")
