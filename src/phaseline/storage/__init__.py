"""Adapters of the storage port: one technology, one file or folder."""
