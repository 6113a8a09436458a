// A value of a run, read when it is looked at.
import { html } from "../html.js";
import { address, part, read } from "../api.js";
import { count } from "../format.js";
import { useLoad } from "../loading.js";
import { Failed, Loading } from "./notice.js";
import { Tree } from "./tree.js";

const LARGE = 10_000; // characters

/** @param {{run: string, of?: "input" | "output", phase?: string, stamp?: string, none?: string}} props `stamp`: reads anew when it changes */
export function Value({ run, of = "output", phase, stamp, none = "There is none yet." }) {
  const path = `runs/${part(run)}/value`;
  const load = useLoad((signal) => read(path, { of, phase }, signal), [run, of, phase], stamp);
  if (!load.data) return load.error ? html`<${Failed} error=${load.error} />` : html`<${Loading} lines=${3} />`;
  const { is_there: isThere, is_beginning: isBeginning, characters, value } = load.data;
  if (!isThere) return html`<p class="muted">${none}</p>`;
  return html`<div class="tree"><${Tree} value=${value} /></div>${characters > LARGE && html`<p class="muted small">${count(characters)} ${isBeginning ? "bytes" : "characters"} in all; a part is shown.
    <a href=${address(`${path}/file`, { of, phase })} download>Download all of it</a></p>`}`;
}
