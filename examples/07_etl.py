"""Extract, transform, load: rows that cannot be read are set aside, the others are written together with the phase's own commit.

The first attempt to load fails after it has written. Its rows are taken back with it, so that nothing is there twice.
"""

from __future__ import annotations

from datetime import timedelta

import anyio
from sqlalchemy import create_engine, text

from phaseline import Context, Err, Ok, Pipeline, Retry, Runtime, Skipped, each, phase

DATABASE = "sqlite:///sales.db"  # of the application and of its runs
SALES = """\
apples;12
pears;many
plums;30"""


@phase
def extract(source: str) -> list[str]:
    return source.splitlines()


@phase
def transform(line: str) -> tuple[str, int]:
    fruit, _, count = line.partition(";")
    return fruit, int(count)


@phase(transactional=True, retry=Retry(attempts=2, wait=timedelta(milliseconds=10)))
def load(rows: list[Ok[tuple[str, int]] | Err | Skipped], ctx: Context) -> int:
    good = [{"fruit": row.value[0], "count": row.value[1]} for row in rows if isinstance(row, Ok)]
    ctx.connection.execute(text("INSERT INTO sales VALUES (:fruit, :count)"), good)
    print(f"attempt {ctx.attempt}: {len(good)} rows written, {len(rows) - len(good)} set aside")
    if ctx.attempt == 1:
        raise OSError("the machine lost its breath")
    return len(good)


sales = Pipeline("sales", extract >> each(transform, limit=100, on_error="collect") >> load)


async def main() -> None:
    async with Runtime(DATABASE, pipelines=[sales]) as runtime:
        print("loaded:", await (await runtime.start(sales, SALES)).result())


if __name__ == "__main__":
    engine = create_engine(DATABASE)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE sales (fruit text, count integer)"))
    anyio.run(main)
    with engine.connect() as connection:
        print(connection.execute(text("SELECT * FROM sales")).all())
    engine.dispose()
