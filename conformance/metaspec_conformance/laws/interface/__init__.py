"""Laws of the public functions: choice of the backend, formats, parameter trees, purity and errors."""
