"""What a database says went wrong, in our words: translated where it enters."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from phaseline.storage.sql.dialect import Dialect


@contextmanager
def translated(dialect: Dialect) -> Generator[None]:
    """Turn what the driver raises into errors of ours; a broken constraint is left to the caller."""
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        cause = error.orig or error
        is_outage = error.connection_invalidated or not dialect.is_refusal(cause)
        raise (dialect.unavailable(cause) if is_outage else dialect.refused(cause)) from error
    except PoolTimeout as error:
        raise dialect.unavailable(error) from error
    except dialect.driver_error as error:
        raise (dialect.refused(error) if dialect.is_refusal(error) else dialect.unavailable(error)) from error
