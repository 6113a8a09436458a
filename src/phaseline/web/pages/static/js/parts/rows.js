// Rows of a list, gone through by keys: j and k give the focus to what opens one, x selects it.
import { useEffect, useRef, useState } from "../html.js";
import { useKeys } from "../keys.js";

/**
 * @param {string[]} ids of the rows, in their order @param {(id: string) => void} [select]
 * @returns {{body: object, onFocus: (id: string) => void}} for the table's body, and for each row; `data-row` marks what opens it
 */
export function useRows(ids, select) {
  const [at, setAt] = useState(-1);
  const body = useRef(/** @type {HTMLTableSectionElement | null} */ (null));
  const focus = (row) => {
    const next = Math.max(0, Math.min(ids.length - 1, row));
    setAt(next);
    body.current?.querySelectorAll("[data-row]")[next]?.focus();
  };
  useEffect(() => { if (at >= ids.length) setAt(ids.length - 1); }, [ids.length]);
  useKeys({ j: () => focus(at + 1), k: () => focus(at - 1), x: () => ids[at] !== undefined && select?.(ids[at]) });
  return { body, onFocus: (id) => setAt(ids.indexOf(id)) };
}
