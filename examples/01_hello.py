"""A pipeline of two phases, run in memory: the value goes through, and the run tells what happened."""

from __future__ import annotations

from phaseline import Pipeline, phase


@phase
def normalise(name: str) -> str:
    return name.strip().title()


@phase
async def greet(name: str) -> str:
    return f"Hello, {name}!"


hello = Pipeline("hello", normalise >> greet)


def main() -> None:
    run = hello.run_sync("  ada lovelace ")
    print(run.output)
    print(" > ".join(run.states))
    for path, row in run.phases.items():
        print(f"{path}: {row.state}, attempt {row.attempt}")


if __name__ == "__main__":
    main()
