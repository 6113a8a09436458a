// Where one is, as the part of the address behind `#`: links can be kept and shared, whatever path the console is mounted below.
import { useEffect, useState } from "./html.js";

/** @typedef {{path: string[], query: URLSearchParams}} Place */

const LISTS = ["runs", "dead-letters"]; // of runs
let list = "#/runs";

/** The link to the list that one comes from, with what is looked for in it. */
export const lastList = () => list;

/** @returns {Place} */
function here() {
  const [path, query] = location.hash.replace(/^#\/?/, "").split("?");
  const place = { path: path.split("/").filter(Boolean).map(unescaped), query: new URLSearchParams(query || "") };
  if (LISTS.includes(place.path[0])) list = location.hash;
  return place;
}

function unescaped(text) {
  try {
    return decodeURIComponent(text);
  } catch { // not one that we wrote
    return text;
  }
}

/** The link to a place. @param {string[]} path @param {Record<string, string | string[] | null | undefined>} [query] */
export function href(path, query = {}) {
  const params = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const each of [value].flat()) if (each) params.append(name, each);
  }
  const text = params.toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

/** The link to a page with something of its query changed; a page further on of its list is left. */
export function hrefWith(path, query, changes) {
  const all = {};
  for (const name of new Set(query.keys())) all[name] = query.getAll(name);
  return href(path, { ...all, after: null, ...changes });
}

/** Go there. @param {string} link @param {boolean} [instead] of where one is: it is not gone back to */
export function go(link, instead = false) {
  if (instead) {
    history.replaceState(null, "", link);
    dispatchEvent(new HashChangeEvent("hashchange"));
  } else location.hash = link;
}

/** Where one is now. */
export function useRoute() {
  const [place, setPlace] = useState(here);
  useEffect(() => {
    const look = () => setPlace(here());
    addEventListener("hashchange", look);
    return () => removeEventListener("hashchange", look);
  }, []);
  return place;
}
