// The rows of a list of runs, gone through by keys too.
import { html } from "../../html.js";
import { fault, short } from "../../format.js";
import { go, href } from "../../route.js";
import { Select, SelectAll } from "../parts/many.js";
import { useRows } from "../../parts/rows.js";
import { State } from "../../parts/state.js";
import { Ago, TOOK, Took } from "../../parts/time.js";

/** @param {{runs: any[], selected: object | null}} props `selected`: which, of those who may do something to them */
export function RunTable({ runs, selected }) {
  const rows = useRows(runs.map(({ id }) => id), selected?.toggle);
  return html`
    <table class=${`list runs ${selected ? "selectable" : ""}`} aria-label="Runs">
      <thead><tr>${selected && html`<${SelectAll} selected=${selected} />`}<th>State</th><th>Pipeline</th><th>Phase</th><th class="end">Started</th><th class="end" title=${TOOK}>Took</th><th class="end">Run</th></tr></thead>
      <tbody ref=${rows.body}>${runs.map((run) => html`<${Row} key=${run.id} run=${run} selected=${selected} onFocus=${() => rows.onFocus(run.id)} />`)}</tbody>
    </table>`;
}

function Row({ run, selected, onFocus }) {
  const link = href(["run", run.id]);
  const open = (event) => {
    if (!event.target.closest("a, button, .check") && !String(getSelection())) go(link);
  };
  return html`
    <tr onClick=${open} onFocusIn=${onFocus}>
      ${selected && html`<${Select} id=${run.id} selected=${selected} />`}
      <td class="at"><${State} state=${run.state} /></td>
      <td class="name"><b>${run.pipeline}</b> <span class="muted">v${run.version}</span>
        ${(run.key || run.tags.length > 0) && html`<div class="marks">${run.key && html`<span class="mono muted cut" title=${run.key}>${run.key}</span>`}${run.tags.map((tag) => html`<span class="tag">${tag}</span>`)}</div>`}</td>
      <td class="phase">${run.error ? html`<span class="cut bad" title=${fault(run.error)}>${run.phase ? `${run.phase}: ` : ""}${fault(run.error)}</span>` : run.phase || html`<span class="muted">–</span>`}</td>
      <td class="end when"><${Ago} at=${run.created_at} /></td>
      <td class="end took"><${Took} from=${run.started_at} to=${run.ended_at || (run.state === "PAUSED" ? run.updated_at : null)} /></td>
      <td class="end id"><a class="mono" data-row href=${link} aria-label=${`Run ${short(run.id)} of ${run.pipeline}`} title=${run.id}>${short(run.id)}</a></td>
    </tr>`;
}
