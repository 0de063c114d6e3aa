"""The trainings whose figures docs/results.md shows; `python -m metaspec.benchmarks.results --help`."""
