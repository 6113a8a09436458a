// What stands where there is nothing to show: it says why, and what to do.
import { html } from "../html.js";
import { Icon } from "./icon.js";

/** @param {{icon?: string, title: string, children?: unknown}} props */
export const Notice = ({ icon = "runs", title, children, tone = "" }) => html`
  <div class=${`notice ${tone}`} role=${tone === "bad" ? "alert" : "status"}>
    <${Icon} name=${icon} /><h2>${title}</h2><div class="text">${children}</div>
  </div>`;

/** What went wrong, and what to do about it. @param {{error: Error & {status?: number, kind?: string}, again?: () => void}} props */
export function Failed({ error, again }) {
  const retry = again && html`<p><button class="button" onClick=${again}>Try again</button></p>`;
  switch (error.status) {
    case 0:
      return html`<${Notice} tone="bad" icon="plug" title="The host cannot be reached">
        <p>It may be starting anew, or the network is away. This page comes back by itself when it answers.</p>${retry}<//>`;
    case 401:
      return html`<${Notice} tone="bad" icon="plug" title="You are not signed in">
        <p>The application that serves this console does not know who you are. Sign in there, then load this page again.</p>
        <p><button class="button" onClick=${() => location.reload()}>Load it again</button></p><//>`;
    case 403:
      return html`<${Notice} tone="bad" icon="cancelled" title="This is not open to you">
        <p>${error.message}. Whoever runs this application grants it, in its <code>authorize</code>.</p><//>`;
    case 404:
      return html`<${Notice} icon="search" title="It is not there">
        <p>${error.message}. It may have been purged, or its address is mistyped.</p><p><a href="#/runs">See all runs</a></p><//>`;
    case 503:
      return html`<${Notice} tone="bad" icon="plug" title="The service is not open"><p>${error.message}.</p>${retry}<//>`;
    default:
      return html`<${Notice} tone="bad" icon="warning" title=${error.title || "Something went wrong"}>
        <p>${error.message}.</p>${error.problems?.length ? html`<ul>${error.problems.map((each) => html`<li>${each}</li>`)}</ul>` : null}${retry}<//>`;
  }
}

/** Where there may be some that are not for him who looks. */
export const Unread = () => html`<${Notice} icon="cancelled" title="There is no run that you may read">
  <p>Whoever runs this application says in its <code>authorize</code> who may <code>read</code> which.</p><//>`;

/** Grey lines while the first answer is on its way. */
export const Loading = ({ lines = 6 }) => html`
  <div class="loading" role="status" aria-label="Loading">${Array.from({ length: lines }, () => html`<i></i>`)}</div>`;
