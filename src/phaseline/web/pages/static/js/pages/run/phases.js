// The phases of a run as a list.
import { html } from "../../html.js";
import { count } from "../../format.js";
import { State } from "../../parts/state.js";
import { Ago, Took } from "../../parts/time.js";

export const Phases = ({ run }) => html`
  <section class="card" aria-label="Phases">
    <header><h2>Phases</h2>${run.phases_left_out > 0 && html`<span class="muted">and ${count(run.phases_left_out)} more</span>`}</header>
    <table class="list flat">
      <thead><tr><th>Phase</th><th>State</th><th class="end">Attempt</th><th class="end">Began</th><th class="end">Took</th></tr></thead>
      <tbody>${run.phases.map((phase) => html`
        <tr key=${phase.path}><td>${phase.path}</td><td><${State} state=${phase.state} /></td><td class="end">${phase.attempt}</td>
          <td class="end"><${Ago} at=${phase.started_at} /></td><td class="end"><${Took} from=${phase.started_at} to=${phase.ended_at} /></td></tr>`)}</tbody>
    </table>
  </section>`;
