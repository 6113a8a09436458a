// One phase of a run, or the items of a map.
import { html, useState } from "../../html.js";
import { part, read } from "../../api.js";
import { count, duration, fault, words } from "../../format.js";
import { useLoad } from "../../loading.js";
import { shownState } from "../../states.js";
import { Fact, Level } from "./head.js";
import { Failed, Loading } from "../../parts/notice.js";
import { Icon } from "../../parts/icon.js";
import { State } from "../../parts/state.js";
import { Took } from "../../parts/time.js";
import { Value } from "../../parts/value.js";

const PAGE = 50;

/** @param {{run: any, path: string, folded: any, inner: any[], node: any, stamp: string, onSelect: (path: string | null) => void}} props */
export function Phase({ run, path, folded, inner, node, stamp, onSelect }) {
  const single = path.includes("[") && !path.includes("[]");
  const own = useLoad((signal) => single ? read(`runs/${part(run.id)}/phases`, { place: path, limit: 1 }, signal) : Promise.resolve(null), [run.id, path], stamp);
  const phase = single ? own.data?.phases[0] : folded?.phase;
  const items = inner.filter((each) => each.path.includes("[]"));
  return html`
    <aside class="panel" aria-label=${`Phase ${path}`}>
      <header><h2 class="mono">${path}</h2><button class="quiet" aria-label="Close" onClick=${() => onSelect(null)}><${Icon} name="close" /></button></header>
      ${phase ? html`<${Row} phase=${phase} />` : !single && html`<p class="muted">${node ? "It has not begun." : "A pipeline within the pipeline."}</p>`}
      ${node && html`<dl class="facts small"><${Fact} name="Queue">${node.queue || "–"}<//>
        ${node.attempts > 1 && html`<${Fact} name="Attempts at most">${node.attempts}<//>`}
        ${node.timeout && html`<${Fact} name="Timeout">${duration(node.timeout)}<//>`}
        ${node.span && html`<${Fact} name="Waits at most">${duration(node.span)}<//>`}
        ${node.limit && html`<${Fact} name="At once">${node.limit}<//>`}</dl>`}
      ${phase?.error && html`<pre class="message bad">${fault(phase.error)}</pre>`}
      ${items.map((each) => html`<${Items} key=${each.path} run=${run} folded=${each} stamp=${stamp} onSelect=${onSelect} />`)}
      ${phase && phase.state === "COMPLETED" && !items.length && html`<h3>Output</h3><${Value} run=${run.id} phase=${path} stamp=${phase.ended_at} none="What it gave stands in its items, or is what it was given." />`}
    </aside>`;
}

const Row = ({ phase }) => html`
  <p><${State} state=${shownState(phase)} /></p>
  <dl class="facts small"><${Fact} name="Took"><${Took} from=${phase.started_at} to=${phase.ended_at} /><//>
    <${Fact} name="Attempt">${phase.attempt}<//>
    ${phase.failures > 0 && html`<${Fact} name="Failures">${phase.failures}<//>`}
    ${phase.crashes > 0 && html`<${Fact} name="Lost workers">${phase.crashes}<//>`}
    ${phase.sla_at && html`<${Fact} name="Service level"><${Level} of=${phase} /><//>`}
    ${phase.reason && html`<${Fact} name="Reason">${phase.reason}<//>`}
    ${phase.progress && phase.state === "RUNNING" && html`<${Fact} name="Progress"><progress max=${phase.progress.total || 1} value=${phase.progress.done} aria-label="Progress"></progress> ${phase.progress.note}<//>`}</dl>`;

/** The items of a map in one place of it, a page at a time. */
function Items({ run, folded, stamp, onSelect }) {
  const [state, setState] = useState(folded.states.FAILED ? "FAILED" : "");
  const [after, setAfter] = useState(-1);
  const load = useLoad((signal) => read(`runs/${part(run.id)}/phases`, { place: folded.path, state, after, limit: PAGE }, signal), [run.id, folded.path, state, after], stamp);
  const choose = (next) => { setState(next); setAfter(-1); };
  return html`
    <h3>Items</h3>
    <div class="tokens">${["", ...Object.keys(folded.states)].map((each) => html`<button class="chip small" aria-pressed=${String(state === each)} onClick=${() => choose(each)}>
      ${each === "SKIPPED" ? "Skipped or cancelled" : each ? words(each) : "All"} <b class="number">${count(each ? folded.states[each] : Object.values(folded.states).reduce((sum, one) => sum + one, 0))}</b></button>`)}</div>
    ${!load.data ? load.error ? html`<${Failed} error=${load.error} />` : html`<${Loading} lines=${3} />` : html`
      <ul class="items">${load.data.phases.map((phase) => html`<li key=${phase.path}><button class="link mono cut" onClick=${() => onSelect(phase.path)}>${phase.path}</button>
        <${State} state=${shownState(phase)} /><${Took} from=${phase.started_at} to=${phase.ended_at} /></li>`)}</ul>
      <div class="pager">${after >= 0 && html`<button class="button small" onClick=${() => setAfter(-1)}>First</button>`}<span class="grow"></span>
        ${load.data.next !== null && html`<button class="button small" onClick=${() => setAfter(load.data.next)}>More<${Icon} name="right" /></button>`}</div>`}`;
}
