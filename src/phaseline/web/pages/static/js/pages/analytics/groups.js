// The numbers of the whole time, group by group.
import { html } from "../../html.js";
import { hrefWith } from "../../route.js";
import { cost, count, duration, percent } from "../../format.js";

const span = (found, which) => found ? duration(found[which]) : html`<span class="muted">–</span>`;

/** @param {{groups: any[], by: "pipeline" | "phase", query: URLSearchParams}} props */
export const Groups = ({ groups, by, query }) => html`
  <div class="wide"><table class="list" aria-label="Numbers">
    <thead><tr><th>${by === "phase" ? "Phase" : "Pipeline"}</th><th class="end">Count</th><th class="end">Failed</th><th class="end">Success</th>
      <th class="end">p50</th><th class="end">p95</th><th class="end">p99</th><th class="end">Longest</th><th class="end">Waited p95</th><th class="end">Cost</th></tr></thead>
    <tbody>${groups.map(({ group, states, success_rate: rate, duration_seconds: took, waited_seconds: waited, usage }) => html`<tr key=${group}>
      <td>${by === "phase" ? group.slice(group.indexOf("/") + 1) : html`<a href=${hrefWith(["analytics"], query, { pipeline: group, by: "phase" })} title="Its phases">${group}</a>`}</td>
      <td class="end">${count(Object.values(states).reduce((sum, each) => sum + each, 0))}</td>
      <td class="end">${states.FAILED ? html`<span class="bad">${count(states.FAILED)}</span>` : 0}</td><td class="end">${percent(rate)}</td>
      ${["p50", "p95", "p99", "most"].map((which) => html`<td class="end">${span(took, which)}</td>`)}
      <td class="end">${span(waited, "p95")}</td><td class="end">${cost(usage.cost)}</td></tr>`)}</tbody>
  </table></div>`;
