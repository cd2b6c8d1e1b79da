// Read the data of the page: the facts at once, the columns of a trace once, and blocks of events when one is looked at.

/**
 * @typedef {object} Finding
 * @property {string} id
 * @property {string} severity `error`, `warning` or `note`
 * @property {string} text the sentence that `analyze` prints
 * @property {string} [evidence]
 * @property {number[]} [events]
 * @property {string | null} [suggestion]
 * @property {string} [subject]
 * @property {number} [count]
 * @property {string | null} [file]
 * @property {number | null} [line]
 *
 * @typedef {object} TraceFacts
 * @property {string} path
 * @property {string} reference what a command takes as TRACE, quoted for a shell; empty: the latest
 * @property {string} title
 * @property {string | null} started_at
 * @property {string} outcome
 * @property {boolean} is_failure
 * @property {string} outcome_text
 * @property {number | null} exit_status
 * @property {number | null} wall_ms
 * @property {number | null} cost
 * @property {string} cost_text
 * @property {number | null} tokens
 * @property {number} events
 * @property {number} spans
 * @property {Finding[]} findings the heaviest first
 * @property {number} first the event that is selected when the page opens
 * @property {[number, number][]} blocks first event and number of events of each block
 *
 * @typedef {object} Facts
 * @property {string} schema
 * @property {string} kind
 * @property {string} made_by
 * @property {boolean} content whether payloads are in the page
 * @property {boolean} live
 * @property {TraceFacts[]} traces
 *
 * @typedef {{event: number, path: string, how?: string, value?: string}} Place
 * @typedef {{event: number, path: string, value: string, sources: Place[], uses: Place[]}} Provenance
 * @typedef {[number, string, number?]} MessageChange index in the request, how it changed, index in the request before
 *
 * @typedef {object} Columns the JSON of a `columns-N` element
 * @property {string[]} strings
 * @property {{[column: string]: number[]}} spans
 * @property {{[column: string]: number[]}} points
 * @property {{[column: string]: number[]}} transcript
 * @property {{[row: string]: MessageChange[] | {against: number, changes: MessageChange[]}}} [messages]
 * @property {Provenance[]} [provenance]
 * @property {string[]} [processes]
 * @property {{[site: string]: string[]}} [source]
 * @property {{process: string[], number: number[], at: number[], memory_mb: number[], cpu_ms: number[]}} [samples] what ends of spans measured
 * @property {{frames: string[], stacks: number[][], weights: number[]}} [flame]
 */

/** Spans come first among the items of a table, then the events that belong to no span. */
/**
 * @typedef {object} Table one row for each span, then one for each point
 * @property {string[]} strings
 * @property {number} spans
 * @property {number} items
 * @property {Int32Array} number the event with which the item begins
 * @property {Int32Array} end the event with which it ends; 0: never, or a point
 * @property {Int32Array} parent the item around; -1: none
 * @property {Int32Array} agent the nearest agent around; -1: none
 * @property {Int32Array} component
 * @property {Int32Array} name
 * @property {Int32Array} gist
 * @property {Int32Array} error
 * @property {Float64Array} began microseconds since the first timestamp; -1: unknown
 * @property {Float64Array} duration
 * @property {Float64Array} self
 * @property {Float64Array} firstToken microseconds from the beginning of the span to the first token
 * @property {Uint8Array} failed
 * @property {Uint8Array} quiet what the tree shows only on demand: work in the background, events that belong to no span
 * @property {Uint8Array} retried
 * @property {Float64Array} input
 * @property {Float64Array} output
 * @property {Float64Array} cached
 * @property {Float64Array} cost in dollars
 * @property {Int32Array} process
 * @property {Int32Array} itemOf the item of each event number
 * @property {Int32Array} order all items, depth first
 * @property {Int32Array} size how many items each subtree has, itself included
 * @property {Int32Array} depth
 * @property {Int32Array} position the place of each item in `order`
 * @property {number} length microseconds from the first to the last timestamp
 * @property {Lines} lines
 * @property {Columns} columns
 *
 * @typedef {object} Lines the transcript
 * @property {number} count
 * @property {Int32Array} number
 * @property {Int32Array} end
 * @property {Int32Array} row
 * @property {Int32Array} depth
 * @property {Int32Array} what
 * @property {Int32Array} component
 * @property {Int32Array} name
 * @property {Float64Array} at
 * @property {Uint8Array} beside
 * @property {Int32Array} text
 * @property {number[]} heights those that are known
 */

/** Show why the page cannot be read. @param {unknown} error */
function showFailure(error) {
  byId("panes").replaceChildren(
    make(
      "p.empty",
      { role: "alert" },
      `The page cannot read its data: ${printable(error)}. In a terminal: namel3ss debug show`,
    ),
  );
  throw error;
}

/** Read the facts of the page. @returns {Facts} */
function readFacts() {
  return JSON.parse(byId("facts").textContent ?? "{}");
}

/**
 * Return the bytes of base64 text; `fromBase64` is ten times as fast as `atob`, and not yet everywhere.
 * @param {string} text
 * @returns {Uint8Array<ArrayBuffer>}
 */
function decodeBase64(text) {
  const native = /** @type {any} */ (Uint8Array).fromBase64;
  if (native) return native.call(Uint8Array, text.trim());
  const binary = atob(text.trim());
  const bytes = new Uint8Array(binary.length);
  for (let index = 0; index < binary.length; index++) bytes[index] = binary.charCodeAt(index);
  return bytes;
}

/**
 * Return the text that a data element holds as base64 of gzip.
 * @param {string} id
 */
async function readElement(id) {
  const bytes = decodeBase64(byId(id).textContent ?? "");
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

/**
 * Read the table of a trace. Its element is removed, for the text in it is as large as the table.
 * @param {number} index
 * @returns {Promise<Table>}
 */
async function readTable(index) {
  const id = `columns-${index}`;
  const columns = /** @type {Columns} */ (JSON.parse(await readElement(id)));
  byId(id).remove();
  return makeTable(columns);
}

/**
 * The columns of a table: their type, the names that they have for spans and for points, and what stands for a value that is not known.
 * @type {{[column: string]: [Int32ArrayConstructor | Float64ArrayConstructor | Uint8ArrayConstructor, string, string, number]}}
 */
const COLUMNS = {
  number: [Int32Array, "number", "number", 0],
  end: [Int32Array, "end", "", 0],
  parent: [Int32Array, "parent", "row", -1],
  agent: [Int32Array, "agent", "", -1],
  component: [Int32Array, "component", "type", 0],
  name: [Int32Array, "name", "name", 0],
  gist: [Int32Array, "gist", "gist", 0],
  error: [Int32Array, "error", "", 0],
  process: [Int32Array, "process", "", 0],
  began: [Float64Array, "began", "at", -1],
  duration: [Float64Array, "duration", "", -1],
  self: [Float64Array, "self", "", -1],
  firstToken: [Float64Array, "first_token", "", -1],
  input: [Float64Array, "input", "", -1],
  output: [Float64Array, "output", "", -1],
  cached: [Float64Array, "cached", "", -1],
  cost: [Float64Array, "cost", "", -1],
  failed: [Uint8Array, "failed", "failed", 0],
  retried: [Uint8Array, "retried", "", 0],
  quiet: [Uint8Array, "background", "", 1],
};

/** The columns of the transcript, in the same way. @type {typeof COLUMNS} */
const LINE_COLUMNS = {
  number: [Int32Array, "number", "", 0],
  end: [Int32Array, "end", "", 0],
  row: [Int32Array, "row", "", -1],
  depth: [Int32Array, "depth", "", 0],
  what: [Int32Array, "what", "", 0],
  component: [Int32Array, "component", "", 0],
  name: [Int32Array, "name", "", 0],
  at: [Float64Array, "at", "", -1],
  beside: [Uint8Array, "beside", "", 0],
  text: [Int32Array, "text", "", 0],
};

/**
 * Make a table of the columns in the page.
 * @param {Columns} columns
 * @returns {Table}
 */
function makeTable(columns) {
  const table = /** @type {Table} */ (
    /** @type {any} */ ({ strings: columns.strings, columns, spans: 0, items: 0, lines: { count: 0, heights: [] } })
  );
  growTable(table, columns.spans, columns.points, columns.transcript, 0);
  // The typed copies are what is read from here on.
  for (const part of /** @type {const} */ (["spans", "points", "transcript"])) columns[part] = {};
  return table;
}

/**
 * Add spans, points and lines of the transcript to a table; spans and lines that it has already are replaced.
 * @param {Table} table
 * @param {{[column: string]: number[]}} spans with their rows in `row`; without it, all from the first on
 * @param {{[column: string]: number[]}} points
 * @param {{[column: string]: number[]}} transcript
 * @param {number} firstLine
 */
function growTable(table, spans, points, transcript, firstLine) {
  const before = table.spans;
  const added = points.number?.length ?? 0;
  const moved = table.items - before;
  let count = spans.row ? before : (spans.number?.length ?? 0);
  for (const row of spans.row ?? []) count = Math.max(count, row + 1);
  table.spans = count;
  table.items = count + moved + added;
  spans.cost = (spans.cost ?? []).map((cost) => (cost < 0 ? cost : cost / 1e9));
  const columns = /** @type {{[column: string]: any}} */ (/** @type {any} */ (table));
  for (const [name, [Type, ofSpan, ofPoint, missing]] of Object.entries(COLUMNS)) {
    const column = (columns[name] = resizeColumn(columns[name], table.items, Type));
    column.copyWithin(count, before, before + moved);
    fillColumn(column, spans[ofSpan], spans.row, before, count, missing);
    fillColumn(column, points[ofPoint], undefined, table.items - added, table.items, missing);
  }
  const { lines, failed, quiet, began, duration } = table;
  const last = firstLine + (transcript.number?.length ?? 0);
  lines.count = Math.max(lines.count, last);
  lines.heights.length = Math.min(lines.heights.length, firstLine);
  const ofLines = /** @type {{[column: string]: any}} */ (/** @type {any} */ (lines));
  for (const [name, [Type, ofLine, , missing]] of Object.entries(LINE_COLUMNS)) {
    const column = (ofLines[name] = resizeColumn(ofLines[name], lines.count, Type));
    fillColumn(column, transcript[ofLine], undefined, firstLine, last, missing);
  }
  table.length = 0;
  for (let item = 0; item < table.items; item++) {
    if (failed[item]) quiet[item] = 0;
    table.length = Math.max(table.length, began[item] + Math.max(0, duration[item]));
  }
  table.itemOf = indexEvents(table);
  Object.assign(table, orderItems(table));
}

/**
 * Return a column with another length and the same values; it has room for as many again when it grows.
 * @param {any} column
 * @param {number} length
 * @param {any} Type
 */
function resizeColumn(column, length, Type) {
  const size = length * Type.BYTES_PER_ELEMENT;
  if (column && column.buffer.byteLength >= size) return new Type(column.buffer, 0, length);
  const grown = new Type(new ArrayBuffer(column ? 2 * size : size), 0, length);
  if (column) grown.set(column);
  return grown;
}

/**
 * @param {any} column
 * @param {number[] | undefined} values undefined: not known
 * @param {number[] | undefined} rows where the values stand; undefined: from `from` on
 * @param {number} from
 * @param {number} to
 * @param {number} missing
 */
function fillColumn(column, values, rows, from, to, missing) {
  if (!values) column.fill(missing, from, to);
  else if (!rows) column.set(values, from);
  else for (const [index, row] of rows.entries()) column[row] = values[index];
}

/** Return the item of each event number; -1 where an event begins and ends none. @param {Table} table */
function indexEvents({ number, end }) {
  let last = 0;
  for (let item = 0; item < number.length; item++) last = Math.max(last, number[item], end[item]);
  const itemOf = new Int32Array(last + 1).fill(-1);
  for (let item = 0; item < number.length; item++) {
    itemOf[number[item]] = item;
    if (end[item]) itemOf[end[item]] = item;
  }
  return itemOf;
}

/** Order items depth first, children by event number. @param {Table} table */
function orderItems({ number, parent, itemOf }) {
  const items = number.length;
  // Children as linked lists; filled from the last event to the first, so that each list is in order.
  const firstChild = new Int32Array(items + 1).fill(-1);
  const nextSibling = new Int32Array(items).fill(-1);
  for (let event = itemOf.length - 1; event > 0; event--) {
    const item = itemOf[event];
    if (item < 0 || number[item] !== event) continue;
    const above = parent[item];
    const list = above >= 0 && above < items && above !== item ? above : items;
    nextSibling[item] = firstChild[list];
    firstChild[list] = item;
  }
  const order = new Int32Array(items);
  const depth = new Int32Array(items);
  const size = new Int32Array(items).fill(1);
  const position = new Int32Array(items).fill(-1);
  const stack = [];
  let filled = 0;
  for (let item = firstChild[items]; item >= 0; ) {
    order[filled] = item;
    position[item] = filled++;
    depth[item] = stack.length;
    if (firstChild[item] >= 0) {
      stack.push(item);
      item = firstChild[item];
      continue;
    }
    while (item >= 0 && nextSibling[item] < 0) {
      item = stack.pop() ?? -1;
      if (item >= 0) size[item] = filled - position[item];
    }
    if (item >= 0) item = nextSibling[item];
  }
  return { order: order.subarray(0, filled), depth, size, position };
}

/** An event as it was recorded. @typedef {{[field: string]: any}} TraceEvent */

/** Decode the blocks of a trace, and keep the last ones looked at. */
class Blocks {
  /**
   * @param {[number, number][]} blocks
   * @param {(index: number) => Promise<string>} read returns a block as JSON lines
   */
  constructor(blocks, read) {
    this.blocks = blocks;
    this.read = read;
    this.most = 8;
    /** @type {Map<number, Promise<string[]>>} */
    this.decoded = new Map();
  }

  /**
   * Return the JSON lines of a block.
   * @param {number} index
   */
  lines(index) {
    const known = this.decoded.get(index) ?? this.read(index).then((text) => text.split("\n").filter(Boolean));
    this.decoded.delete(index);
    this.decoded.set(index, known);
    for (const oldest of this.decoded.keys()) {
      if (this.decoded.size <= this.most) break;
      this.decoded.delete(oldest);
    }
    return known;
  }

  /**
   * Return an event, or null where the page does not have it.
   * @param {number} number
   * @returns {Promise<TraceEvent | null>}
   */
  async event(number) {
    let low = 0;
    let high = this.blocks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if ((this.blocks[middle]?.[0] ?? 0) <= number) low = middle;
      else high = middle - 1;
    }
    const block = this.blocks[low];
    if (!block || number < block[0] || number >= block[0] + block[1]) return null;
    const line = (await this.lines(low))[number - block[0]];
    return line === undefined ? null : JSON.parse(line);
  }
}

/**
 * Return a value of an event by a dotted path, such as `inputs.arguments.city`.
 * @param {any} value
 * @param {string} path
 */
function valueAt(value, path) {
  for (const key of path.split(".")) {
    if (value === null || typeof value !== "object" || !Object.hasOwn(value, key)) return undefined;
    value = value[key];
  }
  return value;
}
