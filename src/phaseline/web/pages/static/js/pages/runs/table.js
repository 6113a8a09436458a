// The rows of a list of runs, gone through by keys too.
import { html } from "../../html.js";
import { short } from "../../format.js";
import { go, href } from "../../route.js";
import { useRows } from "../../parts/rows.js";
import { State } from "../../parts/state.js";
import { Ago, Took } from "../../parts/time.js";

/** @param {{runs: any[], isOld: boolean}} props */
export function RunTable({ runs, isOld }) {
  const rows = useRows(runs.map(({ id }) => id));
  return html`
    <table class="list runs" aria-label="Runs" aria-busy=${isOld}>
      <thead><tr><th>State</th><th>Pipeline</th><th>Phase</th><th class="end">Started</th><th class="end">Took</th><th class="end">Run</th></tr></thead>
      <tbody ref=${rows.body}>${runs.map((run) => html`<${Row} key=${run.id} run=${run} onFocus=${() => rows.onFocus(run.id)} />`)}</tbody>
    </table>`;
}

function Row({ run, onFocus }) {
  const link = href(["run", run.id]);
  const open = (event) => {
    if (!event.target.closest("a, button, input") && !String(getSelection())) go(link);
  };
  return html`
    <tr onClick=${open} onFocusIn=${onFocus}>
      <td><${State} state=${run.state} /></td>
      <td class="name"><b>${run.pipeline}</b> <span class="muted">v${run.version}</span>
        ${(run.key || run.tags.length > 0) && html`<div class="marks">${run.key && html`<span class="mono muted cut" title=${run.key}>${run.key}</span>`}${run.tags.map((tag) => html`<span class="tag">${tag}</span>`)}</div>`}</td>
      <td class="phase">${run.error ? html`<span class="cut bad" title=${run.error.message}>${run.phase ? `${run.phase}: ` : ""}${run.error.message}</span>` : run.phase || html`<span class="muted">–</span>`}</td>
      <td class="end"><${Ago} at=${run.created_at} /></td>
      <td class="end"><${Took} from=${run.started_at} to=${run.ended_at || (run.state === "PAUSED" ? run.updated_at : null)} /></td>
      <td class="end"><a class="mono" data-row href=${link} aria-label=${`Run ${short(run.id)} of ${run.pipeline}`} title=${run.id}>${short(run.id)}</a></td>
    </tr>`;
}
