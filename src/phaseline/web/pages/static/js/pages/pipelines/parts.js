// What a pipeline is made of: its steps, the states of its runs, and what it takes and gives.
import { html } from "../../html.js";
import { duration } from "../../format.js";
import { State } from "../../parts/state.js";
import { Tree } from "../../parts/tree.js";

const KINDS = { phase: "Phase", map: "For each", wait: "Wait", test: "Test", child: "Another run" };
const none = html`<span class="muted">–</span>`;

function limitsOf({ limit, concurrency, rate }) {
  const told = [
    limit && `${limit} at once`, concurrency && `${concurrency} at once everywhere`, rate && `${rate.starts} in ${duration(rate.per)}`,
  ].filter(Boolean);
  return told.length ? told.join(", ") : none;
}

/** @param {{nodes: any[], selected: string | null}} props */
export const Steps = ({ nodes, selected }) => html`
  <div class="wide"><table class="list flat steps" aria-label="Steps">
    <thead><tr><th>Step</th><th>Kind</th><th>Queue</th><th class="end">Attempts</th><th class="end">Timeout</th><th>Limits</th></tr></thead>
    <tbody>${nodes.map((node) => html`<tr key=${node.path} aria-selected=${String(node.path === selected)}>
      <td class="mono">${node.path}${node.compensates && html` <span class="tag">can be undone</span>`}</td><td>${KINDS[node.kind] || node.kind}${node.signal && html` <span class="muted">for ${node.signal}</span>`}${node.starts && html` <span class="muted">of ${node.starts}</span>`}</td>
      <td>${node.queue}</td><td class="end">${node.attempts ?? none}</td><td class="end">${node.timeout || node.span ? duration(node.timeout || node.span) : none}</td><td>${limitsOf(node)}</td></tr>`)}</tbody>
  </table></div>`;

/** @param {{states: Record<string, string[]>}} props */
export const States = ({ states }) => html`
  <section class="card still" aria-label="States"><header><h2>States of a run</h2><span class="muted small">derived from the graph</span></header>
    <table class="list flat" aria-label="States"><thead><tr><th>In</th><th>may become</th></tr></thead>
      <tbody>${Object.entries(states).map(([state, next]) => html`<tr key=${state}><td><${State} state=${state} /></td>
        <td><span class="next">${next.length ? next.map((each) => html`<${State} state=${each} />`) : html`<span class="muted">nothing: it is over</span>`}</span></td></tr>`)}</tbody></table>
  </section>`;

/** @param {{pipeline: any}} props */
export function Schemas({ pipeline }) {
  const all = [["What it takes", pipeline.input_schema], ["What it gives", pipeline.output_schema], ["Signals it waits for", pipeline.signals]]
    .filter(([, schema]) => schema && Object.keys(schema).length);
  if (!all.length) return null;
  return html`<section class="card" aria-label="Types"><header><h2>Types</h2><span class="muted small">as JSON schemas</span></header>
    <div class="body schemas">${all.map(([title, schema]) => html`<div key=${title}><h3>${title}</h3><div class="tree"><${Tree} value=${schema} /></div></div>`)}</div></section>`;
}
