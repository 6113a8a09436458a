// What one should know before looking further: what a run failed with, and what it waits for.
import { html } from "../../html.js";
import { count, fault, moment, relative } from "../../format.js";
import { href } from "../../route.js";
import { Icon } from "../../parts/icon.js";
import { useNow } from "../../parts/time.js";

/** Why a phase is called again, where no error says it. */
const WHY = { again: ", as it asked to be", lost: ", whose worker was lost", handed_over: ", whose worker stopped" };

const MEANS = {
  VALIDATION: "What it was given does not fit. Trying again will not help; start another run, or mend the phase.",
  STATE: "Something is not as the phase expects it. Look at what it depends on, then retry.",
  PROCESSING: "The phase could not do its work. Retry goes on from there.",
  TIMEOUT: "It took too long. Retry, or give it more time.",
  SYSTEM: "Something around it broke: a worker, a machine. Look at the workers before you retry.",
};

/** @param {{error: any, isUndone: boolean, onSelect: (path: string) => void}} props `isUndone`: it was rolled back since, and cannot be retried */
export const Failure = ({ error, isUndone, onSelect }) => html`
  <section class="note tone-failed" aria-label="Error">
    <${Icon} name="failed" />
    <div><h2>${error.type}${error.phase && html` <span class="muted">in</span> <button class="link mono" onClick=${() => onSelect(error.phase)}>${error.phase}</button>`}</h2>
      ${error.message && html`<pre class="message">${error.message}</pre>`}
      <p class="muted">${isUndone ? "What it had done was undone since. Resume begins it anew." : MEANS[error.category] || error.category}</p></div>
  </section>`;

/** @param {{run: any, pipeline: any}} props */
export function Waits({ run, pipeline, children }) {
  const nodes = new Map((pipeline?.graph.nodes || []).map((node) => [node.path, node]));
  const later = (phase) => new Date(phase.available_at).getTime() > Date.now();
  const all = run.phases.filter(({ path, phase, states }) => !phase ? states.RUNNING && OF_MANY[nodes.get(path)?.kind]
    : (phase.waits_for && phase.state === "RUNNING") || phase.state === "RETRYING" || (phase.state === "PENDING" && later(phase)));
  useNow(all.length > 0);
  const isPaused = run.state === "PAUSED";
  if (!all.length) return null;
  return html`
    <section class="note tone-waiting" aria-label="Waits for">
      <${Icon} name="waiting" />
      <div><h2>Waits</h2>${isPaused && html`<p class="muted">It is paused: whatever comes, it goes on once it is resumed.</p>`}<ul class="plain">${all.map(({ path, phase, states }) => html`<li key=${path}><span class="mono">${path}</span> ${phase ? html`<${What} phase=${phase} node=${nodes.get(path)} run=${run} />` : OF_MANY[nodes.get(path).kind](nodes.get(path), states.RUNNING, run)}</li>`)}</ul>${children}</div>
    </section>`;
}

/** What items of a map wait for, by the kind of their node. */
const OF_MANY = {
  wait: ({ signal }, many) => html`for ${signal ? html`the signal <b>${signal}</b>` : "their time"}, ${count(many)} of them`,
  child: ({ starts }, many, run) => html`for <a href=${href(["runs"], { parent: run.id })}>${many === 1 ? "another run" : "other runs"}</a> of ${starts}, ${count(many)} of them`,
};

function What({ phase, node, run }) {
  const at = phase.waits_until || phase.available_at;
  const when = html`<time datetime=${at} title=${moment(at)}>${relative(at)}</time>`;
  if (phase.state === "RETRYING") return html`${phase.reason === "again" ? "is called again" : "tries again"} ${when}, after attempt ${phase.attempt}${phase.error ? html`: <span class="muted">${fault(phase.error)}</span>` : WHY[phase.reason] || ""}`;
  if (phase.state === "PENDING") return html`is begun ${when}, not before ${moment(at)}`;
  if (phase.waits_for === "signal") return html`for ${node?.signal ? html`the signal <b>${node.signal}</b>` : "a signal"}${phase.started_at && html` since ${moment(phase.started_at)} (<time datetime=${phase.started_at}>${relative(phase.started_at)}</time>)`}${phase.waits_until && html`, until ${moment(at)}, ${when}`}`;
  if (phase.waits_for === "child") return html`for <a href=${href(["runs"], { parent: run.id })}>another run</a>${node?.starts && html` of ${node.starts}`}`;
  return html`until ${moment(at)}, ${when}`;
}
