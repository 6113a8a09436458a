// Commands to many: to those that are selected, or to all that the filter matches, a part of them at a time.
import { html, useMemo, useState } from "../../html.js";
import { change, part } from "../../api.js";
import { count } from "../../format.js";
import { Reason } from "../../parts/reason.js";
import { say } from "../../parts/toast.js";

const STRIDE = 200; // that are commanded at once

/** @typedef {{label: string, icon?: string, done: string, means: string, isGrave?: boolean}} Deed `means` follows "Each run …" */

/** Which rows are selected, of those that are shown; the same object as long as nothing of it changes. @param {string[]} ids */
export function useSelected(ids) {
  const [all, setAll] = useState(/** @type {Set<string>} */ (new Set()));
  return useMemo(() => {
    const chosen = ids.filter((id) => all.has(id));
    return {
      chosen, has: (id) => all.has(id), isWhole: ids.length > 0 && chosen.length === ids.length,
      toggle: (id) => setAll((old) => {
        const next = new Set(old);
        if (!next.delete(id)) next.add(id);
        return next;
      }),
      toggleAll: () => setAll(new Set(chosen.length === ids.length ? [] : ids)),
      clear: () => setAll((old) => old.size ? new Set() : old),
    };
  }, [ids, all]);
}

export const SelectAll = ({ selected }) => html`<th class="check"><input type="checkbox" aria-label="Select all on this page" checked=${selected.isWhole} onChange=${selected.toggleAll} /></th>`;
export const Select = ({ id, selected }) => html`<td class="check"><input type="checkbox" aria-label=${`Select run ${id}`} checked=${selected.has(id)} onChange=${() => selected.toggle(id)} /></td>`;

/**
 * Asks for the reason, and does it: to some, or, without ids, to all that match.
 * @param {{verb: string, deed: Deed, ids: string[] | null, at: string, noun: string, which: string, filter: object, onClose: () => void, onDone: () => void}} props
 *   `at`: where the surface takes it; `noun`: of one of them; `which`: which all are, in words
 */
export function AskMany({ verb, deed: { label, done, means, isGrave }, ids, at, noun, which, filter, onClose, onDone }) {
  const act = async (reason, tell) => {
    const sum = ids ? await toEach(at, verb, ids, reason, tell) : await toAll(at, verb, filter, reason, tell);
    if (sum.done || !Object.keys(sum.refused).length) say(`${count(sum.done)} ${done}`);
    return sum.refused;
  };
  return html`<${Reason} title=${ids?.length === 1 ? `${label} the ${noun}` : `${label} ${ids ? count(ids.length) : "all"} ${noun}s`}
    means=${`${!ids ? which : ids.length === 1 ? "The run" : `Each of the ${count(ids.length)} selected runs`} ${means}`}
    label=${label} isGrave=${isGrave} act=${act} onClose=${onClose} onDone=${onDone} />`;
}

async function toEach(at, verb, ids, reason, tell) {
  const sum = { done: 0, refused: {} };
  for (const id of ids) {
    try {
      await change(`${at}/${part(id)}/${verb}`, { reason });
      sum.done += 1;
    } catch (error) {
      if (![404, 409].includes(error.status)) throw error; // the others would fare no better
      sum.refused[id] = error.message;
    }
    tell(`${count(sum.done)} of ${count(ids.length)}`);
  }
  return sum;
}

async function toAll(at, verb, filter, reason, tell) {
  const given = Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== null && value !== undefined));
  const sum = { done: 0, refused: {} };
  for (let after = null; ;) {
    const told = await change(`${at}/${verb}`, { ...given, reason, limit: STRIDE, ...after && { after } });
    sum.done += told.done;
    Object.assign(sum.refused, told.refused);
    tell(`${count(sum.done)} so far`);
    if (!told.next) return sum;
    after = told.next;
  }
}
