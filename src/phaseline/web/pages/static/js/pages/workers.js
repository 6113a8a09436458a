// Queues and workers: how much waits, since when, how fast it goes, and who is there for it.
import { html } from "../html.js";
import { read } from "../api.js";
import { useMay } from "../access.js";
import { useEvents } from "../live.js";
import { useAtMost, useLoad } from "../loading.js";
import { href } from "../route.js";
import { count } from "../format.js";
import { useRates } from "./workers/rates.js";
import { Failed, Loading, Notice } from "../parts/notice.js";
import { Icon } from "../parts/icon.js";
import { Ago, Took, useNow } from "../parts/time.js";

const LOOK = 2_000; // milliseconds between two readings, however much happens
const COUNTED = 10_000; // of each lane no more are counted

export default function Workers() {
  const may = useMay();
  const load = useLoad((signal) => read("work", {}, signal), []);
  const look = useAtMost(() => !document.hidden && load.again(), LOOK);
  const rates = useRates(may("list") && may("read"));
  useEvents({ everything: true }, {
    event: (told) => { rates.note(told); look(); }, catchUp: () => { rates.forget(); load.again(); },
  });
  const work = load.data;
  if (!work) return html`<header class="head"><h1>Queues and workers</h1></header>
    ${load.error ? html`<${Failed} error=${load.error} again=${load.again} />` : html`<${Loading} />`}`;
  const letters = Object.values(work.dead_letters).reduce((sum, each) => sum + each, 0);
  const alive = work.workers.filter((worker) => worker.alive).length;
  return html`
    <header class="head"><h1>Queues and workers</h1></header>
    ${work.ok ? html`<p class="health tone-done"><${Icon} name="done" />Nothing is wrong: storage and broker answer, and nothing waits too long.</p>`
      : html`<div class="health tone-failed" role="alert"><${Icon} name="warning" /><ul>${work.problems.map((each) => html`<li>${each}</li>`)}</ul></div>`}
    <dl class="tiles">
      <${Tile} name="Waiting" value=${many(work.queues.reduce((sum, each) => sum + each.waiting, 0))} told="phases that are due and not taken" />
      <${Tile} name="Workers" value=${work.lists_workers ? count(alive) : "1"} told=${!work.lists_workers ? "this process is all there is" : alive < work.workers.length ? `${count(work.workers.length - alive)} more are gone` : alive ? "all alive" : "none is there"} />
      ${work.threads && html`<${Tile} name="Threads" value=${`${count(work.threads.busy)} of ${count(work.threads.limit)}`} told=${work.threads.abandoned ? `${count(work.threads.abandoned)} do not return` : "busy in the process that answers"} />`}
      <${Tile} name="Dead letters" value=${many(letters)} told=${letters ? html`<a href="#/dead-letters">See to them</a>` : "nothing needs you"} />
    </dl>
    <section class="place" aria-label="Queues"><h2>Queues</h2><${Queues} queues=${work.queues} rates=${rates} /></section>
    ${work.unknown.length > 0 && html`<p class="health tone-paused"><${Icon} name="warning" /><span>Phases wait that the process which answers does not know: ${work.unknown.map(({ name, version }) => `${name} v${version}`).join(", ")}.
      Another worker may; else deploy one that registers them.</span></p>`}
    ${work.lists_workers && html`<section class="place" aria-label="Workers"><h2>Workers</h2><${List} workers=${work.workers} /></section>`}`;
}

const many = (number) => `${count(number)}${number >= COUNTED ? "+" : ""}`;
const Tile = ({ name, value, told }) => html`<div><dt>${name}</dt><dd><b class="number">${value}</b><span class="muted">${told}</span></dd></div>`;

function Queues({ queues, rates }) {
  useNow(); // rates are of the last minute
  if (!queues.length) return html`<${Notice} icon="workers" title="No queue is served here"><p>The process that answers takes no work, and nothing waits. A worker is started by <code>phaseline worker</code>.</p><//>`;
  return html`<div class="wide"><table class="list">
    <thead><tr><th>Queue</th><th class="end">Waiting</th><th class="end">The oldest for</th><th class="end">Done a minute</th><th class="end">Failed a minute</th><th>Waits for</th></tr></thead>
    <tbody>${queues.map(({ queue, waiting, since, served, pipelines }) => {
      const rate = rates.of(queue);
      return html`<tr key=${queue}><td><b>${queue}</b>${!served && html`<div class="muted">not taken from by this process</div>`}</td>
        <td class="end">${many(waiting)}</td><td class="end"><${Took} from=${since} to=${null} /></td>
        <td class="end">${rate ? rate.done : html`<span class="muted" title="Known after some seconds on this page">…</span>`}</td>
        <td class="end">${rate ? html`<span class=${rate.failed ? "bad" : ""}>${rate.failed}</span>` : html`<span class="muted">…</span>`}</td>
        <td>${pipelines.length ? pipelines.map((name) => html`<a class="tag" href=${href(["runs"], { pipeline: name })}>${name}</a> `) : html`<span class="muted">–</span>`}</td></tr>`;
    })}</tbody></table></div>`;
}

function List({ workers }) {
  if (!workers.length) return html`<p class="muted">None has ever come. Start one by <code>phaseline worker</code>.</p>`;
  return html`<div class="wide"><table class="list">
    <thead><tr><th>State</th><th>Worker</th><th class="end">Process</th><th class="end">Seen</th></tr></thead>
    <tbody>${workers.map(({ id, pid, alive, seen_at: at }) => html`<tr key=${id}>
      <td>${alive ? html`<span class="state tone-done"><${Icon} name="done" />Alive</span>` : html`<span class="state tone-failed"><${Icon} name="failed" />Gone</span>`}</td>
      <td class="mono">${id}</td><td class="end">${pid}</td><td class="end"><${Ago} at=${at} /></td></tr>`)}</tbody></table></div>`;
}
