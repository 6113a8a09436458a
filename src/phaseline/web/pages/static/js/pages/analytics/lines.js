// From numbers of parts of a time to the lines of charts.
import { COLOURS } from "./chart.js";

const MOST = 6; // lines of a chart; the others stand in the table

const totalOf = (group) => Object.values(group.states).reduce((sum, each) => sum + each, 0);
const ended = ({ states }) => (states.COMPLETED || 0) + (states.FAILED || 0);

/** All groups together. Percentiles cannot be added up. */
export function summed(groups) {
  const sum = (of) => groups.reduce((all, each) => all + of(each), 0);
  const failed = sum(({ states }) => states.FAILED || 0);
  const all = sum(ended);
  return {
    total: sum(totalOf), failed, rate: all ? (all - failed) / all : null,
    cost: sum(({ usage }) => Number(usage.cost)), tokens: sum(({ usage }) => usage.input_tokens + usage.output_tokens),
  };
}

/** @param {{since: string, until: string, groups: any[]}[]} points @param {any[]} groups of the whole time */
export function chartsOf(points, groups) {
  const times = points.map(({ since }) => new Date(since).getTime() / 1_000);
  const shown = [...groups].sort((one, other) => totalOf(other) - totalOf(one)).slice(0, MOST).map(({ group }) => group);
  const only = groups.length === 1 ? shown[0] : null;
  const values = (name, of) => points.map((point) => {
    const group = point.groups.find((each) => each.group === name);
    return group ? of(group) : null;
  });
  const apart = (of) => shown.map((name, at) => ({ name, colour: COLOURS[at], values: values(name, of) }));
  const some = (all) => all.map((line) => ({ ...line, values: line.values.map((value) => value ?? 0) })); // none is nought
  const failing = (group) => ended(group) ? 100 * (group.states.FAILED || 0) / ended(group) : null;
  const charts = [
    { title: "Started", unit: "number", lines: some(apart(totalOf)), isBars: only !== null },
    only
      ? { title: "Duration", unit: "seconds", lines: [["p50", "--done"], ["p95", "--active"], ["p99", "--retrying"]]
        .map(([which, colour]) => ({ name: which, colour, values: values(only, ({ duration_seconds: took }) => took?.[which] ?? null) })) }
      : { title: "Duration, 95th percentile", unit: "seconds", lines: apart(({ duration_seconds: took }) => took?.p95 ?? null) },
    { title: "Failure rate", unit: "percent", lines: only ? [{ name: "failed", colour: "--failed", values: values(only, failing) }] : apart(failing) },
    { title: "Waited until begun, 95th percentile", unit: "seconds", lines: apart(({ waited_seconds: waited }) => waited?.p95 ?? null) },
  ];
  if (summed(groups).cost > 0) charts.push({ title: "Cost", unit: "cost", lines: some(apart(({ usage }) => Number(usage.cost))).filter(({ values: all }) => all.some(Boolean)), isBars: only !== null });
  return charts.map((chart) => ({ ...chart, times }));
}
