// The rows of a list of dead letters.
import { html } from "../../html.js";
import { short, words } from "../../format.js";
import { href } from "../../route.js";
import { Select, SelectAll } from "../parts/many.js";
import { useRows } from "../../parts/rows.js";
import { Ago } from "../../parts/time.js";

/**
 * @param {{letters: any[], selected: ReturnType<typeof import("../parts/many.js").useSelected>, verbs: string[],
 *   labels: Record<string, {label: string}>, onDeed: (verb: string, id: string) => void}} props
 */
export function LetterTable({ letters, selected, verbs, labels, onDeed }) {
  const ids = letters.map(({ run_id: id }) => id);
  const rows = useRows(ids, verbs.length ? selected.toggle : undefined);
  return html`
    <div class="wide"><table class="list letters" aria-label="Dead letters">
      <thead><tr>${verbs.length > 0 && html`<${SelectAll} selected=${selected} />`}
        <th>Pipeline</th><th>What failed</th><th class="end">Attempts</th><th class="end">Failed</th><th class="end">Run</th><th><span class="unseen">What to do</span></th></tr></thead>
      <tbody ref=${rows.body}>${letters.map(({ run_id: id, pipeline, phase, error, attempts, crashes, at }) => html`
        <tr key=${id} onFocusIn=${() => rows.onFocus(id)}>
          ${verbs.length > 0 && html`<${Select} id=${id} selected=${selected} />`}
          <td><b>${pipeline}</b><div class="muted">${phase || "its time was over"}</div></td>
          <td class="cause"><span class="tag">${words(error.category)}</span> <span class="mono">${error.type}</span><div class="bad clamp" title=${error.message}>${error.message}</div></td>
          <td class="end">${attempts}${crashes > 0 && html`<div class="muted">${crashes} lost</div>`}</td>
          <td class="end"><${Ago} at=${at} /></td>
          <td class="end"><a class="mono" data-row href=${href(["run", id])} aria-label=${`Run ${short(id)} of ${pipeline}`} title=${id}>${short(id)}</a></td>
          <td class="end deeds">${verbs.map((verb) => html`<button class="button small" aria-label=${`${labels[verb].label} run ${id}`} onClick=${() => onDeed(verb, id)}>${labels[verb].label}</button>`)}</td>
        </tr>`)}</tbody>
    </table></div>`;
}
