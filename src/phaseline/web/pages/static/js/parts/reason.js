// Asks before something is done: what it means, and why it is done. What was refused stays on the page until it is read.
import { html, useState } from "../html.js";
import { short } from "../format.js";
import { Dialog } from "./dialog.js";
import { Icon } from "./icon.js";

const SHOWN = 5; // of what was refused

/** The first of many, and how many others there are. @param {string[]} all */
const first = (all) => all.length > SHOWN ? [...all.slice(0, SHOWN), `and ${all.length - SHOWN} more`] : all;

/** What was refused, by reason: most often it is the same for all. @param {[string, string][]} refused */
function folded(refused) {
  const ids = {};
  for (const [id, why] of refused) (ids[why] ||= []).push(short(id));
  return first(Object.entries(ids).map(([why, of]) => `${first(of).join(", ")}: ${why}`));
}

/**
 * `act` gets the reason and what tells how far it is; it gives what was refused, by id, or nothing.
 * @param {{title: string, means: string, label: string, isGrave?: boolean, asksWhy?: boolean, onClose: () => void, onDone: () => void,
 *   children?: unknown, act: (reason: string, tell: (text: string) => void) => Promise<Record<string, string> | void>}} props
 */
export function Reason({ title, means, label, isGrave = false, asksWhy = true, children = null, act, onClose, onDone }) {
  const [reason, setReason] = useState("");
  const [told, setTold] = useState("");
  const [problems, setProblems] = useState(/** @type {string[] | null} */ (null));
  const submit = async (event) => {
    event.preventDefault();
    setProblems(null);
    setTold("One moment …");
    try {
      const refused = Object.entries(await act(reason, setTold) || {});
      if (!refused.length) return onDone();
      setProblems(folded(refused));
    } catch (error) {
      setProblems([error.message, ...error.problems || []]);
    }
    setTold("");
  };
  return html`
    <${Dialog} title=${title} onClose=${onClose}>
      <form class="form" onSubmit=${submit}>
        <p class="muted">${means}</p>
        ${children}
        ${asksWhy && html`<label><span class="label">Reason <span class="muted">optional</span></span>
          <textarea rows="2" maxlength="2000" value=${reason} onInput=${(event) => setReason(event.target.value)}></textarea>
          <span class="hint">It stands in the history of each run, beside your name.</span></label>`}
        ${problems && html`<div class="problem" role="alert"><${Icon} name="warning" /><ul>${problems.map((each) => html`<li>${each}</li>`)}</ul></div>`}
        <footer><span class="muted grow" role="status">${told}</span>
          <button type="button" class="button" onClick=${problems ? onDone : onClose}>${problems ? "Close" : "Leave it"}</button>
          <button class=${`button main ${isGrave ? "danger" : ""}`} disabled=${Boolean(told)}>${label}</button></footer>
      </form>
    <//>`;
}
