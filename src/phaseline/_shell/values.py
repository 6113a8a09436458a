"""The values that bodies take: from this process while it still has them, else decoded from the storage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from pydantic_core import to_json

from phaseline._definition.compose import Err, Ok, Skipped
from phaseline._definition.edges import Edge, Gather, Given, Merge, Race, Source
from phaseline._definition.plan import Items, NodeKind, PlanNode
from phaseline._definition.step import Wait
from phaseline._engine.liveness import first_live
from phaseline._shell.live import LARGE, Job, LiveRun, Stored
from phaseline._shell.threads import OffLoop
from phaseline._values.codec import ValueCodec
from phaseline.abc import Storage
from phaseline.errors import DecodeError, NoOutputError
from phaseline.rows import FINISHED, INPUT, PhaseRecord, PhaseState
from phaseline.unit_of_work import KEPT

T = TypeVar("T")
_GONE = object()
READ_AT_ONCE = 1_000
"""Outputs of items that are read with one call of the storage."""
_STORING = frozenset({NodeKind.PHASE, NodeKind.CHILD})
"""Kinds of which an output is the text that is stored at their path."""
_Texts = Mapping[str, str]


class Values:
    """Reads what phases hand on to each other.

    Every reader gets a copy of its own, decoded from the stored text; the copy that was made when the text was
    checked goes to the first reader.
    """

    def __init__(self, storage: Storage, off_loop: OffLoop) -> None:
        self._storage, self._off_loop = storage, off_loop

    # ------------------------------------------------------------------ what is asked for
    async def for_job(self, job: Job) -> Any:
        """Give the value that a body takes."""
        if job.binding.undoes:
            return await self._undone(job)
        return await self.for_node(job.live, job.node, job.items, job)

    async def _undone(self, job: Job) -> tuple[Any, ...]:
        """Give what a phase took and what it gave: its output, or, where it ended the run, that of the run."""
        live, plan = job.live, job.live.snapshot.plan
        node = plan.nodes[job.node.index]
        value = await self.for_node(live, node, job.items)
        given = value if plan.bindings[node.index].is_spread else (value,)
        return *given, await self.of_node(live, node, job.items)

    async def for_node(self, live: LiveRun, node: PlanNode, items: Items, job: Job | None = None) -> Any:
        """Give the value that a node takes; ``job``, if it is for a body, learns how it is stored."""
        source = node.source
        if isinstance(source, Race):
            source = source.parts[await self._winner(live, node, items)]
        return await self._from(live, source, node.scope, items, job=job)

    async def output(self, live: LiveRun) -> object:
        """Give the output of the run.

        Raises:
            NoOutputError: The phase that would give it was skipped and handed nothing on.
        """
        plan = live.snapshot.plan
        early = _finisher(live)
        if early is not None:
            return plan.whole.decode((await self._texts(live, (early.path,)))[early.path])
        return await self._from(live, plan.output, None, ())

    async def output_text(self, live: LiveRun) -> str:
        """Give the output of the run, encoded: the text as it is stored, where it is what one phase gave.

        Raises:
            NoOutputError: As ``output``.
        """
        path = self.output_path(live)
        if path is not None and (text := (await self._texts(live, (path,))).get(path)) is not None:
            return text
        return live.snapshot.plan.whole.encode(await self.output(live))[0]

    @staticmethod
    def output_path(live: LiveRun) -> str | None:
        """Give the path at which the output of the run is stored, where it is what one phase gave."""
        plan = live.snapshot.plan
        found = None if _finisher(live) is not None else _way(live, plan.output, ())
        if isinstance(found, Edge) and plan.nodes[found.node].kind in _STORING:
            return plan.nodes[found.node].at(())
        return None

    async def result_of(self, live: LiveRun, node: PlanNode, items: Items) -> Any:
        """Give what a node hands on, as its successor takes it: of a wait that keeps what came before, both."""
        value = await self.of_node(live, node, items)
        source = live.snapshot.plan.bindings[node.index].source
        if isinstance(source, Wait) and source.keeps_both:
            return await self.for_node(live, node, items), value
        return value

    async def of_node(
        self,
        live: LiveRun,
        node: PlanNode,
        items: Items,
        texts: _Texts | None = None,
        *,
        job: Job | None = None,
    ) -> Any:
        """Give the output of a node that has ended."""
        path = node.at(items)
        if path in live.copies:
            return _taken(live, path, job)
        row = live.snapshot.rows.get(path)
        if row is None or not row.live:
            raise _no_output(live, path)
        if node.kind is NodeKind.MAP and row.state is PhaseState.COMPLETED:
            return await self._joined(live, node, items, row)
        plan = live.snapshot.plan
        codec = plan.whole if _finished_run(row) else plan.bindings[node.index].output
        if node.passes_on:
            return await self.for_node(live, node, items, job)
        text = (texts if texts is not None else await self._texts(live, (path,))).get(path)
        if text is not None:
            return _decoded(codec, path, text, job)
        if row.state is PhaseState.SKIPPED:
            return await self.for_node(live, node, items, job)
        raise DecodeError(codec.what, [f"nothing is stored at {path!r} of run {live.id}"])

    async def run_input(self, live: LiveRun, codec: ValueCodec[T], job: Job | None = None) -> T:
        """Give the input of the run."""
        text, live.read_input = live.read_input, None
        if text is None:
            text = (await self._texts(live, (INPUT,)))[INPUT]
        return _decoded(codec, INPUT, text, job)

    # ------------------------------------------------------------------ where it comes from
    async def _from(
        self,
        live: LiveRun,
        source: Source,
        scope: int | None,
        items: Items,
        texts: _Texts | None = None,
        *,
        job: Job | None = None,
    ) -> Any:
        """Give the value of an expression; ``texts`` are stored outputs that were read already."""
        plan = live.snapshot.plan
        found = _way(live, source, items)
        match found:
            case Edge():
                return await self.of_node(live, plan.nodes[found.node], items, texts, job=job)
            case Gather():
                return await self._side_by_side(live, found, scope, items, texts)
            case PlanNode():
                return await self.for_node(live, found, items, job)
            case Given():
                return await self._given(live, scope, items, job)

    async def _side_by_side(
        self, live: LiveRun, gather: Gather, scope: int | None, items: Items, texts: _Texts | None
    ) -> tuple[Any, ...]:
        values: list[Any] = []
        for part, optional in zip(gather.parts, gather.optional, strict=True):
            try:
                values.append(await self._from(live, part, scope, items, texts))
            except NoOutputError:
                if not optional:
                    raise
                values.append(None)
        return tuple(values)

    async def _winner(self, live: LiveRun, node: PlanNode, items: Items) -> int:
        """Which of several values came first, as it was stored when it did."""
        run, path = live.snapshot.run, node.at(items)
        row = live.snapshot.rows[path]
        read = partial(self._storage.steps, run.namespace, run.id, path, row.generation)
        return int((await self._off_loop(read))[KEPT])

    async def _given(self, live: LiveRun, scope: int | None, items: Items, job: Job | None) -> Any:
        plan = live.snapshot.plan
        if scope is not None:
            return await self._element(live, plan.nodes[scope], items)
        if INPUT in live.copies:
            return _taken(live, INPUT, job)
        return await self.run_input(live, plan.input, job)

    async def _element(self, live: LiveRun, map_node: PlanNode, items: Items) -> object:
        """Give one element of the list that a map takes apart; one that was taken before is decoded anew."""
        outer, item = items[:-1], items[-1]
        path = map_node.at(outer)
        elements = live.items.get(path)
        if elements is None:
            async with live.reading(path):  # not once for each of the items that begin together
                elements = live.items.get(path)
                if elements is None:
                    elements = live.items[path] = await self._list_of(live, map_node, outer)
        if elements[item] is _GONE:
            elements[item] = (await self._list_of(live, map_node, outer))[item]
        element, elements[item] = elements[item], _GONE
        return element

    async def _list_of(self, live: LiveRun, map_node: PlanNode, items: Items) -> list[Any]:
        value: Any = await self.for_node(live, map_node, items)
        # The order of a set differs between processes, and items are known by their place.
        return list(value) if not isinstance(value, set | frozenset) else _in_order(value)  # pyright: ignore[reportUnknownArgumentType]  # of an Any

    # ------------------------------------------------------------------ joined maps
    async def _joined(self, live: LiveRun, map_node: PlanNode, items: Items, row: PhaseRecord) -> object:
        """Put the list of a map together from the outputs of its items, in input order."""
        plan, rows = live.snapshot.plan, live.snapshot.rows
        instances = [(*items, item) for item in range(row.total or 0)]
        exit_ = map_node.exit
        if not isinstance(exit_, Edge) or plan.nodes[exit_.node].kind not in _STORING:
            return await self._joined_values(live, map_node, instances)
        exit_node = plan.nodes[exit_.node]
        paths = [exit_node.at(instance) for instance in instances]
        kept = [path for path in paths if (item := rows.get(path)) is not None and item.live]
        texts = await self._texts(live, kept)
        codec = plan.bindings[map_node.index].output
        if map_node.on_error == "fail":
            return codec.decode_items([texts[path] for path in kept])
        return codec.decode_items(
            [
                _collected(_last_row(live, map_node, instance), texts.get(path))
                for instance, path in zip(instances, paths, strict=True)
            ]
        )

    async def _joined_values(
        self, live: LiveRun, map_node: PlanNode, instances: Sequence[Items]
    ) -> list[Any]:
        """Do the same where an item's output is not the stored text of one phase."""
        assert map_node.exit is not None  # noqa: S101  # maps have one
        exit_, scope = map_node.exit, map_node.index
        paths = [path for instance in instances for path in _stored_in(live, exit_, instance)]
        texts = await self._texts(live, paths)
        collects = map_node.on_error == "collect"
        values: list[Any] = []
        for instance in instances:
            try:
                value = await self._from(live, exit_, scope, instance, texts)
            except NoOutputError:
                if collects:
                    values.append(_ending(_last_row(live, map_node, instance)))
            else:
                values.append(Ok(value=value) if collects else value)
        return values

    async def _texts(self, live: LiveRun, paths: Sequence[str]) -> Mapping[str, str]:
        run = live.snapshot.run
        found: dict[str, str] = {}
        for start in range(0, len(paths), READ_AT_ONCE):
            part = paths[start : start + READ_AT_ONCE]
            found.update(await self._off_loop(partial(self._storage.values, run.namespace, run.id, part)))
        return found


def _taken(live: LiveRun, path: str, job: Job | None) -> Any:
    """Take a value that is here decoded."""
    copy, given = live.copies.pop(path)
    if job is not None:
        job.given = given
    return copy


def _decoded(codec: ValueCodec[T], path: str, text: str, job: Job | None) -> T:
    """Decode the text that is read at a path."""
    if job is not None and len(text) >= LARGE:
        job.given = Stored(path, text)
    return codec.decode(text)


def _way(live: LiveRun, source: Source, items: Items) -> Given | Edge | Gather | PlanNode:
    """Follow the ways that were gone, without recursion: to an output, a tuple, what was given, or a node that took it.

    Raises:
        NoOutputError: Nothing is handed on there.
    """
    plan, rows = live.snapshot.plan, live.snapshot.rows
    while True:
        match source:
            case Edge():
                node = plan.nodes[source.node]
                if source.side is None and not (node.passes_on and _hands_on(rows.get(node.at(items)))):
                    return source
                if node.is_race:
                    return node
                source = node.source  # what a test took, or what slept meanwhile
            case Given() | Gather():
                return source
            case Merge() | Race():
                position = first_live(plan, source.parts, items, rows.get)
                if position is None:
                    raise _nothing(live, source, items)
                source = source.parts[position]


def _stored_in(live: LiveRun, source: Source, items: Items) -> Iterator[str]:
    """Paths of the stored texts that a value is read from."""
    try:
        found = _way(live, source, items)
    except NoOutputError:
        return
    match found:
        case Edge():
            node = live.snapshot.plan.nodes[found.node]
            if node.kind in _STORING or node.awaits is not None:
                yield node.at(items)
        case Gather():
            for part in found.parts:
                yield from _stored_in(live, part, items)
        case _:
            pass


def _hands_on(row: PhaseRecord | None) -> bool:
    return row is not None and row.live is True


def _finisher(live: LiveRun) -> PhaseRecord | None:
    """The phase that ended the whole run, if one did; also where it may not do that in what is registered here."""
    return next((row for row in live.snapshot.rows.values() if _finished_run(row)), None)


def _finished_run(row: PhaseRecord) -> bool:
    """Whether a phase ended the whole run, so that what is stored of it is the run's output."""
    return row.reason == FINISHED and row.state is PhaseState.COMPLETED


def _nothing(live: LiveRun, source: Merge | Race, items: Items) -> NoOutputError:
    nodes = live.snapshot.plan.nodes
    last = source.parts[-1]
    return _no_output(live, nodes[last.node].at(items) if isinstance(last, Edge) else "")


def _no_output(live: LiveRun, path: str) -> NoOutputError:
    row = live.snapshot.rows.get(path)
    return NoOutputError(live.id, f"phase {path!r} {row.reason or row.state if row else 'did not run'}")


def _last_row(live: LiveRun, map_node: PlanNode, items: Items) -> PhaseRecord:
    """The row that tells how an item ended: the one that failed, else the last that handed nothing on."""
    plan, rows = live.snapshot.plan, live.snapshot.rows
    inside = [rows.get(node.at(items)) for node in plan.members[map_node.index]]
    known = [row for row in inside if row is not None]
    dead = [row for row in known if not row.live and row.state is PhaseState.SKIPPED]
    return next((row for row in known if row.state is PhaseState.FAILED), (dead or known)[-1])


def _collected(row: PhaseRecord, text: str | None) -> str:
    """Encode one element of a collecting map's list: an Ok, an Err or a Skipped."""
    if text is not None:
        return f'{{"status":"ok","value":{text}}}'
    return _ending(row).model_dump_json()


def _ending(row: PhaseRecord) -> Err | Skipped:
    return Skipped(reason=row.reason) if row.error is None else Err.of(row.error)


def _in_order(elements: Iterable[Any]) -> list[Any]:
    return sorted(elements, key=to_json)
