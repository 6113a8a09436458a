"""Flask, or any host without an event loop: its threads start runs and ask about them, and one more thread carries them forward.

pip install phaseline flask
"""

from __future__ import annotations

from typing import Any

from flask import Flask, request

from phaseline import Pipeline, Runtime, phase
from phaseline.errors import CommandRefusedError, RunNotFoundError
from phaseline.sync import SyncRuntime


@phase
def greet(name: str) -> str:
    return f"Hello, {name}"


greetings = Pipeline("greetings", greet)


def create_app(runtime: SyncRuntime) -> Flask:
    """Make the application."""
    app = Flask(__name__)

    @app.post("/greetings")
    def start() -> tuple[dict[str, str], int]:
        handle = runtime.start(greetings, request.get_json()["name"])
        return {"id": handle.id}, 202

    @app.get("/greetings/<run_id>")
    def show(run_id: str) -> dict[str, Any]:
        run = runtime.get(run_id, greetings).wait()
        return {"state": run.state, "greeting": run.output}

    @app.post("/greetings/<run_id>/cancel")
    def cancel(run_id: str) -> tuple[dict[str, str], int]:
        runtime.get(run_id).cancel()
        return {}, 204

    app.register_error_handler(RunNotFoundError, lambda error: ({"error": str(error)}, 404))
    app.register_error_handler(CommandRefusedError, lambda error: ({"error": str(error)}, 409))
    return app


def main() -> None:
    with SyncRuntime(Runtime("sqlite:///greetings.db", pipelines=[greetings])) as runtime:
        client = create_app(runtime).test_client()
        run_id = client.post("/greetings", json={"name": "Bob"}).get_json()["id"]
        print(client.get(f"/greetings/{run_id}").get_json())
        print(client.post(f"/greetings/{run_id}/cancel").status_code)
        print(client.get("/greetings/unknown").status_code)


if __name__ == "__main__":
    main()
