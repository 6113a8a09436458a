"""Flask, or any host without an event loop: its threads start runs and ask about them, and one more thread carries them forward.

pip install phaseline flask
"""

from __future__ import annotations

from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal
from flask import Flask, request

from phaseline import Pipeline, Runtime, phase
from phaseline.errors import CommandRefusedError, RunNotFoundError


@phase
def greet(name: str) -> str:
    return f"Hello, {name}"


greetings = Pipeline("greetings", greet)


def create_app(runtime: Runtime, portal: BlockingPortal) -> Flask:
    """Make the application; ``portal`` is the thread with the event loop on which the runtime is open."""
    app = Flask(__name__)

    @app.post("/greetings")
    def start() -> tuple[dict[str, str], int]:
        handle = portal.call(runtime.start, greetings, request.get_json()["name"])
        return {"id": handle.id}, 202

    @app.get("/greetings/<run_id>")
    def show(run_id: str) -> dict[str, Any]:
        run = portal.call(portal.call(runtime.get, run_id, greetings).wait)
        return {"state": run.state, "greeting": run.output}

    @app.post("/greetings/<run_id>/cancel")
    def cancel(run_id: str) -> tuple[dict[str, str], int]:
        portal.call(portal.call(runtime.get, run_id).cancel)
        return {}, 204

    app.register_error_handler(RunNotFoundError, lambda error: ({"error": str(error)}, 404))
    app.register_error_handler(CommandRefusedError, lambda error: ({"error": str(error)}, 409))
    return app


def main() -> None:
    runtime = Runtime("sqlite:///greetings.db", pipelines=[greetings])
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(runtime):
        client = create_app(runtime, portal).test_client()
        run_id = client.post("/greetings", json={"name": "Bob"}).get_json()["id"]
        print(client.get(f"/greetings/{run_id}").get_json())
        print(client.post(f"/greetings/{run_id}/cancel").status_code)
        print(client.get("/greetings/unknown").status_code)


if __name__ == "__main__":
    main()
