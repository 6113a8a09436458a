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

const PAGE = 50;
const LOOK = 500; // milliseconds between two readings, however much happens

/** The link to the list with something of the query changed; a page further on is left. */
const withQuery = (query, changes) => hrefWith(["runs"], query, changes);

/** The states that are asked for, of those that there are. */
function statesOf(query, counts) {
  const wanted = query.get("state");
  const group = GROUPS.find(({ name }) => name === wanted);
  if (!wanted) return [];
  const states = group ? Object.keys(counts).filter(group.has) : [wanted];
  return states.length ? states : [wanted]; // one that no run is in finds nothing, and not everything
}

export default function Runs({ route: { query } }) {
  const may = useMay();
  const search = query.toString();
  const selection = selectionOf(query);
  const load = useLoad(async (signal) => {
    const ofPipelines = read("pipelines", {}, signal);
    ofPipelines.catch(() => {}); // told below
    const counts = may("stats") ? (await read("runs/counts", selection, signal)).counts : {};
    const page = await read("runs", {
      ...selection, state: statesOf(query, counts), after: query.get("after"), limit: PAGE,
    }, signal);
    return { ...page, counts, pipelines: (await ofPipelines).pipelines };
  }, [search]);
  const look = useAtMost(() => !document.hidden && load.again(), LOOK);
  useEvents(may("subscribe") ? { everything: true } : null, { event: look, catchUp: load.again });

  const found = load.data;
  const isFiltered = [...query.keys()].some((name) => name !== "after");
  const total = found ? Object.values(found.counts).reduce((sum, each) => sum + each, 0) : 0;
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  useKeys({ "/": () => field.current?.focus() });

  return html`
    <header class="head">
      <h1>Runs</h1>
      
    </header>
    ${found && may("stats") && html`<${Counts} counts=${found.counts} total=${total} query=${query} />`}
    <${Filters} query=${query} pipelines=${found?.pipelines || []} field=${field} onChange=${(changes) => go(withQuery(query, changes), true)} />
    ${load.error && !found ? html`<${Failed} error=${load.error} again=${load.again} />`
      : !found ? html`<${Loading} lines=${10} />`
      : found.runs.length ? html`
        <${RunTable} runs=${found.runs} isOld=${load.isLoading} />
        <footer class="pager">
          ${query.get("after") && html`<a class="button" href=${withQuery(query, {})}><${Icon} name="left" />Newest</a>`}
          <span class="grow"></span>
          ${found.next && html`<a class="button" rel="next" href=${withQuery(query, { after: found.next })}>Older<${Icon} name="right" /></a>`}
        </footer>`
      : isFiltered ? html`
        <${Notice} icon="search" title="No run is like that"><p>Other filters may find some.</p><p><a class="button" href="#/runs">Show all runs</a></p><//>`
      : html`<${Notice} icon="runs" title="No runs yet">
          <p>They appear here as soon as one starts: <code>await runtime.start(pipeline, value)</code>.</p><//>`}`;
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
