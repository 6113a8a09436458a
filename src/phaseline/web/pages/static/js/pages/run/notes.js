// What one should know before looking further: what a run failed with, and what it waits for.
import { html } from "../../html.js";
import { count, fault, moment, relative } from "../../format.js";
import { href } from "../../route.js";
import { Icon } from "../../parts/icon.js";
import { useNow } from "../../parts/time.js";

const MEANS = {
  VALIDATION: "What it was given does not fit. Trying again will not help; start another run, or mend the phase.",
  STATE: "Something is not as the phase expects it. Look at what it depends on, then retry.",
  PROCESSING: "The phase could not do its work. Retry goes on from there.",
  TIMEOUT: "It took too long. Retry, or give it more time.",
  SYSTEM: "Something around it broke: a worker, a machine. Look at the workers before you retry.",
};

export const Failure = ({ error, onSelect }) => html`
  <section class="note tone-failed" aria-label="Error">
    <${Icon} name="failed" />
    <div><h2>${error.type}${error.phase && html` <span class="muted">in</span> <button class="link mono" onClick=${() => onSelect(error.phase)}>${error.phase}</button>`}</h2>
      ${error.message && html`<pre class="message">${error.message}</pre>`}
      <p class="muted">${MEANS[error.category] || error.category}</p></div>
  </section>`;

/** @param {{run: any, pipeline: any}} props */
export function Waits({ run, pipeline, children }) {
  const nodes = new Map((pipeline?.graph.nodes || []).map((node) => [node.path, node]));
  const later = (phase) => new Date(phase.available_at).getTime() > Date.now();
  const all = run.phases.filter(({ path, phase, states }) => !phase ? states.RUNNING && nodes.get(path)?.signal
    : (phase.waits_for && phase.state === "RUNNING") || phase.state === "RETRYING" || (phase.state === "PENDING" && later(phase)));
  useNow(all.length > 0);
  if (!all.length) return null;
  return html`
    <section class="note tone-waiting" aria-label="Waits for">
      <${Icon} name="waiting" />
      <div><h2>Waits</h2><ul class="plain">${all.map(({ path, phase, states }) => html`<li key=${path}><span class="mono">${path}</span> ${phase ? html`<${What} phase=${phase} node=${nodes.get(path)} run=${run} />` : html`for the signal <b>${nodes.get(path).signal}</b>, ${count(states.RUNNING)} of them`}</li>`)}</ul>${children}</div>
    </section>`;
}

function What({ phase, node, run }) {
  const at = phase.waits_until || phase.available_at;
  const when = html`<time datetime=${at} title=${moment(at)}>${relative(at)}</time>`;
  if (phase.state === "RETRYING") return html`tries again ${when}, after attempt ${phase.attempt}: <span class="muted">${phase.error ? fault(phase.error) : phase.reason}</span>`;
  if (phase.waits_for === "signal") return html`for the signal <b>${node?.signal || ""}</b>${phase.started_at && html` since <time datetime=${phase.started_at}>${relative(phase.started_at).replace(" ago", "")}</time>`}${phase.waits_until && html`, until ${moment(at)}, ${when}`}`;
  if (phase.waits_for === "child") return html`for <a href=${href(["runs"], { parent: run.id })}>another run</a>${node?.starts && html` of ${node.starts}`}`;
  return html`until ${moment(at)}, ${when}`;
}
