"""Runs in a SQL database, through SQLAlchemy Core on a sync engine."""
