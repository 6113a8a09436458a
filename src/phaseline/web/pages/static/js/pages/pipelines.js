// The pipelines that are served here: all of them, and one with its graph, its states, and the form by which it is started.
import { html, useState } from "../html.js";
import { part, read } from "../api.js";
import { useMay } from "../access.js";
import { useLoad } from "../loading.js";
import { go, href } from "../route.js";
import { count } from "../format.js";
import { GROUPS } from "../states.js";
import { Schemas, States, Steps } from "./pipelines/parts.js";
import { Start } from "./pipelines/start.js";
import { Graph } from "./run/graph.js";
import { Icon } from "../parts/icon.js";
import { Failed, Loading, Notice } from "../parts/notice.js";
import { useRows } from "../parts/rows.js";

const SHOWN = ["ACTIVE", "WAITING", "FAILED", "COMPLETED"];

export default function Pipelines({ route: { path: [, name], query } }) {
  return name ? html`<${One} key=${name} name=${name} asked=${query.get("version")} isStarting=${query.has("start")} />` : html`<${All} />`;
}

const linkTo = (name, query) => href(["pipelines", name], query);

function All() {
  const may = useMay();
  const load = useLoad(async (signal) => {
    const [{ pipelines }, stats] = await Promise.all([read("pipelines", {}, signal), may("stats") ? read("pipeline/stats", {}, signal) : { pipelines: {} }]);
    const names = [...new Set(pipelines.map(({ name }) => name))].sort();
    return names.map((name) => ({ name, counts: stats.pipelines[name] || {}, versions: pipelines.filter((each) => each.name === name).map(({ version }) => version) }));
  }, []);
  const rows = useRows((load.data || []).map(({ name }) => name));
  const groups = GROUPS.filter(({ name }) => may("stats") && SHOWN.includes(name));
  const sum = (counts, has) => Object.entries(counts).reduce((all, [state, number]) => all + (has(state) ? number : 0), 0);
  return html`
    <header class="head"><h1>Pipelines</h1></header>
    ${load.error && !load.data ? html`<${Failed} error=${load.error} again=${load.again} />`
      : !load.data ? html`<${Loading} />`
      : !load.data.length ? html`<${Notice} icon="pipelines" title="No pipeline is served here"><p>The process that answers registers none: <code>Runtime(…, pipelines=[…])</code>.</p><//>`
      : html`<div class="wide"><table class="list" aria-label="Pipelines">
        <thead><tr><th>Pipeline</th><th>Versions</th>${groups.map(({ label }) => html`<th class="end">${label}</th>`)}<th><span class="unseen">What to do</span></th></tr></thead>
        <tbody ref=${rows.body}>${load.data.map(({ name, versions, counts }) => html`<tr key=${name} onFocusIn=${() => rows.onFocus(name)}>
          <td><a data-row href=${linkTo(name)}><b>${name}</b></a></td>
          <td>${versions.map((version) => html`<a class="tag" href=${linkTo(name, { version })}>${version}</a> `)}</td>
          ${groups.map(({ name: state, has, tone }) => html`<td class="end">${sum(counts, has) ? html`<a class=${`tone-${tone} toned`} href=${href(["runs"], { pipeline: name, state })}>${count(sum(counts, has))}</a>` : html`<span class="muted">0</span>`}</td>`)}
          <td class="end deeds">${may("start") && html`<a class="button small" href=${linkTo(name, { start: "yes" })} aria-label=${`Start a run of ${name}`}><${Icon} name="play" />Start</a>`}</td></tr>`)}</tbody>
      </table></div>`}`;
}

function One({ name, asked, isStarting }) {
  const may = useMay();
  const [selected, setSelected] = useState(/** @type {string | null} */ (null));
  const load = useLoad(async (signal) => {
    const versions = (await read("pipelines", {}, signal)).pipelines.filter((each) => each.name === name).map(({ version }) => version);
    // Without one, the last that was registered; of a name that is not known the surface says so.
    return { versions, pipeline: await read(`pipelines/${part(name)}`, { version: asked || versions[versions.length - 1] }, signal) };
  }, [name, asked]);
  const above = html`<p class="above"><a href="#/pipelines">Pipelines</a><span aria-hidden="true">/</span>${name}</p>`;
  if (!load.data) return html`${above}${load.error ? html`<${Failed} error=${load.error} again=${load.again} />` : html`<${Loading} />`}`;
  const { versions, pipeline } = load.data;
  const here = (changes) => linkTo(name, { version: asked, ...changes });
  return html`${above}
    <header class="head"><h1>${name} <span class="muted">v${pipeline.version}</span></h1>
      <div class="actions">
        ${versions.length > 1 && html`<label class="field"><span class="unseen">Version</span><select value=${pipeline.version} onChange=${(event) => go(here({ version: event.target.value }), true)}>
          ${versions.map((each) => html`<option value=${each}>version ${each}</option>`)}</select></label>`}
        <a class="button" href=${href(["runs"], { pipeline: name })}>Runs</a>
        ${may("start") && html`<button class="button main" onClick=${() => go(here({ start: "yes" }), true)}><${Icon} name="play" />Start a run</button>`}
      </div></header>
    <div class="stack">
      <section class="card" aria-label="Graph"><header><h2>Graph</h2><span class="muted small mono" title="What the shape of the pipeline is known by">${pipeline.graph.fingerprint.slice(0, 12)}</span></header>
        <${Graph} graph=${pipeline.graph} selected=${selected} onSelect=${(path) => setSelected((old) => old === path ? null : path)} />
        <${Steps} nodes=${pipeline.graph.nodes} selected=${selected} /></section>
      <${States} states=${pipeline.graph.states} />
      <${Schemas} pipeline=${pipeline} />
    </div>
    ${isStarting && may("start") && html`<${Start} key=${pipeline.version} pipeline=${pipeline} onClose=${() => go(here(), true)} />`}`;
}
