"""Whole applications built with phaseline's public API alone."""
