// Schedules: when each begins its next run, and what people do to it.
import { html, useEffect, useState } from "../html.js";
import { change, part, read } from "../api.js";
import { useMay } from "../access.js";
import { useEvents } from "../live.js";
import { useAtMost, useLoad } from "../loading.js";
import { go, href } from "../route.js";
import { duration, inZone, moment } from "../format.js";
import { Failed, Loading, Notice } from "../parts/notice.js";
import { Icon } from "../parts/icon.js";
import { Reason } from "../parts/reason.js";
import { useRows } from "../parts/rows.js";
import { Ago, useNow } from "../parts/time.js";
import { say } from "../parts/toast.js";

const LOOK = 1_000; // milliseconds between two readings, however much happens
const LATE = 2_000; // milliseconds after a slot, by when it has fired or was let go
const SLOTS = 10;
const DEEDS = {
  pause: { label: "Pause", icon: "pause", done: "is paused", means: "begins no run from now on. Runs that go on are left alone." },
  resume: { label: "Resume", icon: "play", done: "goes on", means: "goes on with its next slot. Slots that came meanwhile are let go." },
  trigger: { label: "Run now", icon: "play", done: "has begun a run", means: "begins a run at once, beside its slots." },
};
const OVERLAPS = { skip: "the slot is let go", allow: "it begins all the same", queue: "it waits for the end of that run" };
const CATCHES = { latest: "the latest is made up for", all: "all are made up for", none: "they are let go" };

export default function Schedules({ route: { query } }) {
  const may = useMay();
  const opened = query.get("name");
  const [asked, setAsked] = useState(/** @type {{verb: string, name: string} | null} */ (null));
  const load = useLoad((signal) => read("schedules", {}, signal), []);
  const look = useAtMost(() => !document.hidden && load.again(), LOOK);
  useEvents({ everything: true }, { event: ({ type }) => type === "PIPELINE_STARTED" && look(), catchUp: load.again });

  const next = Math.min(...(load.data?.schedules || []).filter(({ paused }) => !paused).map(({ next_at: at }) => new Date(at).getTime()));
  const now = useNow(next < Infinity);
  useEffect(() => { if (now > next + LATE) look(); }, [now, next]); // a slot that is let go begins no run, and nothing tells of it

  const open = (name) => go(href(["schedules"], { name: name === opened ? null : name }), true);
  const schedules = load.data?.schedules || [];
  const rows = useRows(schedules.map(({ name }) => name));
  const deed = asked && DEEDS[asked.verb];
  return html`
    <header class="head"><h1>Schedules</h1></header>
    ${load.error && !load.data ? html`<${Failed} error=${load.error} again=${load.again} />`
      : !load.data ? html`<${Loading} />`
      : !schedules.length ? html`<${Notice} icon="schedules" title="There are no schedules">
          <p>The application stores them: <code>await runtime.schedules.put("nightly", pipeline, input=…, cron="0 3 * * *")</code>.</p><//>`
      : html`<div class="wide"><table class="list schedules" aria-label="Schedules">
        <thead><tr><th>Schedule</th><th>When</th><th class="end">Next</th><th class="end">Last</th><th><span class="unseen">What to do</span></th></tr></thead>
        <tbody ref=${rows.body}>${schedules.map((each) => html`
          <tr key=${each.name} onFocusIn=${() => rows.onFocus(each.name)}>
            <td><button class="opens" data-row aria-expanded=${String(each.name === opened)} onClick=${() => open(each.name)}><${Icon} name=${each.name === opened ? "down" : "right"} /><b>${each.name}</b></button>
              <div class="muted under">${each.pipeline} v${each.version}</div>
              ${each.unreadable && html`<div class="bad under">Its input cannot be read here</div>`}</td>
            <td>${each.cron ? html`<span class="mono">${each.cron}</span><div class="muted">${each.tz}</div>` : html`every ${duration(each.every_seconds)}`}</td>
            <td class="end">${each.paused ? html`<span class="state tone-paused"><${Icon} name="paused" />Paused</span>` : html`<${Ago} at=${each.next_at} />`}</td>
            <td class="end"><${Ago} at=${each.last_slot} /></td>
            <td class="end deeds">${may("schedule") && [each.paused ? "resume" : "pause", "trigger"].map((verb) => html`
              <button class="button small" aria-label=${`${DEEDS[verb].label}: ${each.name}`} onClick=${() => setAsked({ verb, name: each.name })}><${Icon} name=${DEEDS[verb].icon} />${DEEDS[verb].label}</button>`)}</td>
          </tr>
          ${each.name === opened && html`<tr class="more" key=${`${each.name} more`}><td colspan="5"><${More} schedule=${each} /></td></tr>`}`)}</tbody>
      </table></div>`}
    ${asked && html`<${Reason} title=${`${deed.label}: ${asked.name}`} means=${`The schedule ${deed.means}`} label=${deed.label} asksWhy=${false} onClose=${() => setAsked(null)}
      act=${() => change(`schedules/${part(asked.name)}/${asked.verb}`).then((run) => say(`${asked.name} ${deed.done}`, "done", asked.verb === "trigger" ? href(["run", run.id]) : ""))}
      onDone=${() => { setAsked(null); load.again(); }} />`}`;
}

function More({ schedule }) {
  const load = useLoad((signal) => read(`schedules/${part(schedule.name)}/slots`, { limit: SLOTS }, signal), [schedule.name, schedule.next_at]);
  return html`<div class="beneath">
    ${schedule.unreadable && html`<p class="bad">No run of it begins from here: ${schedule.unreadable}</p>`}
    <section><h3>${schedule.paused ? "Next slots, if it were not paused" : "Next slots"}</h3>
      ${load.error ? html`<p class="bad">${load.error.message}</p>` : !load.data ? html`<${Loading} lines=${3} />`
        : html`<ol class="slots">${load.data.slots.map((slot) => html`<li><time datetime=${slot} title=${`${moment(slot)} here`}>${inZone(slot, schedule.tz)}</time></li>`)}</ol>`}</section>
    <section><h3>Rules</h3><dl class="pairs">
      <div><dt>Time zone</dt><dd>${schedule.tz}</dd></div>
      <div><dt>While an earlier run goes on</dt><dd>${OVERLAPS[schedule.overlap]}</dd></div>
      <div><dt>Slots that were missed</dt><dd>${CATCHES[schedule.catch_up]}</dd></div>
      <div><dt>Priority of its runs</dt><dd class="number">${schedule.priority}</dd></div>
    </dl><p><a href=${href(["runs"], { attribute: `schedule=${JSON.stringify(schedule.name)}` })}>See its runs</a></p></section>
  </div>`;
}
