"""The files of the console are ours or known ones, small, and ask for nothing elsewhere."""

from __future__ import annotations

import hashlib
import json
import posixpath
import re
from importlib.resources import files

import pytest

from phaseline.web.pages.assets import PAGE, read_assets

ASSETS = read_assets()
OURS = {name: each.body.decode() for name, each in ASSETS.items() if not name.startswith("vendor/")}
SCRIPTS = {name: text for name, text in OURS.items() if name.endswith(".js")}
VENDOR = json.loads(ASSETS["vendor/manifest.json"].body)["files"]
FRAME, PAGE_BUDGET, ALL = 80 * 1024, 80 * 1024, 128 * 1024
"""Bytes, packed: the libraries and what every page needs; what a browser loads to show any one page; all together."""
IMPORT = re.compile(
    r"""^(?:import|export) (?:[^"';]* from )?["']([^"']+)["'];$|\bimport\(["']([^"']+)["']\)""", re.MULTILINE
)
"""What is loaded with a module, and what it loads when it is asked for."""


def digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


@pytest.mark.parametrize("each", VENDOR, ids=lambda each: each["file"])
def test_what_others_wrote_is_what_they_published(each):
    """By its digest; where a line had to be changed, with that line changed back."""
    raw = ASSETS[f"vendor/{each['file']}"].body
    assert each["sha256"] == digest(raw)
    if each["change"] is not None:
        old, new = each["change"]["from"].encode(), each["change"]["to"].encode()
        assert 1 == raw.count(new)
        assert each["change"]["published_sha256"] == digest(raw.replace(new, old))


def test_what_others_wrote_is_all_in_the_manifest():
    """With a name, a version and its licence, whose text lies beside it."""
    known = {each["file"] for each in VENDOR} | {each["licence_file"] for each in VENDOR} | {"manifest.json"}
    assert known == {name.removeprefix("vendor/") for name in ASSETS if name.startswith("vendor/")}
    for each in VENDOR:
        assert each["licence"] in ("MIT", "Apache-2.0")
        assert re.fullmatch(r"\d+\.\d+\.\d+", each["version"])
        text = ASSETS[f"vendor/{each['licence_file']}"].body.decode()
        assert (
            "Apache License" if each["licence"] == "Apache-2.0" else "Permission is hereby granted"
        ) in text


def beside(name, asked):
    """The file that a module means by a relative address."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), asked))


def loaded_with(name):
    """A module, and all that is loaded with it."""
    found, waiting = set(), [name]
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            text = ASSETS[each].body.decode()
            waiting += [beside(each, asked) for asked, _ in IMPORT.findall(text) if asked]
            waiting += re.findall(r'"(vendor/[a-z]+\.css)"', text)
    return found


PAGES = [beside("js/pages.js", asked) for _, asked in IMPORT.findall(SCRIPTS["js/pages.js"]) if asked]


@pytest.mark.parametrize("page", PAGES)
def test_each_page_is_small(page):
    """All that a browser loads to show it, packed."""
    first = {PAGE, "icon.svg", *re.findall(r'href="(css/[^"]+)"', OURS[PAGE])}
    sent = {name: len(ASSETS[name].packed) for name in first | loaded_with("js/main.js") | loaded_with(page)}
    assert PAGE_BUDGET > sum(sent.values()), sent


def test_it_is_small():
    """What a browser could ask for, packed, without what is for readers alone."""
    sent = {
        name: len(each.packed)
        for name, each in ASSETS.items()
        if not name.endswith((".LICENSE", "manifest.json"))
    }
    assert ALL > sum(sent.values()), sent
    assert FRAME > sum(size for name, size in sent.items() if not name.startswith("js/pages/")), sent


@pytest.mark.parametrize("name", SCRIPTS)
def test_texts_stay_texts(name):
    """Nothing makes elements, scripts or styles of a text."""
    forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|srcdoc|javascript:|dangerously"
    assert [] == re.findall(forbidden, SCRIPTS[name])


@pytest.mark.parametrize("name", OURS)
def test_nothing_is_asked_for_elsewhere(name):
    """No address of another host, and none from the root: it works below any path."""
    text = re.sub(r'xmlns="[^"]*"', "", OURS[name])
    assert [] == re.findall(r"""https?://|url\(|@import|(?:href|src)=["']/""", text)


def test_the_page_has_no_script_or_style_of_its_own():
    """All of it lies beside it."""
    assert [] == re.findall(r"<script(?![^>]*src=)|<style|\sstyle=|\son\w+=", OURS[PAGE])


def test_each_module_is_there_and_used():
    """What is imported exists; what exists is imported."""
    used = {"js/main.js"}
    for name, text in SCRIPTS.items():
        used.update(beside(name, line or call) for line, call in IMPORT.findall(text))
    assert set() == used - {*ASSETS}
    assert set() == {*SCRIPTS} - used


def test_what_is_for_readers_is_not_sent():
    """Of our own scripts and styles; a text that is drawn keeps its lines."""
    source = (files("phaseline.web.pages") / "static" / "js" / "live.js").read_text()
    assert "/**" in source
    for name, text in OURS.items():
        if name.endswith((".js", ".css")):
            assert [] == re.findall(r"(?m)^(?: |\t|//|/\*)", text), name
    assert [] == [name for name, text in SCRIPTS.items() if re.search(r"<pre[^>]*>[^<`$]*\n", text)]
