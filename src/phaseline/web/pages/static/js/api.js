// What is asked of the surface at `api`, beside this page; what it refuses is an ApiError.

export class ApiError extends Error {
  /** @param {number} status 0 where nobody answered @param {{title?: string, detail?: string, type?: string, problems?: string[]}} problem */
  constructor(status, problem) {
    super(problem.detail || problem.title || "the host did not answer");
    this.status = status;
    this.kind = (problem.type || "").split(":").pop();
    this.title = problem.title || "";
    this.problems = problem.problems || [];
  }
}

/** The address of something, for links and sockets. @param {string} path @param {Record<string, unknown>} [query] */
export function address(path, query = {}) {
  const url = new URL(`api/${path}`, document.baseURI);
  for (const [name, value] of Object.entries(query)) {
    for (const each of Array.isArray(value) ? value : [value]) {
      if (each !== undefined && each !== null && each !== "") url.searchParams.append(name, each);
    }
  }
  return url;
}

/** A part of a path, whatever characters are in it. */
export const part = encodeURIComponent;

async function ask(method, url, { body, signal } = {}) {
  let answer;
  try {
    const headers = body === undefined ? {} : { "content-type": "application/json" };
    answer = await fetch(url, { method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { title: "The host cannot be reached" });
  }
  if (answer.status === 401) dispatchEvent(new Event("signed-out"));
  if (answer.status === 204) return null;
  const isJson = (answer.headers.get("content-type") || "").includes("json");
  const told = isJson ? await answer.json() : {};
  if (!answer.ok) throw new ApiError(answer.status, told);
  return told;
}

/** Read something. @param {string} path @param {Record<string, unknown>} [query] @param {AbortSignal} [signal] */
export const read = (path, query = {}, signal) => ask("GET", address(path, query), { signal });

/** Change something. @param {string} path @param {unknown} [body] @param {"POST" | "PUT" | "DELETE"} [method] */
export const change = (path, body = {}, method = "POST") => ask(method, address(path), { body });
