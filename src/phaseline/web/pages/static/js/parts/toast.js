// Short messages about what was done, or could not be.
import { html, useEffect, useState } from "../html.js";
import { Icon } from "./icon.js";

const STAYS = 6_000;
let last = 0;
/** @type {(change: (all: any[]) => any[]) => void} */
let setAll = () => {};

/** Say something. @param {string} text @param {"done" | "failed"} [tone] @param {string} [link] to what came of it */
export function say(text, tone = "done", link = "") {
  const id = (last += 1);
  setAll((all) => [...all, { id, text, tone, link }]);
  setTimeout(() => setAll((all) => all.filter((each) => each.id !== id)), tone === "failed" ? 2 * STAYS : STAYS);
}

export function Toasts() {
  const [all, set] = useState(/** @type {any[]} */ ([]));
  useEffect(() => { setAll = set; }, []);
  return html`<div class="toasts" role="status" aria-live="polite">${all.map(({ id, text, tone, link }) => html`
    <p key=${id} class=${`tone-${tone}`}><${Icon} name=${tone} /><span>${text}${link && html` <a href=${link}>See it</a>`}</span></p>`)}</div>`;
}
