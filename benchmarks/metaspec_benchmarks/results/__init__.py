"""The trainings whose figures docs/results.md shows; `python -m metaspec_benchmarks.results --help`."""
