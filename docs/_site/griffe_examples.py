"""Examples of docstrings as code: they are headed `Example:`, which Griffe takes for a box of text."""

from typing import Any

import griffe


class ExamplesAsCode(griffe.Extension):
    """Gives the heading the name that Griffe knows."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Change the docstring of an object that was loaded."""
        if obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
