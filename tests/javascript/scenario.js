// One client of Socket.IO: hears a run to its end, leaves, comes back, and prints what it heard. Arguments: URL, token, run.
import { io } from "socket.io-client";

const [url, token, run] = process.argv.slice(2);
const heard = { connected: [], subscribed: [], refused: [], events: [], kinds: [], unsubscribed: [] };

function connect() {
  const socket = io(url, { auth: { token }, reconnection: false, forceNew: true });
  for (const name of ["connected", "subscribed", "refused", "unsubscribed"]) {
    socket.on(name, (data) => heard[name].push(data));
  }
  socket.on("pipeline-event", (event) => heard.events.push(event));
  socket.on("phase-completed", (event) => heard.kinds.push(event));
  return socket;
}

const once = (socket, name) => new Promise((resolve) => socket.once(name, resolve));

const refused = io(url, { auth: { token: "wrong" }, reconnection: false, forceNew: true });
const error = await once(refused, "connect_error");

const first = connect();
await once(first, "connected");
first.emit("subscribe", "0000000000000000000000");
await once(first, "refused");
first.emit("subscribe", run);
await once(first, "pipeline-completed");
first.disconnect();

const second = connect();
await once(second, "connected");
second.emit("subscribe", { run, after: 3 });
await once(second, "pipeline-completed");
second.emit("unsubscribe", { run });
await once(second, "unsubscribed");
second.disconnect();

console.log(JSON.stringify({ ...heard, error: { message: error.message, data: error.data } }));
process.exit(0);
