"""Commands of the command line that measure: each module has a `register(app)`."""
