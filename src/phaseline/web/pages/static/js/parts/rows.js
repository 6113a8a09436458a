// Rows of a list, gone through by keys: j and k give the focus to what opens one, x selects it.
import { useRef } from "../html.js";
import { useKeys } from "../keys.js";

/**
 * @param {string[]} ids of the rows, in their order @param {(id: string) => void} [select]
 * @returns {{body: object, onFocus: (id: string) => void}} for the table's body, and for each row; `data-row` marks what opens it
 */
export function useRows(ids, select) {
  const last = useRef({ id: "", row: -1 }); // that had the focus; in a list that is live, rows move
  const body = useRef(/** @type {HTMLTableSectionElement | null} */ (null));
  const at = () => ids.indexOf(last.current.id);
  const focus = (row) => body.current?.querySelectorAll("[data-row]")[Math.max(0, Math.min(ids.length - 1, row))]?.focus();
  useKeys({
    j: () => focus(at() < 0 ? last.current.row : at() + 1),
    k: () => focus((at() < 0 ? last.current.row : at()) - 1),
    x: () => at() >= 0 && select?.(last.current.id),
  });
  return { body, onFocus: (id) => { last.current = { id, row: ids.indexOf(id) }; } };
}
