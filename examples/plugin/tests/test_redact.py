"""The plugin as its users meet it: installed, found by name, run in a pipeline."""

from __future__ import annotations

from phaseline import Pipeline, plugins, templates


def test_it_is_found_by_name() -> None:
    """The installed package offers the phase."""
    offered = plugins.phases()
    assert [plugin.package for plugin in offered.installed["redact"]] == ["phaseline-redact"]
    assert offered.load().errors == ()


def test_it_blacks_words_out() -> None:
    """The phase does its work in a pipeline of somebody else's."""
    redact = plugins.phases()["redact"]
    pipeline = Pipeline("publish", redact(words=["secret"]))
    assert pipeline.run_sync("The Secret is not secretive").output == "The ██████ is not secretive"


def test_a_template_names_it() -> None:
    """Whoever has the package can write the phase into a template."""
    text = 'name = "publish"\nsteps = [{ phase = "redact", with = { words = ["secret"] } }]'
    pipeline = templates.loads(text, input=str, output=str)
    assert pipeline.run_sync("a secret").output == "a ██████"
