// The list of runs: what is looked for stands in the address.
import { html, useEffect, useMemo, useRef, useState } from "../html.js";
import { read } from "../api.js";
import { useAccess, useMay } from "../access.js";
import { useKeys } from "../keys.js";
import { useEvents } from "../live.js";
import { useAtMost, useLoad } from "../loading.js";
import { go, hrefWith } from "../route.js";
import { count } from "../format.js";
import { GROUPS, only } from "../states.js";
import { Filters, selectionOf } from "./runs/filters.js";
import { RunTable } from "./runs/table.js";
import { Failed, Loading, Notice, Unread } from "../parts/notice.js";
import { Icon } from "../parts/icon.js";
import { AskMany, useSelected } from "./parts/many.js";
import { Menu } from "../parts/menu.js";

const PAGE = 50;
const DEEDS = {
  pause: { label: "Pause", icon: "pause", done: "paused", means: "starts no phase from now on. What runs may end, and is kept." },
  resume: { label: "Resume", icon: "play", done: "resumed", means: "goes on from where it was paused, or taken back to." },
  retry: { label: "Retry", icon: "retrying", done: "retried", means: "goes on where it failed. What completed stays." },
  cancel: { label: "Cancel", icon: "stop", done: "cancelled", isGrave: true, means: "ends at once and for good. It cannot be resumed." },
};
const LOOK = 500, COUNT = 2_000; // milliseconds between two readings, and between two countings, however much happens
const NONE = [];

/** The link to the list with something of the query changed; a page further on is left. */
const withQuery = (query, changes) => hrefWith(["runs"], query, changes);

/** The states that are asked for, as the surface takes them, and as a test. @param {string | null} wanted a group, or a state */
function standingOf(wanted) {
  const { stage, states, has } = GROUPS.find(({ name }) => name === wanted) || (wanted ? only(wanted) : { has: () => true });
  return { has, asked: stage ? { stage } : { state: states } };
}

export default function Runs({ route: { query } }) {
  const may = useMay();
  const { all_runs: isForAll } = useAccess();
  const search = query.toString();
  const which = withQuery(query, { state: null }); // whatever page is shown, of whatever state
  const selection = selectionOf(query);
  const standing = standingOf(query.get("state"));
  const load = useLoad(async (signal) => {
    const page = await read("runs", { ...selection, ...standing.asked, after: query.get("after"), limit: PAGE }, signal);
    return { ...page, which, search };
  }, [search]);
  const found = load.data;
  // Counting takes longer than finding a page: it begins once the page is there, and nothing waits for it. What is all on it is counted here.
  const isWhole = found?.search === search && !found.next && !query.get("after") && !query.get("state");
  const isCounted = found?.which === which && !isWhole && may("stats");
  const counting = useLoad(async (signal) => isCounted ? { ...await read("runs/counts", selection, signal), which } : null, [isCounted && which]);
  const counts = isWhole ? countsOf(found.runs) : counting.data?.which === which ? counting.data.counts : null;
  const served = useLoad((signal) => read("pipelines", {}, signal), []);
  const look = useAtMost(() => !document.hidden && load.again(), LOOK);
  const recount = useAtMost(() => !document.hidden && counting.again(), COUNT);
  useEvents({ everything: true }, {
    event: () => {
      look();
      recount();
    },
    catchUp: () => {
      load.again();
      counting.again();
    },
  });

  const isFiltered = [...query.keys()].some((name) => name !== "after");
  const runs = found?.runs || NONE;
  const selected = useSelected(useMemo(() => runs.map(({ id }) => id), [runs]));
  const { chosen } = selected;
  const [asked, setAsked] = useState(/** @type {{verb: string, ids: string[] | null} | null} */ (null));
  const verbs = Object.keys(DEEDS).filter(may);
  const obeying = (verb) => runs.filter(({ id, allowed }) => selected.has(id) && allowed.includes(verb)).map(({ id }) => id);
  useEffect(selected.clear, [search]);
  const finish = () => {
    setAsked(null);
    selected.clear();
    load.again();
    counting.again();
  };
  const isSelectable = verbs.length > 0;
  const table = useMemo(() => html`<${RunTable} runs=${runs} selected=${isSelectable ? selected : null} />`, [runs, selected, isSelectable]);
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  useKeys({ "/": () => field.current?.focus() });

  const pager = html`
    <footer class="pager">
      ${query.get("after") && html`<a class="button" href=${withQuery(query, {})}><${Icon} name="left" />Newest</a>`}
      <span class="grow"></span>
      ${found?.next && html`<a class="button" rel="next" href=${withQuery(query, { after: found.next })}>Older<${Icon} name="right" /></a>`}
    </footer>`;

  return html`
    <header class="head"><h1>Runs</h1>
      <div class="actions">${chosen.length > 0 ? html`
        ${verbs.map((verb) => [verb, obeying(verb)]).filter(([, ids]) => ids.length).map(([verb, ids]) => html`
          <button key=${verb} class=${`button ${DEEDS[verb].isGrave ? "danger" : ""}`} onClick=${() => setAsked({ verb, ids })}><${Icon} name=${DEEDS[verb].icon} />${DEEDS[verb].label} ${count(ids.length)} selected</button>`)}
        <button class="button" onClick=${selected.clear}>Select none</button>`
      : verbs.length > 0 && runs.length > 0 && html`<${Menu} label=${isFiltered ? "All that match" : "All runs"} items=${verbs.map((verb) => ({ verb, ...DEEDS[verb] }))} onChoose=${(verb) => setAsked({ verb, ids: null })} />`}</div>
    </header>
    ${may("stats") && html`<${Counts} counts=${counts} query=${query} />`}
    <${Filters} query=${query} pipelines=${served.data?.pipelines || NONE} field=${field} onChange=${(changes) => go(withQuery(query, changes), true)} />
    ${load.error && !found ? html`<${Failed} error=${load.error} again=${load.again} />`
      : !found ? html`<${Loading} lines=${10} />`
      : runs.length ? html`
        <div aria-busy=${load.isLoading}>${table}</div>${pager}`
      : query.get("after") || found.next ? html`
        <${Notice} icon="runs" title="Nothing is open to you on this page"><p>Its runs have changed, or are for others.</p><//>${pager}`
      : isFiltered ? html`
        <${Notice} icon="search" title="No run is like that"><p>Other filters may find some.</p><p><a class="button" href="#/runs">Show all runs</a></p><//>`
      : !may("read") ? html`<${Unread} />`
      : html`<${Notice} icon="runs" title="No runs yet">
          <p>They appear here as soon as one starts: <code>await runtime.start(pipeline, value)</code>.</p><//>`}
    ${asked && html`<${AskMany} ...${asked} deed=${DEEDS[asked.verb]} at="runs" noun="run" 
      which=${`Of all${counts && isForAll ? ` ${count(numberOf(counts, standing.has))}` : ""} runs${isFiltered ? " that the filter matches" : ""}, each that ${isForAll ? "" : "is yours to command and "}can be ${DEEDS[asked.verb].done}`}
      filter=${{ ...selection, ...standing.asked }} onClose=${() => setAsked(null)} onDone=${finish} />`}`;
}

/** How many are in each state. */
function countsOf(runs) {
  const counts = {};
  for (const { state } of runs) counts[state] = (counts[state] || 0) + 1;
  return counts;
}

/** How many are in states of a kind. */
const numberOf = (counts, has) => Object.entries(counts).reduce((sum, [state, number]) => sum + (has(state) ? number : 0), 0);

/** @param {{counts: Record<string, number> | null, query: URLSearchParams}} props `counts`: null until they are known */
function Counts({ counts, query }) {
  const wanted = query.get("state");
  const chip = (name, label, tone, has) => html`
    <a class=${`chip tone-${tone}`} href=${withQuery(query, { state: name })} aria-current=${(wanted || null) === name ? "true" : null}>
      ${tone && html`<${Icon} name=${tone} />`}<span>${label}</span><b class="number">${counts ? count(numberOf(counts, has)) : "…"}</b></a>`;
  const others = wanted && !GROUPS.some(({ name }) => name === wanted);
  return html`<nav class="chips" aria-label="States">
    ${chip(null, "All", "", () => true)}
    ${GROUPS.map(({ name, label, tone, has }) => chip(name, label, tone, has))}
    ${others && chip(wanted, wanted, "active", (state) => state === wanted)}
  </nav>`;
}
