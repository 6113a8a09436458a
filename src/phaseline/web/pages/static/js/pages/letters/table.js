// The rows of a list of dead letters.
import { html } from "../../html.js";
import { short, words } from "../../format.js";
import { href } from "../../route.js";
import { useRows } from "../../parts/rows.js";
import { Ago } from "../../parts/time.js";

/**
 * @param {{letters: any[], selected: Set<string>, onSelect: ((selected: Set<string>) => void) | null, verbs: string[],
 *   labels: Record<string, {label: string}>, onDeed: (verb: string, id: string) => void}} props
 */
export function LetterTable({ letters, selected, onSelect, verbs, labels, onDeed }) {
  const ids = letters.map(({ run_id: id }) => id);
  const toggle = (id) => {
    const next = new Set(selected);
    if (!next.delete(id)) next.add(id);
    onSelect?.(next);
  };
  const rows = useRows(ids, toggle);
  const all = ids.every((id) => selected.has(id));
  return html`
    <div class="wide"><table class="list letters" aria-label="Dead letters">
      <thead><tr>${onSelect && html`<th class="check"><input type="checkbox" aria-label="Select all on this page" checked=${all} onChange=${() => onSelect(new Set(all ? [] : ids))} /></th>`}
        <th>Pipeline</th><th>What failed</th><th class="end">Attempts</th><th class="end">Failed</th><th class="end">Run</th><th><span class="unseen">What to do</span></th></tr></thead>
      <tbody ref=${rows.body}>${letters.map(({ run_id: id, pipeline, phase, error, attempts, crashes, at }) => html`
        <tr key=${id} onFocusIn=${() => rows.onFocus(id)}>
          ${onSelect && html`<td class="check"><input type="checkbox" aria-label=${`Select run ${id}`} checked=${selected.has(id)} onChange=${() => toggle(id)} /></td>`}
          <td><b>${pipeline}</b><div class="muted">${phase || "its time was over"}</div></td>
          <td class="cause"><span class="tag">${words(error.category)}</span> <span class="mono">${error.type}</span><div class="bad clamp" title=${error.message}>${error.message}</div></td>
          <td class="end">${attempts}${crashes > 0 && html`<div class="muted">${crashes} lost</div>`}</td>
          <td class="end"><${Ago} at=${at} /></td>
          <td class="end"><a class="mono" data-row href=${href(["run", id])} aria-label=${`Run ${short(id)} of ${pipeline}`} title=${id}>${short(id)}</a></td>
          <td class="end deeds">${verbs.map((verb) => html`<button class="button small" aria-label=${`${labels[verb].label} run ${id}`} onClick=${() => onDeed(verb, id)}>${labels[verb].label}</button>`)}</td>
        </tr>`)}</tbody>
    </table></div>`;
}
