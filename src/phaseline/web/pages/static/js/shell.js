// What stands around each page: the places, who one is, and how the connection is.
import { html, useEffect, useLayoutEffect, useRef, useState } from "./html.js";
import { AccessContext } from "./access.js";
import { read } from "./api.js";
import { useKeys } from "./keys.js";
import { useLine } from "./live.js";
import { useLoad } from "./loading.js";
import { INNER, PAGES } from "./pages.js";
import { Boundary } from "./parts/boundary.js";
import { Help } from "./parts/help.js";
import { Icon } from "./parts/icon.js";
import { Failed, Loading, Notice } from "./parts/notice.js";
import { Toasts } from "./parts/toast.js";
import { go, href, useRoute } from "./route.js";
import { useTheme } from "./theme.js";

const LINES = {
  connecting: ["wait", "Connecting"], live: ["good", "Live"], lost: ["bad", "Connection lost, trying again"],
  "catching-up": ["wait", "Catching up"], polling: ["wait", "Looking every 5 seconds"], "signed-out": ["bad", "Signed out"],
};
const STALE = { lost: "The connection is lost. What you see may be old; the page goes on by itself once the host answers.", "signed-out": "You are signed out. What you see may be old; sign in again, then load this page." };
/** @type {Map<string, Function>} of pages that were gone to */
const VIEWS = new Map();
const THEMES = { system: "auto", light: "sun", dark: "moon" };

export function Shell() {
  const route = useRoute();
  const line = useLine();
  const access = useLoad((signal) => read("access", {}, signal), []);
  const [help, setHelp] = useState(false);
  const [theme, nextTheme] = useTheme();
  const goes = useRef(false); // whether "g" was the last key
  const pages = PAGES.filter((page) => access.data?.actions.includes(page.needs));

  useKeys({
    "?": () => setHelp(true),
    g: () => { goes.current = true; setTimeout(() => { goes.current = false; }, 1_500); },
    ...Object.fromEntries(pages.map((page) => [page.key, () => goes.current && go(href([page.path]))])),
  });
  useEffect(() => { if (line === "live" && access.error) access.again(); }, [line]);

  const current = route.path[0] || pages[0]?.path || "runs";
  const [tone, told] = LINES[line];
  return html`
    <${AccessContext.Provider} value=${access.data}>
      <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.getElementById("main").focus(); }}>Skip to the page</a>
      <header class="side">
        <a class="brand" href="#/runs"><img src="icon.svg" alt="" width="22" height="22" />phaseline</a>
        <nav aria-label="Pages">${pages.map((page) => html`
          <a href=${href([page.path])} aria-current=${current === page.path || (page.path === "runs" && current === "run") ? "page" : null}>
            <${Icon} name=${page.icon} />${page.title}</a>`)}</nav>
        <div class="foot">
          <p class=${`line ${tone}`} role="status"><i></i>${told}</p>
          ${access.data && html`<p class="who" title="Who you are here"><span>${access.data.actor}</span>${access.data.namespace === "default" ? null : html`<span class="muted">in ${access.data.namespace}</span>`}${access.data.read_only && html`<span class="muted">Nothing can be changed here</span>`}</p>`}
          <div class="row">
            <button class="quiet" aria-label=${`Theme: ${theme}`} title=${`Theme: ${theme}`} onClick=${nextTheme}><${Icon} name=${THEMES[theme]} /></button>
            <button class="quiet" aria-label="Keys" title="Keys (?)" onClick=${() => setHelp(true)}><${Icon} name="keyboard" /></button>
          </div>
        </div>
      </header>
      <main id="main" tabindex="-1">
        ${STALE[line] && access.data && html`<p class="banner" role="alert"><${Icon} name="plug" />${STALE[line]}</p>`}
        ${access.error ? html`<${Failed} error=${access.error} again=${access.again} />`
          : access.data ? html`<${Boundary} at=${route.path.join("/")}><${Current} name=${current} route=${route} actions=${access.data.actions} /><//>` : html`<${Loading} />`}
      </main>
      <${Toasts} />
      ${help && html`<${Help} onClose=${() => setHelp(false)} />`}
    <//>`;
}

function Current({ name, route, actions }) {
  const page = PAGES.find((each) => each.path === name);
  const lacks = !actions.length ? "You are granted nothing here" : page && !actions.includes(page.needs) && `It takes the right "${page.needs}"`;
  const load = lacks ? null : page ? page.load : INNER[name];
  const [came, setCame] = useState(/** @type {{name: string, error?: Error} | null} */ (null));
  useLayoutEffect(() => {
    document.title = `${page ? page.title : "Run"} · phaseline`;
    if (!load || VIEWS.has(name)) return;
    load().then(({ default: View }) => {
      VIEWS.set(name, View);
      setCame({ name });
    }, (error) => setCame({ name, error }));
  }, [name, Boolean(load)]);
  const View = load && VIEWS.get(name);
  if (lacks) return html`<${Failed} error=${{ status: 403, message: lacks }} />`;
  if (!load) {
    return html`<${Notice} icon="search" title="There is no such page"><p>Its address is mistyped.</p><p><a href="#/runs">See all runs</a></p><//>`;
  }
  if (came?.error && came.name === name) return html`<${Failed} error=${came.error} />`;
  return View ? html`<${View} key=${name} route=${route} />` : html`<${Loading} />`;
}
