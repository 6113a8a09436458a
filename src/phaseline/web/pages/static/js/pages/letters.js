// Dead letters: runs that failed and that nobody has seen to. What is looked for stands in the address.
import { html, useEffect, useState } from "../html.js";
import { read } from "../api.js";
import { useMay } from "../access.js";
import { useEvents } from "../live.js";
import { useAtMost, useLoad } from "../loading.js";
import { go, hrefWith } from "../route.js";
import { count, words } from "../format.js";
import { SPANS, selectionOf } from "./runs/filters.js";
import { LetterTable } from "./letters/table.js";
import { Failed, Loading, Notice, Unread } from "../parts/notice.js";
import { Icon } from "../parts/icon.js";
import { AskMany, useSelected } from "./parts/many.js";

const PAGE = 50;
const LOOK = 1_000; // milliseconds between two readings, however much happens
const CATEGORIES = ["VALIDATION", "STATE", "PROCESSING", "TIMEOUT", "SYSTEM"];
const DEEDS = {
  requeue: { label: "Requeue", done: "requeued", means: "is taken up again where it failed. What completed stays." },
  discard: { label: "Discard", done: "discarded", isGrave: true, means: "stays failed, and nobody is told of it here any more." },
};

const withQuery = (query, changes) => hrefWith(["dead-letters"], query, changes);

/** What the surface is asked for. @param {URLSearchParams} query */
function wanted(query) {
  const { pipeline, since, until } = selectionOf(query);
  return { pipeline, since, until, category: query.getAll("category"), phase: query.get("phase") };
}

export default function Letters({ route: { query } }) {
  const may = useMay();
  const search = query.toString();
  const [asked, setAsked] = useState(/** @type {{verb: string, ids: string[] | null} | null} */ (null));
  const load = useLoad(async (signal) => {
    const [page, { pipelines }] = await Promise.all([
      read("dead-letters", { ...wanted(query), after: query.get("after"), limit: PAGE }, signal), read("pipelines", {}, signal),
    ]);
    return { ...page, pipelines };
  }, [search]);
  const look = useAtMost(() => !document.hidden && load.again(), LOOK);
  useEvents({ everything: true }, { event: look, catchUp: load.again });

  const found = load.data;
  const letters = found?.letters || [];
  const selected = useSelected(letters.map(({ run_id: id }) => id));
  const { chosen } = selected;
  useEffect(selected.clear, [search]);
  const verbs = Object.keys(DEEDS).filter(may);
  const isFiltered = [...query.keys()].some((name) => name !== "after");
  const finish = () => {
    setAsked(null);
    selected.clear();
    load.again();
  };
  return html`
    <header class="head"><h1>Dead letters</h1>
      <div class="actions">${letters.length > 0 && verbs.map((verb) => html`
        <button class="button" onClick=${() => setAsked({ verb, ids: chosen.length ? chosen : null })}>
          ${DEEDS[verb].label} ${chosen.length ? `${count(chosen.length)} selected` : isFiltered ? "all that match" : "all"}</button>`)}</div>
    </header>
    <${Filters} query=${query} pipelines=${found?.pipelines || []} onChange=${(changes) => go(withQuery(query, changes), true)} />
    ${load.error && !found ? html`<${Failed} error=${load.error} again=${load.again} />`
      : !found ? html`<${Loading} lines=${8} />`
      : letters.length ? html`
        <${LetterTable} letters=${letters} selected=${selected} verbs=${verbs}
          onDeed=${(verb, id) => setAsked({ verb, ids: [id] })} labels=${DEEDS} />
        <footer class="pager">
          ${query.get("after") && html`<a class="button" href=${withQuery(query, {})}><${Icon} name="left" />Newest</a>`}<span class="grow"></span>
          ${found.next && html`<a class="button" rel="next" href=${withQuery(query, { after: found.next })}>Older<${Icon} name="right" /></a>`}
        </footer>`
      : query.get("after") || found.next ? html`<${Notice} icon="letters" title="Nothing is left on this page"><p><a class="button" href=${withQuery(query, { after: found.next })}>${found.next ? "Go on to older ones" : "Back to the newest"}</a></p><//>`
      : isFiltered ? html`<${Notice} icon="search" title="No dead letter is like that"><p><a class="button" href="#/dead-letters">Show all</a></p><//>`
      : !may("read") ? html`<${Unread} />`
      : html`<${Notice} icon="done" title="Nothing needs you"><p>A run that fails for good leaves a letter here, until somebody requeues or discards it.</p><//>`}
    ${asked && html`<${AskMany} ...${asked} deed=${DEEDS[asked.verb]} at="dead-letters" noun="dead letter" which="Each run that the filter matches" filter=${wanted(query)} onClose=${() => setAsked(null)} onDone=${finish} />`}`;
}

function Filters({ query, pipelines, onChange }) {
  const names = [...new Set([...pipelines.map(({ name }) => name), ...query.getAll("pipeline")])].sort();
  const select = (name, label, all, options) => html`<label class="field"><span class="unseen">${label}</span>
    <select value=${query.get(name) || ""} onChange=${(event) => onChange({ [name]: event.target.value })}>
      <option value="">${all}</option>${options.map(([value, text]) => html`<option value=${value}>${text}</option>`)}</select></label>`;
  return html`<search class="filters">
    ${select("pipeline", "Pipeline", "All pipelines", names.map((name) => [name, name]))}
    ${select("category", "Category", "Any cause", CATEGORIES.map((name) => [name, words(name)]))}
    ${select("last", "Time", "Any time", Object.entries(SPANS).map(([name, [label]]) => [name, label]))}
    <label class="field"><span class="unseen">Phase</span><input value=${query.get("phase") || ""} placeholder="Phase" maxlength="500" onChange=${(event) => onChange({ phase: event.target.value.trim() })} /></label>
  </search>`;
}
