// The list of runs: what is looked for stands in the address.
import { html, useEffect, useRef, useState } from "../html.js";
import { read } from "../api.js";
import { useMay } from "../access.js";
import { useKeys } from "../keys.js";
import { useEvents } from "../live.js";
import { useAtMost, useLoad } from "../loading.js";
import { go, hrefWith } from "../route.js";
import { count } from "../format.js";
import { GROUPS } from "../states.js";
import { Filters, selectionOf } from "./runs/filters.js";
import { RunTable } from "./runs/table.js";
import { Failed, Loading, Notice } from "../parts/notice.js";
import { Icon } from "../parts/icon.js";
import { AskMany, useSelected } from "../parts/many.js";
import { Menu } from "../parts/menu.js";

const PAGE = 50;
const DEEDS = {
  pause: { label: "Pause", icon: "pause", done: "paused", means: "starts no phase from now on. What runs may end, and is kept." },
  resume: { label: "Resume", icon: "play", done: "resumed", means: "goes on from where it was paused, or taken back to." },
  retry: { label: "Retry", icon: "retrying", done: "retried", means: "goes on where it failed. What completed stays." },
  cancel: { label: "Cancel", icon: "stop", done: "cancelled", isGrave: true, means: "ends at once and for good. It cannot be resumed." },
};
const LOOK = 500; // milliseconds between two readings, however much happens

/** The link to the list with something of the query changed; a page further on is left. */
const withQuery = (query, changes) => hrefWith(["runs"], query, changes);

/** The states that are asked for; of a group with names of phases those that there are, which `ofCounts` says. */
async function statesOf(query, ofCounts) {
  const wanted = query.get("state");
  const group = GROUPS.find(({ name }) => name === wanted);
  if (!wanted) return [];
  const states = !group ? [wanted] : group.states || Object.keys((await ofCounts).counts).filter(group.has);
  return states.length ? states : [wanted]; // one that no run is in finds nothing, and not everything
}

export default function Runs({ route: { query } }) {
  const may = useMay();
  const search = query.toString();
  const selection = selectionOf(query);
  const load = useLoad(async (signal) => {
    const ofPipelines = read("pipelines", {}, signal);
    ofPipelines.catch(() => {}); // told below
    const ofCounts = may("stats") ? read("runs/counts", selection, signal) : Promise.resolve({ counts: {} });
    ofCounts.catch(() => {}); // as well
    const states = await statesOf(query, ofCounts);
    const page = await read("runs", {
      ...selection, state: states, after: query.get("after"), limit: PAGE,
    }, signal);
    return { ...page, states, counts: (await ofCounts).counts, pipelines: (await ofPipelines).pipelines };
  }, [search]);
  const look = useAtMost(() => !document.hidden && load.again(), LOOK);
  useEvents(may("subscribe") ? { everything: true } : null, { event: look, catchUp: load.again });

  const found = load.data;
  const isFiltered = [...query.keys()].some((name) => name !== "after");
  const total = found ? Object.values(found.counts).reduce((sum, each) => sum + each, 0) : 0;
  const runs = found?.runs || [];
  const states = found?.states || [];
  const selected = useSelected(runs.map(({ id }) => id));
  const { chosen } = selected;
  const [asked, setAsked] = useState(/** @type {{verb: string, ids: string[] | null} | null} */ (null));
  const verbs = Object.keys(DEEDS).filter(may);
  const obeying = (verb) => runs.filter(({ id, allowed }) => selected.has(id) && allowed.includes(verb)).map(({ id }) => id);
  useEffect(selected.clear, [search]);
  const finish = () => {
    setAsked(null);
    selected.clear();
    load.again();
  };
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  useKeys({ "/": () => field.current?.focus() });

  return html`
    <header class="head"><h1>Runs</h1>
      <div class="actions">${chosen.length > 0 ? html`
        ${verbs.map((verb) => [verb, obeying(verb)]).filter(([, ids]) => ids.length).map(([verb, ids]) => html`
          <button key=${verb} class=${`button ${DEEDS[verb].isGrave ? "danger" : ""}`} onClick=${() => setAsked({ verb, ids })}><${Icon} name=${DEEDS[verb].icon} />${DEEDS[verb].label} ${count(ids.length)} selected</button>`)}
        <button class="button" onClick=${selected.clear}>Select none</button>`
      : verbs.length > 0 && runs.length > 0 && html`<${Menu} label=${isFiltered ? "All that match" : "All runs"} items=${verbs.map((verb) => ({ verb, ...DEEDS[verb] }))} onChoose=${(verb) => setAsked({ verb, ids: null })} />`}</div>
    </header>
    ${found && may("stats") && html`<${Counts} counts=${found.counts} total=${total} query=${query} />`}
    <${Filters} query=${query} pipelines=${found?.pipelines || []} field=${field} onChange=${(changes) => go(withQuery(query, changes), true)} />
    ${load.error && !found ? html`<${Failed} error=${load.error} again=${load.again} />`
      : !found ? html`<${Loading} lines=${10} />`
      : runs.length ? html`
        <${RunTable} runs=${runs} isOld=${load.isLoading} selected=${verbs.length ? selected : null} />
        <footer class="pager">
          ${query.get("after") && html`<a class="button" href=${withQuery(query, {})}><${Icon} name="left" />Newest</a>`}
          <span class="grow"></span>
          ${found.next && html`<a class="button" rel="next" href=${withQuery(query, { after: found.next })}>Older<${Icon} name="right" /></a>`}
        </footer>`
      : isFiltered ? html`
        <${Notice} icon="search" title="No run is like that"><p>Other filters may find some.</p><p><a class="button" href="#/runs">Show all runs</a></p><//>`
      : html`<${Notice} icon="runs" title="No runs yet">
          <p>They appear here as soon as one starts: <code>await runtime.start(pipeline, value)</code>.</p><//>`}
    ${asked && html`<${AskMany} ...${asked} deed=${DEEDS[asked.verb]} at="runs" noun="run" 
      which=${`Of all${may("stats") ? ` ${count(states.reduce((sum, state) => sum + (found.counts[state] || 0), states.length ? 0 : total))}` : ""} runs${isFiltered ? " that the filter matches" : ""}, each that can be ${DEEDS[asked.verb].done}`}
      filter=${{ ...selection, state: states }} onClose=${() => setAsked(null)} onDone=${finish} />`}`;
}

function Counts({ counts, total, query }) {
  const wanted = query.get("state");
  const chip = (name, label, tone, number) => html`
    <a class=${`chip tone-${tone}`} href=${withQuery(query, { state: name })} aria-current=${(wanted || null) === name ? "true" : null}>
      ${tone && html`<${Icon} name=${tone} />`}<span>${label}</span><b class="number">${count(number)}</b></a>`;
  const others = wanted && !GROUPS.some(({ name }) => name === wanted);
  return html`<nav class="chips" aria-label="States">
    ${chip(null, "All", "", total)}
    ${GROUPS.map(({ name, label, tone, has }) => chip(name, label, tone,
      Object.entries(counts).reduce((sum, [state, number]) => sum + (has(state) ? number : 0), 0)))}
    ${others && chip(wanted, wanted, "active", counts[wanted] || 0)}
  </nav>`;
}
