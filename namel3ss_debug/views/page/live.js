// The live page: ask the server for what is new, and add it to the table. A page from disk does not have this.

/**
 * @typedef {object} Batch what is new
 * @property {string} after how far the page is with it
 * @property {boolean} more whether there is more already
 * @property {boolean} over whether there will be no more
 * @property {boolean} restarts whether the transcript begins again
 * @property {TraceFacts} facts
 * @property {string[]} strings those of this batch
 * @property {{[column: string]: number[]}} spans
 * @property {{[column: string]: number[]}} points
 * @property {{[column: string]: number[]}} transcript
 * @property {number} first_line
 * @property {Columns["messages"]} messages
 * @property {string[]} processes
 * @property {Columns["provenance"]} [provenance]
 * @property {Columns["samples"]} [samples]
 * @property {Columns["flame"]} [flame]
 */

/** The columns that are indexes of strings. @type {["spans" | "points" | "transcript", string[]][]} */
const TEXT_COLUMNS = [
  ["spans", ["component", "name", "error", "gist"]],
  ["points", ["type", "name", "gist"]],
  ["transcript", ["what", "component", "name", "agent", "text"]],
];

/** After each batch the page rests so long, and at least twice as long as it drew. */
const REST = 50;
/** So many blocks of a run that is over are kept, 64 MB: its server may end. */
const MOST_KEPT = 256;

/** The name by which the server knows this page. */
const PAGE = String(Math.random()).slice(2);

/**
 * Ask the server.
 * @param {string} name
 * @param {{[field: string]: string | number}} fields
 */
async function ask(name, fields = {}) {
  const query = new URLSearchParams({ page: PAGE });
  for (const [field, value] of Object.entries(fields)) query.set(field, String(value));
  // eslint-disable-next-line no-restricted-globals -- the policy of the page allows its own server, and no other
  const response = await fetch(`${name}?${query}`);
  if (!response.ok) throw new Error(`the server answers with status ${response.status}`);
  return response;
}

/** @param {number} milliseconds @returns {Promise<void>} */
const rest = (milliseconds) => new Promise((resume) => setTimeout(resume, milliseconds));

/** Wait until no button is pressed: a row that is replaced between press and release would not be clicked. */
async function untilReleased() {
  while (pressed) await rest(20);
}
let pressed = false;

/**
 * Add what is new to the page until the run is over.
 * @param {Page} page
 * @param {Timeline} timeline
 */
async function followTrace(page, timeline) {
  const { trace, blocks } = page;
  if (page.state.item < 0) page.change({ tab: "transcript" }); // on a small screen
  for (const type of ["pointerdown", "pointerup", "pointercancel"])
    addEventListener(type, () => (pressed = type === "pointerdown"), { capture: true });
  const button = byId("follow");
  button.hidden = false;
  button.onclick = () => followEnd(page);
  page.watch(() => button.setAttribute("aria-pressed", String(page.state.item < 0)));
  blocks.read = async (index) => {
    const [from, count] = trace.blocks[index];
    return (await ask("event", { from, to: from + count - 1 })).text();
  };
  const ids = new Map(page.table.strings.map((text, id) => [text, id]));
  for (let after = "", over = false; !over; ) {
    const response = await ask("events", { after }).catch(() => null);
    if (!response) {
      trace.outcome_text = "no longer live: the server ended";
      break;
    }
    if (response.status === 204) continue;
    const batch = /** @type {Batch} */ (await response.json());
    await untilReleased();
    const began = performance.now();
    takeBatch(page, timeline, batch, ids);
    ({ after, over } = batch);
    // Frames are not drawn while the page is hidden.
    await Promise.race([new Promise(requestAnimationFrame), rest(1000)]);
    if (!batch.more) await rest(Math.max(REST, 2 * (performance.now() - began)));
  }
  button.hidden = true;
  drawHeadline(trace);
  drawFirstFinding(page);
  if (trace.blocks.length <= MOST_KEPT) {
    blocks.most = MOST_KEPT;
    await Promise.all(trace.blocks.map((_, index) => blocks.lines(index))).catch(() => null);
  }
  await ask("done").catch(() => null);
}

/**
 * @param {Page} page
 * @param {Timeline} timeline
 * @param {Batch} batch
 * @param {Map<string, number>} ids the index of each string of the page
 */
function takeBatch(page, timeline, batch, ids) {
  const { table, state, trace, blocks } = page;
  const { columns, strings } = table;
  const known = batch.strings.map((text) => {
    const id = ids.get(text) ?? strings.push(text) - 1;
    ids.set(text, id);
    return id;
  });
  for (const [part, names] of TEXT_COLUMNS)
    for (const name of names) batch[part][name] = batch[part][name].map((index) => known[index]);
  const before = table.spans;
  if (batch.restarts) {
    table.lines.count = 0;
    columns.messages = {};
  }
  growTable(table, batch.spans, batch.points, batch.transcript, batch.first_line);
  // Points stand after the spans.
  if (state.item >= before) state.item += table.spans - before;
  columns.processes = batch.processes;
  Object.assign((columns.messages ??= {}), batch.messages);
  // The last block grows.
  blocks.decoded.delete(trace.blocks.length - 1);
  Object.assign(trace, batch.facts);
  blocks.blocks = trace.blocks;
  if (batch.samples) {
    Object.assign(columns, { samples: batch.samples, flame: batch.flame, provenance: batch.provenance ?? [] });
    page.provenanceOf = groupProvenance(columns.provenance ?? []);
    byId("problems").textContent = trace.findings.length ? ` ${trace.findings.length}` : "";
    byId("pane-summary").replaceChildren();
    startFindings(page);
    labelTimeline(page);
  }
  page.findingsOf = groupFindings(trace, table);
  drawHeadline(trace);
  drawFirstFinding(page);
  timeline.grow();
  page.change({ grown: state.grown + 1 });
  page.refilter();
  const wanted = state.item < 0 ? eventOfHash() || (batch.over ? trace.first : 0) : 0;
  if (wanted) selectEvent(page, wanted);
  document.body.dataset.events = String(trace.events);
}

/** Select nothing, and show the end of the run as it grows. @param {Page} page */
function followEnd(page) {
  history.replaceState(null, "", location.pathname); // which may name an event
  page.change({ item: -1, event: 0 });
  for (const id of ["tree", "transcript"]) byId(id).scrollTop = Number.MAX_SAFE_INTEGER;
}

/**
 * Find the events for which an expression holds.
 * @param {string} where
 * @returns {Promise<{found: Set<number> | null, problem: string}>}
 */
async function findByExpression(where) {
  try {
    const { numbers, problem = "", looked_at: lookedAt, events } = await (await ask("find", { where })).json();
    if (problem) return { found: null, problem };
    const ends = lookedAt < events ? `Only the first ${formatCount(lookedAt)} events were searched` : "";
    return { found: new Set(numbers), problem: ends };
  } catch {
    return { found: null, problem: "The server ended. In a terminal: namel3ss debug inspect --where EXPRESSION" };
  }
}
