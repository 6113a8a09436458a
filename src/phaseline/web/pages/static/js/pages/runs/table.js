// The rows of a list of runs, gone through by keys too.
import { html, useEffect, useRef, useState } from "../../html.js";
import { useKeys } from "../../keys.js";
import { short } from "../../format.js";
import { go, href } from "../../route.js";
import { State } from "../../parts/state.js";
import { Ago, Took } from "../../parts/time.js";

/** @param {{runs: any[], isOld: boolean}} props */
export function RunTable({ runs, isOld }) {
  const [at, setAt] = useState(-1);
  const body = useRef(/** @type {HTMLElement | null} */ (null));
  const focus = (row) => {
    const next = Math.max(0, Math.min(runs.length - 1, row));
    setAt(next);
    body.current.rows[next]?.querySelector("a").focus();
  };
  useEffect(() => { if (at >= runs.length) setAt(runs.length - 1); }, [runs.length]);
  useKeys({ j: () => focus(at + 1), k: () => focus(at - 1), Enter: () => runs[at] && go(href(["run", runs[at].id])) });
  return html`
    <table class="list runs" aria-label="Runs" aria-busy=${isOld}>
      <thead><tr><th>State</th><th>Pipeline</th><th>Phase</th><th class="end">Started</th><th class="end">Took</th><th class="end">Run</th></tr></thead>
      <tbody ref=${body}>${runs.map((run, row) => html`<${Row} key=${run.id} run=${run} onFocus=${() => setAt(row)} />`)}</tbody>
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
      <td class="end"><a class="mono" href=${link} aria-label=${`Run ${run.id} of ${run.pipeline}`} title=${run.id}>${short(run.id)}</a></td>
    </tr>`;
}
