// What a run is: its state, its names, and its times.
import { html } from "../../html.js";
import { moment } from "../../format.js";
import { href } from "../../route.js";
import { Icon } from "../../parts/icon.js";
import { State } from "../../parts/state.js";
import { Ago, TOOK, Took } from "../../parts/time.js";
import { say } from "../../parts/toast.js";

export const Head = ({ run, children }) => html`
  <p class="above"><a href="#/runs">Runs</a><span aria-hidden="true">/</span><a href=${href(["runs"], { pipeline: run.pipeline })}>${run.pipeline}</a></p>
  <header class="head">
    <div class="title"><h1>${run.pipeline} <span class="muted">v${run.version}</span></h1><${State} state=${run.state} large /></div>
    <div class="actions">${children}</div>
  </header>`;

export const Facts = ({ run }) => html`
  <dl class="facts">
    <${Fact} name="Run"><span class="mono">${run.id}</span> <${Copy} text=${run.id} /><//>
    ${run.key && html`<${Fact} name="Key"><span class="mono">${run.key}</span><//>`}
    <${Fact} name="Created"><${Ago} at=${run.created_at} /><//>
    <${Fact} name="Took" title=${TOOK}><${Took} from=${run.started_at} to=${run.ended_at || (run.state === "PAUSED" ? run.updated_at : null)} /><//>
    ${run.deadline && html`<${Fact} name="Deadline"><${Until} at=${run.deadline} /><//>`}
    ${run.sla_at && html`<${Fact} name="Service level"><${Level} of=${run} /><//>`}
    ${run.priority !== 100 && html`<${Fact} name="Priority"><span class="number">${run.priority}</span><//>`}
    ${run.parent_id && html`<${Fact} name="Started by"><a class="mono" href=${href(["run", run.parent_id])}>${run.parent_id}</a><//>`}
    ${run.forked_from && html`<${Fact} name="Copy of"><a class="mono" href=${href(["run", run.forked_from])}>${run.forked_from}</a><//>`}
    ${run.tags.length > 0 && html`<${Fact} name="Tags">${run.tags.map((tag) => html`<a class="tag" href=${href(["runs"], { tag })}>${tag}</a> `)}<//>`}
    ${Object.entries(run.attributes).map(([name, value]) => html`<${Fact} name=${name}>${String(value)}<//>`)}
  </dl>`;

/** A moment that counts to the minute, and how far it is. */
const Until = ({ at }) => html`${moment(at)}, <${Ago} at=${at} />`;

/** When a run or phase should be over, and whether it was not. */
export const Level = ({ of: { sla_at: at, breached } }) => html`<span class=${breached === null ? "" : "bad"}>${breached === null ? "over by" : "not over by"} <${Until} at=${at} /></span>`;

export const Fact = ({ name, title = null, children }) => html`<div title=${title}><dt>${name}</dt><dd>${children}</dd></div>`;

function Copy({ text }) {
  const copy = () => navigator.clipboard.writeText(text).then(() => say("Copied"), () => say("The browser does not let this page copy", "failed"));
  return navigator.clipboard && html`<button class="quiet small" aria-label="Copy the id" onClick=${copy}><${Icon} name="copy" /></button>`;
}
