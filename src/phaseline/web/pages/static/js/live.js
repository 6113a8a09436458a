// One connection on which the page hears what happens; cut off, it comes back and says so, and nothing is missed.
import { address, read } from "./api.js";
import { useEffect, useLayoutEffect, useRef, useState } from "./html.js";

const FIRST_WAIT = 250, LONGEST_WAIT = 5_000, TRY_AGAIN = 30_000, POLL = 5_000, LINGER = 10_000; // milliseconds
const EXPIRED = 4401;

/**
 * connecting: for the first time; live; lost: nobody answers; catching-up: back, and reading what was missed;
 * polling: the host answers, but not this way; signed-out: it does not know us any more.
 * @typedef {"connecting" | "live" | "lost" | "catching-up" | "polling" | "signed-out"} LineState
 * @typedef {{run?: string, everything?: true}} Wish
 * @typedef {{event: (event: any) => void, catchUp: () => void, seen: number}} Listener
 * @typedef {{wish: Wish, listeners: Set<Listener>, is: "asked" | "heard" | "cut" | "refused", until: number, end: number}} Topic
 */

/** @type {Map<string, Topic>} */
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

function become(next) {
  if (next === state) return;
  state = next;
  for (const watch of watchers) watch(state);
}

function connect() {
  clearTimeout(timer);
  const url = address("live");
  url.protocol = url.protocol.replace("http", "ws");
  const before = socket;
  cut();
  before?.close(); // a page has one line: nobody listens to that one from now on
  const mine = (socket = new WebSocket(url));
  let opened = false;
  mine.onopen = () => {
    opened = true;
    wait = FIRST_WAIT;
    become(wasOpen ? "catching-up" : "live");
    wasOpen = true;
    for (const topic of topics.values()) subscribe(topic);
    if (!topics.size) become("live");
  };
  mine.onmessage = ({ data }) => hear(JSON.parse(data));
  mine.onclose = ({ code }) => {
    if (socket !== mine) return;
    cut();
    if (code === EXPIRED) return become("signed-out");
    if (opened) return lose();
    read("access").then(() => { // it answers, but has no such connection for us
      if (socket) return; // there is another one meanwhile
      become("polling");
      timer = setTimeout(connect, TRY_AGAIN);
    }, (error) => !socket && error.status !== 401 && lose());
  };
}

function cut() {
  socket = null;
  for (const topic of topics.values()) if (topic.is === "heard") topic.is = "cut";
}

function lose() {
  become("lost");
  timer = setTimeout(connect, wait);
  wait = Math.min(2 * wait, LONGEST_WAIT);
}

function say(message) {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(message));
}

function subscribe({ wish, listeners }) {
  say({ type: "subscribe", ...wish, ...(wish.run ? { after: Math.min(...[...listeners].map(({ seen }) => seen)) } : {}) });
}

function catchUp(topic) {
  for (const each of topic.listeners) each.catchUp();
}

function hear(told) {
  if (told.type === "event") {
    const { event } = told;
    for (const each of topics.get(event.run_id)?.listeners || []) {
      if (event.seq !== null) {
        if (event.seq <= each.seen) continue;
        each.seen = event.seq;
      }
      each.event(event);
    }
    for (const each of topics.get("*")?.listeners || []) each.event(event);
    settle();
  } else if (told.type === "subscribed" || told.type === "error") {
    const topic = topics.get(told.run || (told.everything ? "*" : ""));
    if (topic) answer(topic, told);
    settle();
  }
}

function answer(topic, told) {
  const was = topic.is;
  if (told.code === "too-many-requests") setTimeout(() => topics.get(keyOf(topic.wish)) === topic && subscribe(topic), TRY_AGAIN);
  topic.is = told.type === "error" ? "refused" : "heard";
  topic.until = told.seq || 0;
  // Of a run all is told that was not known yet, but what is not stored may be missed while the line is cut.
  if (topic.is === "refused" || was !== (topic.wish.run ? "asked" : "heard")) catchUp(topic);
}

/** Whether all is told that was missed. */
function settle() {
  if (state !== "catching-up" && state !== "live" && state !== "polling") return;
  if (!socket) return;
  const all = [...topics.values()];
  if (all.some((topic) => topic.is === "refused" && topic.listeners.size)) become("polling");
  else if (all.every(({ wish, listeners, until }) => !wish.run || [...listeners].every(({ seen }) => seen >= until))) become("live");
}

setInterval(() => { // where nothing is told, one has to look; nobody looks at a page that is hidden
  if (document.hidden) return;
  for (const topic of topics.values()) if (!socket ? state === "polling" : topic.is === "refused") catchUp(topic);
}, POLL);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  if (state === "signed-out") connect(); // perhaps he is known again
  for (const topic of topics.values()) catchUp(topic);
});
addEventListener("signed-out", () => { // nothing is told any more to whom the host does not know
  clearTimeout(timer);
  const mine = socket;
  cut();
  mine?.close();
  become("signed-out");
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
  useLayoutEffect(() => { // at the same moment as the page begins to read: nothing comes in between
    if (!wish) return undefined;
    const mine = { seen: after, event: (told) => latest.current.event(told), catchUp: () => latest.current.catchUp() };
    if (!topics.has(key)) topics.set(key, { wish, listeners: new Set(), is: "asked", until: 0, end: 0 });
    const topic = topics.get(key);
    clearTimeout(topic.end);
    topic.listeners.add(mine);
    if (wish.run || topic.is !== "heard") subscribe(topic);
    return () => {
      topic.listeners.delete(mine);
      const end = () => {
        if (topic.listeners.size) return;
        topics.delete(key);
        say({ type: "unsubscribe", ...wish });
      };
      // Who goes to a run and back has missed nothing of the list: it is read once.
      if (wish.run) end();
      else topic.end = setTimeout(end, LINGER);
    };
  }, [key]);
}
