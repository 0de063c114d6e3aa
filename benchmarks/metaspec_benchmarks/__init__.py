"""Meta-gradients timed side by side: metaspec on each backend, the libraries in use, hand-written code."""
