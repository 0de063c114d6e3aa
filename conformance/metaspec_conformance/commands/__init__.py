"""Commands of the command line that check: each module has a `register(app)`."""
