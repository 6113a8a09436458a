// From what a pipeline is to what is drawn: which nodes are shown, what leads where, and in which state each is.

import { shownState } from "../../states.js";

/** The groups that a node stands in, the outermost first: `outer`, or the map `pick` of `pick[]`. */
export function groupsOf(path) {
  const groups = [];
  for (let at = path.indexOf("/"); at >= 0; at = path.indexOf("/", at + 1)) groups.push(path.slice(0, at).replace(/\[\]$/, ""));
  if (path.endsWith("[]")) groups.push(path.slice(0, -2));
  return [...new Set(groups)];
}

/** All paths that a source names. @returns {string[]} */
export function namedIn(source) {
  if (typeof source === "string") return source === "$input" ? [] : [source];
  if (Array.isArray(source)) return source.flatMap(namedIn);
  if (source && typeof source === "object") return Object.entries(source).flatMap(([name, each]) => name === "holds" ? [] : namedIn(each));
  return [];
}

/** Counts of states, added up. */
export function added(all) {
  const sum = {};
  for (const states of all) for (const [state, number] of Object.entries(states)) sum[state] = (sum[state] || 0) + number;
  return sum;
}

const sumOf = (states) => Object.values(states).reduce((sum, each) => sum + each, 0);

/** How many phases a map or group has, as far as it is known: those that came up, and of a map those that did not yet. */
function totalOf(states, map, inner) {
  return map?.total && map.state !== "COMPLETED" ? Math.max(sumOf(states), map.total * inner.length) : sumOf(states);
}

/** The state of many in one word: what needs a look first. */
export function stateOf(states) {
  return ["FAILED", "RUNNING", "RETRYING", "PENDING", "COMPLETED", "SKIPPED"].find((state) => states[state]) || null;
}

/**
 * @param {{nodes: any[]}} graph @param {any[]} folded phases of the run @param {Set<string>} opened groups that are shown with what is in them
 */
export function drawn(graph, folded, opened) {
  const byPath = new Map(folded.map((each) => [each.path, each]));
  const known = new Map(graph.nodes.map((node) => [node.path, node]));
  const groups = new Map(); // what is in each
  for (const node of graph.nodes) for (const group of groupsOf(node.path)) groups.set(group, [...(groups.get(group) || []), node.path]);

  /** The node that stands for one: itself, or the outermost closed group that it is in. */
  const shownFor = (path) => groupsOf(path).find((group) => !opened.has(group)) || path;
  const isFrame = (path) => opened.has(path) && groups.has(path);

  const nodes = new Map();
  for (const { path } of graph.nodes) {
    const shown = shownFor(path);
    if (nodes.has(shown) || isFrame(shown)) continue;
    const own = known.get(shown);
    const inner = groups.get(shown) || [];
    const found = byPath.get(shown);
    const states = inner.length ? added(inner.map((each) => byPath.get(each)?.states || {})) : found?.states || {};
    nodes.set(shown, {
      path: shown, name: shown.split("/").pop(), kind: own ? own.kind : "group", node: own, phase: found?.phase || null,
      states, total: totalOf(states, found?.phase, inner), canOpen: inner.length > 1, isMap: own?.kind === "map", frame: groupsOf(shown).filter(isFrame).pop() || null,
      state: found?.phase ? shownState(found.phase) : stateOf(states), started_at: found?.started_at, ended_at: found?.ended_at,
    });
  }
  const frames = [...groups.keys()].filter((group) => isFrame(group) && groupsOf(group).every((each) => opened.has(each)))
    .map((path) => ({ path, name: path.split("/").pop(), frame: groupsOf(path).filter(isFrame).pop() || null }));

  const edges = new Set();
  /** Where a value leaves what a path names: the last nodes of an opened map or group. */
  const leaves = (path) => {
    const shown = shownFor(path);
    if (!isFrame(shown)) return [shown];
    const exit = known.get(shown)?.exit;
    return exit ? namedIn(exit).flatMap(leaves) : [];
  };
  for (const node of graph.nodes) {
    const sources = [...namedIn(node.source), ...node.after];
    const target = shownFor(node.path);
    const outer = node.map && isFrame(node.map) && !sources.length ? known.get(node.map) : null; // an item comes from what the map is given
    const from = outer ? [...namedIn(outer.source), ...outer.after] : sources;
    if (isFrame(target)) continue;
    for (const source of from.flatMap(leaves)) if (source !== target && nodes.has(source) && nodes.has(target)) edges.add(`${source}\n${target}`);
  }
  return { nodes: [...nodes.values()], frames, edges: [...edges].map((each) => each.split("\n")) };
}
