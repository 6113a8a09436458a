"""The values that bodies take: from this process while it still has them, else decoded from the storage."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from functools import partial
from typing import Any, TypeVar

from phaseline._shell.live import LiveRun
from phaseline._shell.threads import Threads
from phaseline.abc import Storage
from phaseline.codec import ValueCodec
from phaseline.compose import Err, Skipped
from phaseline.errors import DecodeError, NoOutputError
from phaseline.plan import NodeKind, PlanNode
from phaseline.run import INPUT, PhaseRecord, PhaseState

T = TypeVar("T")
_GONE = object()
READ_AT_ONCE = 1_000
"""Outputs of items that are read with one call of the storage."""


class Values:
    """Reads what phases hand on to each other.

    Every reader gets a copy of its own, decoded from the stored text; the copy that was made when the text was
    checked goes to the first reader.
    """

    def __init__(self, storage: Storage, readers: Threads | None) -> None:
        self._storage, self._readers = storage, readers

    async def call(self, fn: Callable[[], T]) -> T:
        """Read from the storage, off the event loop if it blocks."""
        return fn() if self._readers is None else await self._readers.run(fn)

    # ------------------------------------------------------------------ what is asked for
    async def for_body(self, live: LiveRun, node: PlanNode, item: int | None) -> object:
        """Give the value that a phase takes."""
        if node.scope is not None and not node.parents:
            assert item is not None  # noqa: S101  # nodes of a map are instantiated per item
            return await self._element(live, live.snapshot.plan.nodes[node.scope], item)
        return await self._input_of(live, node, item)

    async def output(self, live: LiveRun) -> object:
        """Give the output of the run.

        Raises:
            NoOutputError: The phase that would give it was skipped and handed nothing on.
        """
        return await self.of_node(live, live.snapshot.plan.output, None)

    async def of_node(self, live: LiveRun, node: PlanNode, item: int | None) -> Any:
        """Give the output of a node that has ended."""
        path = node.at(item)
        copy = live.copies.pop(path, _GONE)
        if copy is not _GONE:
            return copy
        row = live.snapshot.rows.get(path)
        if row is None or not row.live:
            raise NoOutputError(
                live.id, f"phase {path!r} {row.reason or row.state if row else 'did not run'}"
            )
        if node.kind is NodeKind.MAP:
            return await self._joined(live, node)
        codec = live.snapshot.plan.bindings[node.index].output
        text = (await self._texts(live, (path,))).get(path)
        if text is not None:
            return codec.decode(text)
        if row.state is PhaseState.SKIPPED:
            return await self._input_of(live, node, item)
        raise DecodeError(codec.what, [f"nothing is stored at {path!r} of run {live.id}"])

    async def run_input(self, live: LiveRun, codec: ValueCodec[T]) -> T:
        """Give the input of the run."""
        texts = await self._texts(live, (INPUT,))
        return codec.decode(texts[INPUT])

    # ------------------------------------------------------------------ where it comes from
    async def _input_of(self, live: LiveRun, node: PlanNode, item: int | None) -> object:
        plan = live.snapshot.plan
        if node.parents:
            return await self.of_node(live, plan.nodes[node.parents[0]], item)
        if node.scope is not None and item is not None:
            return await self._element(live, plan.nodes[node.scope], item)
        copy = live.copies.pop(INPUT, _GONE)
        return copy if copy is not _GONE else await self.run_input(live, plan.input)

    async def _element(self, live: LiveRun, map_node: PlanNode, item: int) -> object:
        """Give one element of the list that a map takes apart; one that was taken before is decoded anew."""
        elements = live.items.get(map_node.path)
        if elements is None:
            async with live.loading:  # not once for each of the items that begin together
                elements = live.items.get(map_node.path)
                if elements is None:
                    elements = live.items[map_node.path] = await self._list_of(live, map_node)
        if elements[item] is _GONE:
            elements[item] = (await self._list_of(live, map_node))[item]
        element, elements[item] = elements[item], _GONE
        return element

    async def _list_of(self, live: LiveRun, map_node: PlanNode) -> list[Any]:
        value: Any = await self._input_of(live, map_node, None)
        return await self._in_stored_order(live, map_node) if isinstance(value, AbstractSet) else list(value)

    async def _in_stored_order(self, live: LiveRun, map_node: PlanNode) -> list[Any]:
        """Give the elements of a set in the order of its text: that of the set differs between processes."""
        plan, node = live.snapshot.plan, map_node
        while node.parents:
            node = plan.nodes[node.parents[0]]
            text = (await self._texts(live, (node.path,))).get(node.path)
            if text is not None:
                return plan.bindings[node.index].output.decode_elements(text)
            # It was skipped, and what it was given was handed on in its place.
        return plan.input.decode_elements((await self._texts(live, (INPUT,)))[INPUT])

    async def _joined(self, live: LiveRun, map_node: PlanNode) -> object:
        """Put the list of a map together from the outputs of its items, in input order."""
        plan, rows = live.snapshot.plan, live.snapshot.rows
        assert map_node.exit is not None  # noqa: S101  # maps have one
        exit_node = plan.nodes[map_node.exit]
        total = live.snapshot.items[map_node.path].total
        paths = [exit_node.at(item) for item in range(total)]
        kept = [path for path in paths if (row := rows.get(path)) is not None and row.live]
        texts = await self._texts(live, kept)
        codec = plan.bindings[map_node.index].output
        if map_node.on_error == "fail":
            return codec.decode_items([texts[path] for path in kept])
        return codec.decode_items(
            [_collected(_last_row(live, map_node, i), texts.get(p)) for i, p in enumerate(paths)]
        )

    async def _texts(self, live: LiveRun, paths: Sequence[str]) -> Mapping[str, str]:
        run = live.snapshot.run
        found: dict[str, str] = {}
        for start in range(0, len(paths), READ_AT_ONCE):
            part = paths[start : start + READ_AT_ONCE]
            found.update(await self.call(partial(self._storage.values, run.namespace, run.id, part)))
        return found


def _last_row(live: LiveRun, map_node: PlanNode, item: int) -> PhaseRecord:
    """The row that tells how an item ended: the one that failed, else the item's last."""
    plan, rows = live.snapshot.plan, live.snapshot.rows
    assert map_node.exit is not None  # noqa: S101  # maps have one
    exit_row = rows.get(plan.nodes[map_node.exit].at(item))
    if exit_row is not None:
        return exit_row
    inside = (rows.get(node.at(item)) for node in plan.nodes if node.scope == map_node.index)
    return next(row for row in inside if row is not None and row.state is PhaseState.FAILED)


def _collected(row: PhaseRecord, text: str | None) -> str:
    """Encode one element of a collecting map's list: an Ok, an Err or a Skipped."""
    if row.state is PhaseState.COMPLETED or text is not None:
        return f'{{"status":"ok","value":{text}}}'
    if row.error is not None:
        return Err.of(row.error).model_dump_json()
    return Skipped(reason=row.reason).model_dump_json()
