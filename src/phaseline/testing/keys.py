"""Idempotency keys, as bodies wrote them down: an outside effect that bears one is to happen once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from phaseline.testing.accounts import Effect
from phaseline.testing.stored import StoredRun


def of_all(stored: Mapping[str, StoredRun], effects: Sequence[Effect]) -> Iterator[str]:
    """No two phases have one key, and one phase has another one only where its output was undone or redone."""
    owners: dict[str, tuple[str, str]] = {}
    keys: dict[tuple[str, str], set[str]] = {}
    for effect in effects:
        if effect.key is None:
            continue
        place = effect.run_id, effect.phase
        owner = owners.setdefault(effect.key, place)
        if owner != place:
            yield f"run {effect.run_id}: {effect.phase!r} has the key {effect.key!r} of {owner[1]!r} of run {owner[0]}"
        keys.setdefault(place, set()).add(effect.key)
    for (run_id, path), found in keys.items():
        account = stored.get(run_id)
        row = None if account is None else account.rows.get(path)
        if row is not None and len(found) > row.generation + 1:
            yield f"run {run_id}: {path!r} had the keys {sorted(found)}, and is of generation {row.generation}"
