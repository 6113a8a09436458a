// What people do to a run: each deed with what it means, what it asks for, and a reason.
import { html, useState } from "../../html.js";
import { change, part } from "../../api.js";
import { go, href } from "../../route.js";
import { Field, initial } from "../../parts/form.js";
import { Icon } from "../../parts/icon.js";
import { Menu } from "../../parts/menu.js";
import { Reason } from "../../parts/reason.js";
import { say } from "../../parts/toast.js";

/** @typedef {{verb: string, label: string, icon: string, means: string, asks?: "phase" | "to" | "at" | "note" | "signal", isGrave?: boolean, isFirst?: boolean}} Deed */

/** @type {Deed[]} in the order in which they are shown */
export const DEEDS = [
  { verb: "resume", label: "Resume", icon: "play", isFirst: true, means: "Phases start again." },
  { verb: "pause", label: "Pause", icon: "pause", isFirst: true, means: "No phase starts from now on. What runs may end, and is kept." },
  { verb: "retry", label: "Retry", icon: "retrying", isFirst: true, means: "The run goes on where it failed. What completed stays, and steps that were stored are not done again." },
  { verb: "signal", label: "Send a signal", icon: "signal", isFirst: true, asks: "signal", means: "The run gets what it waits for." },
  { verb: "rollback", label: "Roll back", icon: "undone", asks: "to", isGrave: true, isFirst: true, means: "What was committed after the chosen place is undone, with its compensations. Resume goes on from there." },
  { verb: "rerun_from", label: "Run again from a phase", icon: "right", asks: "phase", isGrave: true, means: "The phase, and all after it, is done once more." },
  { verb: "restart", label: "Restart", icon: "play", isGrave: true, means: "All of it is done once more, with the same input." },
  { verb: "fork", label: "Fork", icon: "fork", asks: "at", means: "Another run begins as a copy of this one, with all that is committed up to the chosen place." },
  { verb: "annotate", label: "Write a note", icon: "note", asks: "note", means: "It stands in the history of the run, for everybody who looks at it." },
  { verb: "discard", label: "Discard the dead letter", icon: "close", isGrave: true, means: "Nobody is told of this failure any more. The run stays failed." },
  { verb: "cancel", label: "Cancel", icon: "stop", isGrave: true, isFirst: true, means: "The run ends at once and for good, with all that runs and waits in it. It cannot be resumed." },
];

/** The checkpoints after which something came: of a run that has completed, all but the last. @param {any} run */
export const placesOf = ({ state, checkpoints }) => state === "COMPLETED" ? checkpoints.slice(0, -1) : checkpoints;

/** The phases that can be done once more by themselves, and all after them: those that came up, neither tests nor items. */
function phasesOf(run, pipeline) {
  const tests = new Set((pipeline?.graph.nodes || []).filter(({ kind }) => kind === "test").map(({ path }) => path));
  return run.phases.map(({ path }) => path).filter((path) => !path.includes("[") && !tests.has(path));
}

/** Where a deed has no place to begin from, it is refused: nothing is left to do for a copy of all that has completed. */
const hasPlace = ({ verb }, run, pipeline) => verb === "rerun_from" ? phasesOf(run, pipeline).length > 0
  : verb !== "fork" || run.state !== "COMPLETED" || placesOf(run).length > 0;

const pathOf = (verb, id) => verb === "discard" ? `dead-letters/${part(id)}/${verb}` : `runs/${part(id)}/${verb.replaceAll("_", "-")}`;

/** What a run obeys now, and its reader may have it do. @param {any} run @param {Set<string>} rights @param {any} pipeline */
export function deedsOf(run, rights, pipeline) {
  const waits = waitsOf(run, pipeline).length > 0;
  return DEEDS.filter((deed) => rights.has(deed.verb) && (deed.verb === "signal" ? waits && run.allowed.length : run.allowed.includes(deed.verb) && hasPlace(deed, run, pipeline)));
}

/** @param {{run: any, rights: Set<string>, pipeline: any, onDone: () => void}} props */
export function Deeds({ run, rights, pipeline, onDone }) {
  const [asked, setAsked] = useState(/** @type {Deed | null} */ (null));
  const all = deedsOf(run, rights, pipeline);
  const [first, others] = [all.filter((deed) => deed.isFirst), all.filter((deed) => !deed.isFirst)];
  return html`
    ${first.map((deed) => html`<button key=${deed.verb} class=${`button ${deed.verb === "cancel" ? "danger" : ""}`} onClick=${() => setAsked(deed)}><${Icon} name=${deed.icon} />${deed.label}</button>`)}
    ${others.length > 0 && html`<${Menu} label="More" items=${others} onChoose=${(verb) => setAsked(others.find((deed) => deed.verb === verb))} />`}
    ${asked && html`<${Ask} deed=${asked} run=${run} pipeline=${pipeline} onClose=${() => setAsked(null)} onDone=${() => { setAsked(null); onDone(); }} />`}`;
}

/** @param {{deed: Deed, run: any, pipeline: any, place?: string, onClose: () => void, onDone: () => void}} props `place`: chosen already */
export function Ask({ deed, run, pipeline, place = "", onClose, onDone }) {
  const waiting = waitsOf(run, pipeline);
  const [given, setGiven] = useState(() => ({ place, note: "", at: waiting[0]?.path || "", item: "", value: initialOf(waiting[0], pipeline) }));
  const set = (changes) => setGiven((old) => ({ ...old, ...changes }));
  const act = async (reason) => {
    const answer = await change(pathOf(deed.verb, run.id), bodyOf(deed, { ...given, reason }, waiting));
    say(deed.verb === "fork" ? "The copy has begun" : `${deed.label}: done`);
    if (deed.verb === "fork") go(href(["run", answer.id]));
  };
  return html`
    <${Reason} title=${deed.label} label=${deed.label} means=${deed.means} isGrave=${deed.isGrave} asksWhy=${deed.verb !== "signal"} ...${{ act, onClose, onDone }}>
      ${deed.asks && html`<${Asked} ...${{ deed, run, pipeline, waiting, given, set }} />`}<//>`;
}

/** The signals that are waited for; in a map each item waits for one whose key is its own number. */
function waitsOf(run, pipeline) {
  const nodes = new Map((pipeline?.graph.nodes || []).map((node) => [node.path, node]));
  return run.phases.filter(({ phase, states }) => phase ? phase.waits_for === "signal" && phase.state === "RUNNING" : states.RUNNING)
    .map(({ path, phase }) => ({ path, signal: nodes.get(path)?.signal, key: nodes.get(path)?.key ?? null, isOfItems: !phase && nodes.get(path)?.key === null }))
    .filter(({ signal }) => signal);
}

const schemaOf = (wait, pipeline) => (wait && pipeline?.signals?.[wait.signal]) || {};
const initialOf = (wait, pipeline) => wait && initial(schemaOf(wait, pipeline), schemaOf(wait, pipeline));

function bodyOf({ asks, verb }, given, waiting) {
  if (verb === "signal") {
    const wait = waiting.find(({ path }) => path === given.at);
    if (!wait) throw new Error("It does not wait for this signal any more.");
    const { signal, key, isOfItems } = wait;
    return { signal, value: given.value ?? null, key: isOfItems ? given.item.trim() : key };
  }
  const body = { reason: given.reason };
  if (asks === "note") body.note = given.note;
  else if (asks && given.place) body[asks] = given.place;
  return body;
}

function Asked({ deed, run, pipeline, waiting, given, set }) {
  switch (deed.asks) {
    case "note":
      return html`<label><span class="label">Note</span><textarea rows="3" required maxlength="2000" value=${given.note} onInput=${(event) => set({ note: event.target.value })}></textarea></label>`;
    case "signal": {
      const wait = waiting.find(({ path }) => path === given.at);
      const schema = schemaOf(wait, pipeline);
      return html`<label><span class="label">Signal</span><select value=${given.at} onChange=${({ target }) => set({ at: target.value, value: initialOf(waiting.find(({ path }) => path === target.value), pipeline) })}>
          ${waiting.map(({ signal, path }) => html`<option value=${path}>${signal} (${path})</option>`)}</select></label>
        ${wait?.isOfItems && html`<label><span class="label">Item</span><input required pattern="[0-9]+([.][0-9]+)*" value=${given.item} onInput=${({ target }) => set({ item: target.value })} />
          <span class="hint">Its number in the map, from 0; of a map in a map both, as in 2.0.</span></label>`}
        <${Field} key=${given.at} schema=${{ title: "Value", ...schema }} root=${schema} name="Value" value=${given.value} onChange=${(value) => set({ value })} />`;
    }
    case "phase": {
      const paths = phasesOf(run, pipeline);
      return html`<label><span class="label">Phase</span><select required value=${given.place} onChange=${(event) => set({ place: event.target.value })}>
        <option value="">Choose one</option>${paths.map((path) => html`<option value=${path}>${path}</option>`)}</select></label>`;
    }
    default: {
      const isChosen = deed.verb === "fork" && run.state === "COMPLETED"; // all that is committed is all there is
      return html`<label><span class="label">${deed.asks === "to" ? "Back to" : "Up to"}</span><select required=${isChosen} value=${given.place} onChange=${(event) => set({ place: event.target.value })}>
        <option value="">${deed.asks === "to" ? "Before the first phase" : isChosen ? "Choose one" : "All that is committed"}</option>
        ${placesOf(run).map(({ id, phase }) => html`<option value=${id}>after ${phase}</option>`)}</select></label>`;
    }
  }
}
