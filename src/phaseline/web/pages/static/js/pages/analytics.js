// How runs went over time: how many, how long, how often they failed, and what they cost. What is looked at stands in the address.
import { html } from "../html.js";
import { read } from "../api.js";
import { useLoad } from "../loading.js";
import { go, href, hrefWith } from "../route.js";
import { cost, count, duration, percent } from "../format.js";
import { Icon } from "../parts/icon.js";
import { Failed, Loading, Notice } from "../parts/notice.js";
import { Chart } from "./analytics/chart.js";
import { Groups } from "./analytics/groups.js";
import { chartsOf, summed } from "./analytics/lines.js";

/** By name: what it is called, how many seconds it has, and into how many parts it is cut. */
const SPANS = {
  __proto__: null,
  "1h": ["Last hour", 3_600, 30], "24h": ["Last 24 hours", 86_400, 24], "48h": ["Last 2 days", 2 * 86_400, 48],
  "7d": ["Last 7 days", 7 * 86_400, 28], "30d": ["Last 30 days", 30 * 86_400, 30], "90d": ["Last 90 days", 90 * 86_400, 30],
};
const SHOWS = { number: count, seconds: duration, percent: (value) => `${Math.round(value * 10) / 10} %`, cost };

export default function Analytics({ route: { query } }) {
  const name = SPANS[query.get("last")] ? query.get("last") : "24h";
  const pipeline = query.get("pipeline");
  const by = query.get("by") === "phase" && pipeline ? "phase" : "pipeline";
  const [, seconds, parts] = SPANS[name];
  const load = useLoad(async (signal) => {
    // Parts begin at whole minutes, so that they mean the same when they are read again.
    const until = new Date(Math.ceil(Date.now() / 60_000) * 60_000);
    const asked = { by, pipeline, since: new Date(until - seconds * 1_000).toISOString(), until: until.toISOString() };
    const [series, whole, { pipelines }] = await Promise.all([
      read("runs/series", { ...asked, parts }, signal), read("runs/statistics", asked, signal), read("pipelines", {}, signal),
    ]);
    return { ...series, groups: whole.groups, pipelines };
  }, [name, pipeline, by]);

  const change = (changes) => go(hrefWith(["analytics"], query, changes), true);
  const found = load.data;
  const names = [...new Set([...found?.pipelines || [], ...pipeline ? [{ name: pipeline }] : []].map((each) => each.name))].sort();
  return html`
    <header class="head"><h1>Analytics</h1>
      <div class="actions"><button class="button" onClick=${load.again} disabled=${load.isLoading}><${Icon} name="retrying" />Read again</button></div></header>
    <search class="filters">
      <label class="field"><span class="unseen">Time</span><select value=${name} onChange=${(event) => change({ last: event.target.value })}>
        ${Object.entries(SPANS).map(([each, [label]]) => html`<option value=${each}>${label}</option>`)}</select></label>
      <label class="field"><span class="unseen">Pipeline</span><select value=${pipeline || ""} onChange=${(event) => change({ pipeline: event.target.value, by: event.target.value ? by : null })}>
        <option value="">All pipelines</option>${names.map((each) => html`<option value=${each}>${each}</option>`)}</select></label>
      ${pipeline && html`<label class="field"><span class="unseen">What is told apart</span><select value=${by} onChange=${(event) => change({ by: event.target.value })}>
        <option value="pipeline">Whole runs</option><option value="phase">Each phase</option></select></label>`}
    </search>
    ${load.error && !found ? html`<${Failed} error=${load.error} again=${load.again} />`
      : !found ? html`<${Loading} lines=${8} />`
      : !found.groups.length ? html`<${Notice} icon="analytics" title="Nothing was started in that time"><p>A longer one may have more to tell.</p><p><a class="button" href=${href(["analytics"], { last: "90d" })}>The last 90 days</a></p><//>`
      : html`<${Sums} groups=${found.groups} by=${by} />
        <div class="charts" aria-busy=${load.isLoading}>${chartsOf(found.points, found.groups).map((each) => html`<${Chart} key=${each.title} ...${each} show=${SHOWS[each.unit]} />`)}</div>
        <${Groups} groups=${found.groups} by=${by} query=${query} />`}`;
}

function Sums({ groups, by }) {
  const { total, rate, cost: paid, tokens, failed } = summed(groups);
  return html`<dl class="tiles">
    <div><dt>${by === "phase" ? "Phases" : "Runs"}</dt><dd><b class="number">${count(total)}</b><span class="muted">were created in that time</span></dd></div>
    <div><dt>Succeeded</dt><dd><b class="number">${percent(rate)}</b><span class="muted">of those that completed or failed</span></dd></div>
    <div><dt>Failed</dt><dd><b class="number">${count(failed)}</b><span class="muted">${failed ? html`<a href="#/dead-letters">See to them</a>` : "none"}</span></dd></div>
    <div><dt>Cost</dt><dd><b class="number">${cost(String(paid))}</b><span class="muted">${count(tokens)} tokens</span></dd></div>
  </dl>`;
}
