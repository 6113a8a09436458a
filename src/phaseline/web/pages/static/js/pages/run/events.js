// The events of a run, the newest first: a page at a time, and as they come.
import { html, useCallback, useEffect, useRef, useState } from "../../html.js";
import { part, read } from "../../api.js";
import { clock, fault, moment, words } from "../../format.js";
import { useAtMost } from "../../loading.js";
import { Icon } from "../../parts/icon.js";
import { Loading } from "../../parts/notice.js";

const PAGE = 100, MOST = 1_000, TOGETHER = 200;
const LAST = Number.MAX_SAFE_INTEGER;
const COMMANDS = ["PIPELINE_PAUSED", "PIPELINE_RESUMED", "PIPELINE_CANCELLED", "PIPELINE_RETRIED", "PIPELINE_RESTARTED", "PIPELINE_ROLLED_BACK", "PIPELINE_ROLLING_BACK", "PIPELINE_FORKED", "PIPELINE_ANNOTATED", "SIGNAL_RECEIVED", "DEAD_LETTER_DISCARDED"];
const KINDS = {
  "": ["All events", null],
  errors: ["Errors and retries", ["PHASE_FAILED", "PHASE_RETRYING", "PIPELINE_FAILED", "ERROR_OCCURRED", "PHASE_DEAD_LETTERED", "PHASE_COMPENSATION_FAILED"]],
  commands: ["What people did", COMMANDS],
  run: ["The run itself", ["PIPELINE_STARTED", "PIPELINE_COMPLETED", "PIPELINE_FAILED", "CHECKPOINT_CREATED", "CHILD_STARTED", ...COMMANDS]],
};
const TONES = [[/FAILED|ERROR|DEAD_LETTERED/, "failed"], [/RETRY/, "retrying"], [/COMPLETED/, "done"], [/STARTED/, "active"], [/PAUSED/, "paused"], [/ROLL|COMPENSATED/, "undone"], [/SIGNAL/, "signal"], [/ANNOTATED/, "note"], [/SKIPPED/, "skipped"], [/CANCELLED|DISCARDED/, "cancelled"]];
const toneOf = (type) => TONES.find(([pattern]) => pattern.test(type))?.[1] || "idle";

/** What is told elsewhere, or is for machines. */
const QUIET = new Set(["error", "fence", "worker", "actor", "reason", "note", "checkpoint", "revision", "epoch", "live"]);

/** What an event says beyond its kind. */
function told({ data, transition }) {
  const told = [];
  if (transition) told.push(`${transition.from} → ${transition.to}`);
  if (data.error) told.push(fault(data.error));
  for (const [name, value] of Object.entries(data)) {
    if (QUIET.has(name) || value === "" || value === null || (value === false && name !== "held") || (Array.isArray(value) && !value.length)) continue;
    if (name === "again_at") told.push(`again at ${moment(value)}`);
    else if (name === "sla_at") told.push(`should have been over ${moment(value)}`);
    else told.push(`${words(name).toLowerCase()} ${typeof value === "object" ? JSON.stringify(value) : value}`);
  }
  return told.join(" · ").slice(0, 600);
}

/** @param {{run: string, phase: string | null, listen: (call: (event: any) => void) => () => void}} props `listen`: tells null where events may have been missed */
export function Events({ run, phase, listen }) {
  const [kind, setKind] = useState("");
  const [state, setState] = useState(/** @type {{events: any[], previous: number | null, error: Error | null, isLoading: boolean}} */ ({ events: [], previous: LAST, error: null, isLoading: true }));
  const types = KINDS[kind][1];
  const fresh = useRef(/** @type {any[]} */ ([]));

  const control = useRef(/** @type {AbortController | null} */ (null)); // of what is read of this kind and phase
  const older = useCallback((before, isSilent = false) => {
    if (!isSilent) setState((old) => ({ ...old, isLoading: true }));
    read(`runs/${part(run)}/events`, { before, limit: PAGE, type: types, phase }, control.current.signal).then(
      (page) => setState((old) => ({ ...withPage(old, page, before), error: null, isLoading: isSilent && old.isLoading })),
      (error) => error.name !== "AbortError" && setState((old) => ({ ...old, error, isLoading: false })),
    );
  }, [run, phase, kind]);
  useEffect(() => {
    control.current = new AbortController();
    fresh.current = [];
    setState((old) => ({ ...old, events: [], previous: LAST }));
    older(LAST);
    return () => control.current.abort();
  }, [older]);

  const flush = useAtMost(() => {
    const came = fresh.current;
    fresh.current = [];
    setState((old) => {
      const events = merged(old.events, came);
      const cut = events.length > MOST ? events.slice(-MOST) : events; // what is left out can be loaded again
      return { ...old, events: cut, previous: cut.length < events.length ? cut[0].seq : old.previous };
    });
  }, TOGETHER);
  useEffect(() => listen((event) => {
    if (event === null) return older(LAST, true); // some may have been missed
    if (event.seq === null || (types && !types.includes(event.type))) return;
    if (phase && event.phase !== phase && !event.phase?.startsWith(`${phase}/`) && !event.phase?.startsWith(`${phase}[`)) return;
    fresh.current.push(event);
    flush();
  }), [listen, older]);

  const { events, previous, error, isLoading } = state;
  return html`
    <div class="tools">
      <label class="field"><span class="unseen">Kinds of events</span><select value=${kind} onChange=${(event) => setKind(event.target.value)}>
        ${Object.entries(KINDS).map(([name, [label]]) => html`<option value=${name}>${label}</option>`)}</select></label>
      ${phase && html`<span class="muted">of <b>${phase}</b></span>`}
    </div>
    ${error && html`<p class="bad">${error.message}</p>`}
    <ol class="events" aria-label="Events">${[...events].reverse().map((event) => html`<${Line} key=${event.seq} event=${event} />`)}</ol>
    ${isLoading ? html`<${Loading} lines=${3} />` : !events.length && html`<p class="muted">No such event${previous ? " among the latest" : ""}.</p>`}
    ${!isLoading && previous !== null && html`<p><button class="button" onClick=${() => older(previous)}>Load older</button></p>`}`;
}

/** With a page of those before a number: to what came meanwhile, or was there, it is added. */
function withPage(old, { events, previous }, before) {
  const isKnown = before === LAST && old.previous !== LAST && events.length > 0 && old.events.some(({ seq }) => seq === events[0].seq);
  return { ...old, events: merged(old.events, events), previous: isKnown ? old.previous : previous };
}

/** Both, in the order of their numbers, each once. */
function merged(old, more) {
  const all = new Map([...old, ...more].map((event) => [event.seq, event]));
  return [...all.values()].sort((a, b) => a.seq - b.seq);
}

const Line = ({ event }) => html`
  <li class=${`tone-${toneOf(event.type)}`}>
    <span class="seq number muted">${event.seq}</span><time datetime=${event.at} title=${moment(event.at)}>${clock(event.at)}</time>
    <${Icon} name=${toneOf(event.type)} />
    <span class="what"><b>${words(event.type)}</b>${event.phase && html` <span class="mono">${event.phase}</span>`} <span class="muted">${told(event)}</span>
      ${(event.data.actor || event.data.note || (event.data.reason && COMMANDS.includes(event.type))) && html`<span class="said">${event.data.actor && html`<b>${event.data.actor}</b>`} ${event.data.note || event.data.reason}</span>`}</span>
  </li>`;
