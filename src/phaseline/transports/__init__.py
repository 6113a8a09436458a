"""Transports of events, one technology each."""
