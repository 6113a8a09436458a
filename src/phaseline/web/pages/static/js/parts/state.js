// The state of a run or phase: an icon and a word, in the colour of its tone.
import { html } from "../html.js";
import { words } from "../format.js";
import { toneOf } from "../states.js";
import { Icon } from "./icon.js";

export const State = ({ state, large = false }) => {
  const tone = toneOf(state);
  return html`<span class=${`state tone-${tone} ${large ? "large" : ""}`}><${Icon} name=${tone} /><span>${words(state)}</span></span>`;
};
