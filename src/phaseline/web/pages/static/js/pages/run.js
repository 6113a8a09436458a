// One run, as it is and as it goes on.
import { html } from "../html.js";
import { part, read } from "../api.js";
import { useMay } from "../access.js";
import { useEvents } from "../live.js";
import { useAtMost, useLoad } from "../loading.js";
import { Failed, Loading } from "../parts/notice.js";
import { Facts, Head } from "./run/head.js";
import { Phases } from "./run/phases.js";

const LOOK = 300; // milliseconds between two readings, however much happens

/** @param {{route: {path: string[]}}} props */
export default function Run({ route: { path: [, id = ""] } }) {
  return html`<${Of} key=${id} id=${id} />`;
}

function Of({ id }) {
  const may = useMay();
  const load = useLoad(async (signal) => {
    const [run, rights] = await Promise.all([
      read(`runs/${part(id)}`, {}, signal), read("access", { run: id }, signal),
    ]);
    return { run, rights: new Set(rights.actions) };
  }, [id]);
  const look = useAtMost(() => load.again(), LOOK);
  useEvents(may("subscribe") || load.data?.rights.has("subscribe") ? { run: id } : null, { after: 0, event: look, catchUp: load.again });

  if (!load.data) return load.error ? html`<${Failed} error=${load.error} again=${load.again} />` : html`<${Loading} />`;
  const { run, rights } = load.data;
  return html`
    <${Head} run=${run} rights=${rights} />
    <${Facts} run=${run} />
    <div class="stack"><${Phases} run=${run} /></div>`;
}
