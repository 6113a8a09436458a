"""What a storage must bear: much at once, and any text."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from msgspec.structs import replace

from phaseline.abc import HeldPhase, Storage, WorkerRecord
from phaseline.events import CheckpointCreated, Emitted, PhaseFailed, PhaseSkipped, PhaseStarted, Transition
from phaseline.rows import Checkpoint, Definition, ErrorInfo, PhaseState, Progress
from phaseline.testing.storage.base import (
    COMMITTED,
    FENCED,
    PLENTY,
    STALE,
    StorageTests,
    ask,
    read,
    write,
)
from phaseline.testing.storage.build import (
    ERROR,
    NAMESPACE,
    NOW,
    Take,
    make_phase,
    make_run,
    make_unit,
    new_run,
    paths_of,
)
from phaseline.unit_of_work import StepResult

ROWS = 10_000
PATHS = 3_000
UNKNOWN = 40_000
"""More than a statement may have parameters, in SQLite and PostgreSQL."""
UNITS = 500
CLAIM = 64

TEXTS = {
    "quotes": """it's "quoted" `so` [and] $$so$$ E'\\'' ''""",
    "sql": "'); DROP TABLE run; -- /* ; */ %s %(name)s :name ? ?1 $1 {x} {{",
    "wildcards": "% _ * ? \\ [a-z] ^ \\% \\_",
    "unicode": "Grüße, мир, 世界, עברית, \N{SNOWMAN}\N{GRINNING FACE}\N{COMBINING ACUTE ACCENT}\U0010fffd\ue000\ufffe",
    "case": "\u0130\u0131\u017f\u00df\u1e9e\u212a",  # letters whose other case is longer, or another letter's
    "control": "\x01\x02\t\n\r\x0b\x1b\x7f\x85\u2028\u2029\ufeff ",
    "spaces": "  leading and trailing  ",
    "number": "00012e3",  # not a number
    "json": '{"a": [null, "\\u0000"]}',
    "long": "long-" * 40,
}
"""Keys are short in every storage, so the longest has 200 characters; what is no key may have many more."""
LONG = 100_000


class Limits(StorageTests):
    """Volume and text."""

    # ------------------------------------------------------------------ volume
    def test_a_run_of_ten_thousand_rows(self, storage: Storage) -> None:
        """It is written, loaded and claimed from like a small one."""
        rows = [make_phase(f"map[{n}]", position=n) for n in range(ROWS)]
        write(storage, make_unit(make_run(), inserted=rows))
        assert read(storage)[1] == rows
        take = Take()
        claimed = ask(storage, take, limit=CLAIM)
        assert (len(take.paths), claimed.waiting) == (CLAIM, rows[0].priority)
        best = sorted(paths_of(rows))[:CLAIM]
        assert take.paths == [("run", path) for path in best]

    def test_ten_thousand_rows_change_at_once(self, storage: Storage) -> None:
        """As when a run fails or is cancelled; one lost fence among them refuses all."""
        rows = [make_phase(f"map[{n}]", PhaseState.RUNNING, position=n) for n in range(ROWS)]
        write(storage, make_unit(make_run(), inserted=rows))
        ended = [make_phase(row.path, PhaseState.SKIPPED, position=row.position, fence=2) for row in rows]
        updated = [(row, 1) for row in ended]
        refused = [*updated[:-1], (ended[-1], 2)]
        assert storage.commit([make_unit(make_run(revision=2), updated=refused)]) == [FENCED]
        assert read(storage)[1] == rows
        write(storage, make_unit(make_run(revision=2), updated=updated))
        assert read(storage)[1] == ended

    def test_thousands_of_outputs_are_read_at_once(self, storage: Storage) -> None:
        """As when the items of a map are joined."""
        rows = [make_phase(f"map[{n}]", PhaseState.COMPLETED, position=n) for n in range(ROWS)]
        outputs = {row.path: f'{{"n":{row.position}}}' for row in rows}
        write(storage, make_unit(make_run(), inserted=rows, outputs=outputs))
        some = dict(list(outputs.items())[-PATHS:])
        asked = [*some, *(f"unknown[{n}]" for n in range(UNKNOWN))]
        assert dict(storage.values(NAMESPACE, "run", asked)) == some
        assert dict(storage.values(NAMESPACE, "run", outputs)) == outputs

    def test_hundreds_of_units_at_once(self, storage: Storage) -> None:
        """A batch of many runs is one call, and outcomes stay with their units."""
        runs = [f"run-{n}" for n in range(UNITS)]
        write(storage, *(new_run(run_id, make_phase("a", PhaseState.RUNNING)) for run_id in runs))
        bad = {n: STALE if n % 2 else FENCED for n in range(7, UNITS, 50)}
        units = [
            make_unit(
                make_run(run_id, revision=2, seq=1),
                expected=5 if bad.get(n) is STALE else 1,
                updated=[(make_phase("a", PhaseState.COMPLETED, fence=2), 9 if bad.get(n) is FENCED else 1)],
                outputs={"a": str(n)},
                events=[
                    Emitted(run_id=run_id, pipeline="pipeline", seq=1, at=NOW, name="E", payload={"n": n})
                ],
            )
            for n, run_id in enumerate(runs)
        ]
        assert storage.commit(units) == [bad.get(n, COMMITTED) for n in range(UNITS)]
        for n, run_id in enumerate(runs):
            assert dict(storage.values(NAMESPACE, run_id, ["a"])) == ({} if n in bad else {"a": str(n)})

    def test_a_thousand_events_in_one_unit(self, storage: Storage) -> None:
        """All of them are stored, in order."""
        events = [
            Emitted(run_id="run", pipeline="pipeline", seq=n, at=NOW, name="E", payload={"n": n})
            for n in range(1, PLENTY + 1)
        ]
        write(storage, make_unit(make_run(seq=PLENTY), events=events))
        assert list(storage.events(NAMESPACE, "run", 0, PLENTY)) == events

    def test_a_large_output(self, storage: Storage) -> None:
        """Outputs, inputs and results of steps may have megabytes."""
        text = '"' + "\N{SNOWMAN}x" * 1_000_000 + '"'
        unit = make_unit(
            make_run(),
            inserted=[make_phase("a", PhaseState.COMPLETED)],
            outputs={"a": text},
            steps=[StepResult("a", 0, "key", text)],
        )
        write(storage, replace(unit, input=text))
        assert dict(storage.values(NAMESPACE, "run", ["", "a"])) == {"": text, "a": text}
        assert dict(storage.steps(NAMESPACE, "run", "a", 0)) == {"key": text}

    # ------------------------------------------------------------------ text
    @pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
    def test_any_text_in_any_place(self, storage: Storage, text: str) -> None:
        """Whatever a text holds but NUL and lone surrogates, it is data: it reads back, is found, and does nothing."""
        much = text * (LONG // len(text))
        error = ErrorInfo(category=ERROR.category, type=much, message=much, phase=text, traceback=much)
        waits = make_phase(text, queue=text, reason=much, error=error)
        runs = make_phase(
            f"{text}[1]", PhaseState.RUNNING, position=1, queue=text, worker=text,
            progress=Progress(done=1, note=much),
        )  # fmt: skip
        done = make_phase(f"{text}/{text}", PhaseState.COMPLETED, position=2, queue=text)
        common: dict[str, Any] = {"run_id": text, "pipeline": text, "at": NOW, "phase": text}
        events = [
            CheckpointCreated(**common, seq=1, checkpoint=text, revision=1),
            Emitted(**common, seq=2, name=text, payload={text: [much]}, transition=Transition(text, text)),
            PhaseStarted(**common, seq=3, attempt=1, fence=1, worker=text),
            PhaseSkipped(**common, seq=4, reason=much, paths=(text, much)),
            PhaseFailed(**common, seq=5, attempt=1, error=error),
        ]
        run = make_run(text, namespace=text, pipeline=text, version=text, fingerprint=text, state=text, seq=5)
        unit = make_unit(
            run,
            inserted=[waits, runs, done],
            outputs={done.path: much},
            events=events,
            steps=[StepResult(text, 0, text, much)],
        )
        write(storage, replace(unit, input=much), new_run("bystander", make_phase("a")))

        assert read(storage, text, text) == (run, [waits, runs, done])
        assert dict(storage.values(text, text, ["", text, done.path])) == {"": much, done.path: much}
        assert list(storage.events(text, text, 0, PLENTY)) == events
        assert list(storage.checkpoints(text, text)) == [Checkpoint(text, text, 1, 0, NOW)]
        assert dict(storage.steps(text, text, text, 0)) == {text: much}
        worker = WorkerRecord(
            id=text, namespace=text, host=text, pid=1, process_started=text, seen_at=NOW
        )  # fmt: skip
        assert list(storage.enlist(worker)) == []
        assert list(storage.enlist(attrs.evolve(worker, id="other"))) == [worker]
        assert len(storage.renew(text, text, NOW, NOW)) == 1
        assert list(storage.lost(text, NOW, [text], [Definition(text, text, text)], 1)) == [
            HeldPhase(text, runs.path, 1)
        ]
        take = Take(text)
        ask(
            storage,
            take,
            namespace=text,
            queues=frozenset({text}),
            definitions=frozenset({Definition(text, text, text)}),
        )
        assert take.paths == [(text, text)]
        storage.retire(text, text)
        failed = make_run(
            text, namespace=text, pipeline=text, version=text, fingerprint=text, state="FAILED", error=error,
            revision=3, seq=6,
        )  # fmt: skip
        write(storage, make_unit(failed))
        assert storage.head(text, text) == failed
        assert read(storage, "bystander") == (make_run("bystander"), [make_phase("a")])

    def test_texts_are_told_apart_to_the_letter(self, storage: Storage) -> None:
        """Case, accents, trailing spaces and forms of one letter make other ids, paths and keys."""
        names = [
            "a",
            "A",
            "a ",
            " a",
            "á",
            "a\u0301",
            "\N{FULLWIDTH LATIN SMALL LETTER A}",
            "a\x01",
            "a%",
            "a_",
        ]
        units = [
            make_unit(
                make_run(name),
                inserted=[make_phase(path, PhaseState.COMPLETED, position=n) for n, path in enumerate(names)],
                outputs={path: f'"{name}|{path}"' for path in names},
                steps=[StepResult("a", 0, path, f'"{path}"') for path in names],
            )
            for name in names
        ]
        write(storage, *units)
        for name in names:
            outputs = {path: f'"{name}|{path}"' for path in names}
            assert dict(storage.values(NAMESPACE, name, names)) == outputs
            assert {path: storage.values(NAMESPACE, name, [path])[path] for path in names} == outputs
            assert dict(storage.steps(NAMESPACE, name, "a", 0)) == {path: f'"{path}"' for path in names}

    def test_claims_follow_the_order_of_code_points(self, storage: Storage) -> None:
        """Ids and paths are compared as plain text, as Python does, in no language's order."""
        names = ["Z", "a", "B", "é", "z", "_", "10", "9", "\uffee", "\N{GRINNING FACE}"]
        write(storage, *(new_run(name, make_phase("p")) for name in names))
        take = Take()
        ask(storage, take)
        assert take.paths == [(name, "p") for name in sorted(names)]
