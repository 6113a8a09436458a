// One connection on which the page hears what happens; cut off, it comes back and says so, and nothing is missed.
import { address, read } from "./api.js";
import { useEffect, useRef, useState } from "./html.js";

const FIRST_WAIT = 250, LONGEST_WAIT = 5_000, TRY_AGAIN = 30_000, POLL = 5_000; // milliseconds
const EXPIRED = 4401;

/**
 * connecting: for the first time; live; lost: nobody answers; catching-up: back, and reading what was missed;
 * polling: the host answers, but not this way; signed-out: it does not know us any more.
 * @typedef {"connecting" | "live" | "lost" | "catching-up" | "polling" | "signed-out"} LineState
 * @typedef {{run?: string, everything?: true}} Wish
 * @typedef {{wish: Wish, event: (event: any) => void, catchUp: () => void, seen: number, until: number, isRefused: boolean}} Listener
 */

/** @type {Map<string, Set<Listener>>} by what they listen to */
const topics = new Map();
/** @type {Set<(state: LineState) => void>} */
const watchers = new Set();
/** @type {WebSocket | null} */
let socket = null;
/** @type {LineState} */
let state = "connecting";
let wait = FIRST_WAIT;
let wasOpen = false;
let timer = 0;

const keyOf = (wish) => wish.run || "*";
const listeners = () => [...topics.values()].flatMap((each) => [...each]);

function become(next) {
  if (next === state) return;
  state = next;
  for (const watch of watchers) watch(state);
}

function connect() {
  clearTimeout(timer);
  const url = address("live");
  url.protocol = url.protocol.replace("http", "ws");
  const mine = (socket = new WebSocket(url));
  let opened = false;
  mine.onopen = () => {
    opened = true;
    wait = FIRST_WAIT;
    become(wasOpen ? "catching-up" : "live");
    wasOpen = true;
    for (const key of topics.keys()) subscribe(key);
    if (!topics.size) become("live");
  };
  mine.onmessage = ({ data }) => hear(JSON.parse(data));
  mine.onclose = ({ code }) => {
    if (socket !== mine) return;
    socket = null;
    if (code === EXPIRED) return become("signed-out");
    if (opened) return lose();
    read("access").then(() => { // it answers, but has no such connection for us
      become("polling");
      timer = setTimeout(connect, TRY_AGAIN);
    }, (error) => error.status === 401 ? become("signed-out") : lose());
  };
}

function lose() {
  become("lost");
  timer = setTimeout(connect, wait);
  wait = Math.min(2 * wait, LONGEST_WAIT);
}

function say(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function subscribe(key) {
  const all = [...topics.get(key)];
  const { wish } = all[0];
  say({ type: "subscribe", ...wish, ...(wish.run ? { after: Math.min(...all.map(({ seen }) => seen)) } : {}) });
}

function hear(told) {
  if (told.type === "event") {
    const { event } = told;
    for (const each of [...(topics.get(event.run_id) || []), ...(topics.get("*") || [])]) {
      if (each.wish.run && event.seq !== null) {
        if (event.seq <= each.seen) continue;
        each.seen = event.seq;
      }
      each.event(event);
    }
    settle();
  } else if (told.type === "subscribed" || told.type === "error") {
    for (const each of topics.get(told.run || "*") || []) {
      each.isRefused = told.type === "error";
      each.until = told.seq || 0;
      each.catchUp();
    }
    settle();
  }
}

/** Whether all is told that was missed. */
function settle() {
  if (state !== "catching-up" && state !== "live" && state !== "polling") return;
  if (!socket) return;
  const all = listeners();
  if (all.some(({ isRefused }) => isRefused)) become("polling");
  else if (all.every(({ wish, seen, until }) => !wish.run || seen >= until)) become("live");
}

setInterval(() => { // where nothing is told, one has to look; nobody looks at a page that is hidden
  if (document.hidden) return;
  for (const each of listeners()) if (!socket ? state === "polling" : each.isRefused) each.catchUp();
}, POLL);
document.addEventListener("visibilitychange", () => {
  if (!document.hidden) for (const each of listeners()) each.catchUp();
});
addEventListener("online", () => state === "lost" && connect());

/** How the connection is. @returns {LineState} */
export function useLine() {
  const [seen, setSeen] = useState(state);
  useEffect(() => {
    watchers.add(setSeen);
    setSeen(state);
    if (!socket && state === "connecting") connect();
    return () => watchers.delete(setSeen);
  }, []);
  return seen;
}

/**
 * Hear events: of a run, after the number that is known, or of all. `catchUp` is called where something may have been missed.
 * @param {Wish | null} wish @param {{after?: number, event?: (event: any) => void, catchUp?: () => void}} calls
 */
export function useEvents(wish, { after = 0, event = () => {}, catchUp = () => {} }) {
  const latest = useRef({ event, catchUp });
  latest.current = { event, catchUp };
  const key = wish && keyOf(wish);
  useEffect(() => {
    if (!wish) return undefined;
    const mine = {
      wish, seen: after, until: 0, isRefused: false,
      event: (told) => latest.current.event(told), catchUp: () => latest.current.catchUp(),
    };
    if (!topics.has(key)) topics.set(key, new Set());
    topics.get(key).add(mine);
    subscribe(key);
    return () => {
      topics.get(key).delete(mine);
      if (topics.get(key).size) return;
      topics.delete(key);
      say({ type: "unsubscribe", ...wish });
    };
  }, [key]);
}
