// The phases of a pipeline as a graph, coloured by the states of a run, if there is one.
import dagre from "../../../vendor/dagre.js";
import { html, useMemo, useState } from "../../html.js";
import { between, count, duration, words } from "../../format.js";
import { toneOf } from "../../states.js";
import { Icon } from "../../parts/icon.js";
import { drawn } from "./plan.js";

const WIDTH = 176, HEIGHT = 54, MARGIN = 12, FRAME = 22;
const FITTING = 22; // letters below a name; more are drawn closer
const SMALLEST = 0.72; // of its size, to fit the page; what is larger is scrolled
const KINDS = { map: "for each", wait: "waits", child: "another run", test: "test", group: "pipeline" };
const ENDED = { lost: "lost", handed_over: "handed over" }; // what became of an attempt that did not fail
const BARS = ["COMPLETED", "SKIPPED", "FAILED", "RUNNING", "RETRYING", "PENDING"];

function placed({ nodes, frames, edges }) {
  const graph = new dagre.graphlib.Graph({ compound: true });
  graph.setGraph({ rankdir: "LR", nodesep: 22, ranksep: 44, marginx: MARGIN, marginy: MARGIN });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const { path } of nodes) graph.setNode(path, { width: WIDTH, height: HEIGHT });
  for (const { path } of frames) graph.setNode(`frame ${path}`, {});
  for (const { path, frame } of nodes) if (frame) graph.setParent(path, `frame ${frame}`);
  for (const { path, frame } of frames) if (frame) graph.setParent(`frame ${path}`, `frame ${frame}`);
  for (const [source, target] of edges) graph.setEdge(source, target);
  dagre.layout(graph);
  return graph;
}

/** A line through points, with round corners. */
function line(points) {
  const [first, ...rest] = points;
  let path = `M${first.x} ${first.y}`;
  rest.forEach((point, at) => {
    const next = rest[at + 1];
    path += next ? `Q${point.x} ${point.y} ${(point.x + next.x) / 2} ${(point.y + next.y) / 2}` : `L${point.x} ${point.y}`;
  });
  return path;
}

/**
 * @param {{graph: any, phases?: any[] | null, isOver?: boolean, selected?: string | null, onSelect: (path: string) => void}} props
 */
export function Graph({ graph, phases = null, isOver = false, selected = null, onSelect }) {
  const [opened, setOpened] = useState(/** @type {Set<string>} */ (new Set()));
  const shown = drawn(graph, phases || [], opened);
  const shape = JSON.stringify([shown.nodes.map(({ path, frame }) => [path, frame]), shown.frames, shown.edges]);
  const layout = useMemo(() => placed(shown), [shape]); // states change often, and places do not
  const { width, height } = layout.graph();
  const toggle = (path) => setOpened((old) => {
    const next = new Set(old);
    if (!next.delete(path)) next.add(path);
    return next;
  });
  return html`
    <div class="graph" tabindex="0" role="group" aria-label="Graph of phases">
      <svg style=${{ width: `${width}px`, maxWidth: "100%", minWidth: `${SMALLEST * width}px` }} viewBox=${`0 0 ${width} ${height}`}>
        ${shown.frames.map(({ path, name }) => {
          const { x, y, width: w, height: h } = layout.node(`frame ${path}`);
          return html`<g class="frame" key=${path}><rect x=${x - w / 2} y=${y - h / 2 - FRAME / 2} width=${w} height=${h + FRAME / 2} rx="10" />
            <${Opener} x=${x - w / 2 + 10} y=${y - h / 2 - FRAME / 2 + 15} text=${`− ${name}`} label=${`Close ${name}`} onClick=${() => toggle(path)} /></g>`;
        })}
        ${shown.edges.map(([source, target]) => {
          const from = shown.nodes.find(({ path }) => path === source);
          return html`<path key=${`${source} ${target}`} class=${`edge ${from.state === "COMPLETED" ? "gone" : ""}`} d=${line(layout.edge(source, target).points)} />`;
        })}
        ${shown.nodes.map((node) => html`<${Node} key=${node.path} node=${node} later=${phases && (isOver ? "not begun" : "to come")} at=${layout.node(node.path)} isSelected=${node.path === selected}
          onSelect=${() => onSelect(node.path)} onOpen=${node.canOpen ? () => toggle(node.path) : null} />`)}
      </svg>
    </div>`;
}

const onKeys = (act) => (event) => {
  if (event.key !== "Enter" && event.key !== " ") return;
  event.preventDefault();
  act(event);
};

const Opener = ({ x, y, text, label, onClick }) => html`
  <text class="opener" x=${x} y=${y} role="button" tabindex="0" aria-label=${label} onClick=${onClick} onKeyDown=${onKeys(onClick)}>${text}</text>`;

/** What completed of all; and what did not, for it failed or, where none did, was skipped. */
function counted({ COMPLETED: done = 0, FAILED: failed = 0, SKIPPED: skipped = 0 }, total) {
  const apart = failed ? `, ${count(failed)} failed` : skipped ? `, ${count(skipped)} skipped` : "";
  return `${count(done)} of ${count(total)}${apart}`;
}

function told({ later, state, states, total, isMap, kind, phase, started_at: from, ended_at: to }) {
  if (!state) return later || KINDS[kind] || "phase";
  if (isMap || kind === "group") return total ? counted(states, total) : words(state);
  if (phase?.waits_for && state === "RUNNING") return `waits for ${phase.waits_for === "signal" ? "a signal" : phase.waits_for === "timer" ? "its time" : "another run"}`;
  if (phase?.progress?.total && state === "RUNNING") return `${Math.round(100 * phase.progress.done / phase.progress.total)} %`;
  if (state === "COMPLETED" && from && to) return duration(between(from, to));
  if (state === "RETRYING") return phase.reason === "again" ? "is called again" : `attempt ${phase.attempt} ${ENDED[phase.reason] || "failed"}`;
  return words(state);
}

function Node({ node, later, at, isSelected, onSelect, onOpen }) {
  const waits = node.phase?.waits_for && node.state === "RUNNING";
  const tone = node.state ? (waits ? "waiting" : toneOf(node.state)) : "none";
  const name = node.name.length > 19 ? `${node.name.slice(0, 18)}…` : node.name;
  const text = told({ ...node, later });
  const state = node.state && words(node.state); // said to those who do not see the icon
  let x = 0;
  return html`
    <g transform=${`translate(${at.x - WIDTH / 2} ${at.y - HEIGHT / 2})`}><g class=${`node tone-${tone} ${isSelected ? "selected" : ""}`}
      role="button" tabindex="0" aria-pressed=${String(isSelected)} onClick=${onSelect} onKeyDown=${onKeys(onSelect)}>
      ${(node.isMap || node.kind === "group") && html`<rect class="behind" x="4" y="-4" width=${WIDTH} height=${HEIGHT} rx="9" />`}
      <rect class="box" width=${WIDTH} height=${HEIGHT} rx="9" />
      <text class="name" x="36" y="24"><title>${node.path}</title>${name}</text>
      <text class="told" x="36" y="41" ...${text.length > FITTING && { textLength: WIDTH - 44, lengthAdjust: "spacingAndGlyphs" }}>${text}</text>
      <g transform="translate(12 12)" ...${state && state !== text && { role: "img", "aria-label": state }}><${Icon} name=${node.state ? tone : "idle"} /></g>
      ${(node.isMap || node.kind === "group") && node.total > 0 && html`<g transform=${`translate(9 ${HEIGHT - 6})`}>
        ${BARS.filter((state) => node.states[state]).map((state) => {
          const width = (WIDTH - 18) * node.states[state] / node.total;
          const bar = html`<rect class=${`bar tone-${toneOf(state)}`} x=${x} width=${Math.max(1, width - 1)} height="3" rx="1.5" />`;
          x += width;
          return bar;
        })}</g>`}</g>
      ${onOpen && html`<${Opener} x=${WIDTH - 20} y="24" text="+" label=${`Open ${node.name}`} onClick=${onOpen} />`}
    </g>`;
}
