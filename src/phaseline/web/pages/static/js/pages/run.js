// One run, as it is and as it goes on.
import { html, useCallback, useEffect, useMemo, useRef, useState } from "../html.js";
import { part, read } from "../api.js";
import { useKeys } from "../keys.js";
import { useEvents } from "../live.js";
import { useAtMost, useLoad } from "../loading.js";
import { go, lastList } from "../route.js";
import { isOver } from "../states.js";
import { Failed, Loading } from "../parts/notice.js";
import { Value } from "../parts/value.js";
import { Deeds } from "./run/deeds.js";
import { Events } from "./run/events.js";
import { Graph } from "./run/graph.js";
import { Facts, Head } from "./run/head.js";
import { Checkpoints, Usage, hasUsage } from "./run/more.js";
import { Failure, Waits } from "./run/notes.js";
import { Phase } from "./run/phase.js";
import { groupsOf } from "./run/plan.js";
import { KINDS, Timeline } from "./run/timeline.js";

const LOOK = 300; // milliseconds between two readings, however much happens
const DRAWN = 500; // events of which the timeline is drawn
const LAST = Number.MAX_SAFE_INTEGER;

/** @param {{route: {path: string[]}}} props */
export default function Run({ route: { path: [, id = ""] } }) {
  return html`<${Of} key=${id} id=${id} />`;
}

/** What is read beside a run, after it and when its state changes: what happens from then on is heard. */
async function readBeside(id, signal) {
  const [rights, attempts] = await Promise.all([
    read("access", { run: id }, signal), read(`runs/${part(id)}/events`, { before: LAST, limit: DRAWN, type: KINDS }, signal),
  ]);
  return { rights: new Set(rights.actions), attempts };
}

function Of({ id }) {
  const load = useLoad((signal) => read(`runs/${part(id)}/outline`, {}, signal), [id]);
  const known = load.data;
  const beside = useLoad((signal) => known ? readBeside(id, signal) : Promise.resolve(null), [id, Boolean(known)], known?.state);
  // The graph is that of the pipeline as it is served here; a run of another one is shown without.
  const pipeline = useLoad((signal) => known ? read(`pipelines/${part(known.pipeline)}`, { version: known.version }, signal) : Promise.resolve(null), [known?.pipeline, known?.version]);
  const [selected, setSelected] = useState(/** @type {string | null} */ (null));
  const [tab, setTab] = useState("events");

  const ears = useRef(/** @type {Set<(event: any) => void>} */ (new Set()));
  const listen = useCallback((call) => {
    ears.current.add(call);
    return () => ears.current.delete(call);
  }, []);
  const heard = useRef(/** @type {any[]} */ ([])); // of the kinds that are drawn
  const drawn = useMemo(() => {
    const { events = [], previous = null } = beside.data?.attempts || {};
    const all = [...events, ...heard.current.filter(({ seq }) => !(seq <= events.at(-1)?.seq))];
    return { events: all.slice(-DRAWN), isPart: previous !== null || all.length > DRAWN };
  }, [load.data, beside.data]);
  const look = useAtMost(() => !document.hidden && load.again(), LOOK);
  const again = () => {
    load.again();
    beside.again();
  };
  useEvents(known ? { run: id } : null, {
    after: known?.seq || 0,
    catchUp: () => {
      again();
      for (const hear of ears.current) hear(null);
    },
    event: (event) => {
      for (const hear of ears.current) hear(event);
      if (event.seq !== null && KINDS.includes(event.type)) heard.current = [...heard.current.slice(-DRAWN), event];
      look();
    },
  });
  useKeys({ Escape: () => selected ? setSelected(null) : go(lastList()) });
  useEffect(() => { if (known) document.title = `${known.pipeline} · ${known.state.toLowerCase()} · phaseline`; }, [known?.state]);

  const error = load.error || beside.error;
  if (!known || !beside.data) return error ? html`<${Failed} error=${error} again=${again} />` : html`<${Loading} />`;
  const run = known, { rights } = beside.data;
  const of = pipeline.data;
  const select = (path) => setSelected((old) => old === path ? null : path);
  const graph = of?.graph;
  const places = new Map(run.phases.map((each) => [each.path, each]));
  const inner = run.phases.filter(({ path }) => selected !== null && path !== selected && groupsOf(path).includes(selected));
  const waiting = new Set(run.phases.filter(({ phase }) => phase?.waits_for && phase.state === "RUNNING").map(({ path }) => path));
  const tabs = {
    events: "Events", input: "Input", output: "Output", checkpoints: "Checkpoints", ...(hasUsage(run) ? { usage: "Usage and cost" } : {}),
  };
  return html`
    <${Head} run=${run}><${Deeds} run=${run} rights=${rights} pipeline=${of} onDone=${load.again} /><//>
    <${Facts} run=${run} />
    <div class="stack">
      ${run.error && html`<${Failure} error=${run.error} isUndone=${run.state === "ROLLED_BACK"} onSelect=${setSelected} />`}
      <${Waits} run=${run} pipeline=${of} />
      <section class="card" aria-label="Phases"><header><h2>Phases</h2>${pipeline.error && html`<span class="muted">The pipeline is not served here as this run began with it: there is no graph, and no command. Name a runtime that has it: <code>phaseline console MODULE:NAME</code>.</span>`}</header>
        <div class=${selected ? "beside" : ""}>
          <div>${graph ? html`<${Graph} graph=${graph} phases=${run.phases} isOver=${isOver(run.state) && run.state !== "ROLLED_BACK"} selected=${selected} onSelect=${select} />` : html`<div class="body muted">${run.phases.map(({ path }) => html`<button class="button small" onClick=${() => select(path)}>${path}</button> `)}</div>`}
            <${Timeline} events=${drawn.events} isPart=${drawn.isPart} waiting=${waiting} selected=${selected} onSelect=${select} /></div>
          ${selected && html`<${Phase} key=${selected} run=${run} path=${selected} folded=${places.get(selected)} inner=${inner} node=${graph?.nodes.find(({ path }) => path === selected.replace(/\[\d+\]/g, "[]"))} stamp=${run.updated_at} onSelect=${setSelected} />`}
        </div>
      </section>
      <section class="card" aria-label=${tabs[tab]}>
        <header class="tabs" role="tablist">${Object.entries(tabs).map(([name, label]) => html`<button role="tab" id=${`tab-${name}`} aria-selected=${String(tab === name)} aria-controls="tab" onClick=${() => setTab(name)}>${label}</button>`)}</header>
        <div class="body" id="tab" role="tabpanel" aria-labelledby=${`tab-${tab}`}>
          ${tab === "events" && html`<${Events} run=${id} phase=${selected} listen=${listen} />`}
          ${tab === "input" && html`<${Value} run=${id} of="input" />`}
          ${tab === "output" && html`<${Value} run=${id} of="output" stamp=${run.state} none=${run.state === "COMPLETED" ? "The phase that gives it was skipped." : "There is one when the run has completed."} />`}
          ${tab === "checkpoints" && html`<${Checkpoints} run=${run} rights=${rights} pipeline=${of} onDone=${load.again} />`}
          ${tab === "usage" && html`<${Usage} run=${run} />`}
        </div>
      </section>
    </div>`;
}
