"""Measures phaseline beside its peers: ``python -m benchmarks --help``."""
