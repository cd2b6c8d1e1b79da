// The timeline on canvas: tracks of bars, a ruler above, and a minimap of the whole run below.

const RULER = 20;
const TRACK = 20;
const BAR = 16;
const MINIMAP = 28;
/** Bars of fewer pixels merge into density. */
const NARROW = 3;
/** More concurrent spans than this share the last track of their process. */
const MOST_TRACKS = 400;

/**
 * @typedef {object} Layout where the spans stand
 * @property {Int32Array} trackOf of each span; -1: without times
 * @property {Int32Array[]} tracks the spans of each track, in order of time; they do not overlap
 * @property {Int32Array[]} failures of each track: how many of the spans before each one failed
 * @property {string[]} labels of each track: the process, on its first
 * @property {Int32Array} childStart
 * @property {Int32Array} children of each span, in order of time
 * @property {Float64Array} childEnds the latest end among a child and those before it
 */

/**
 * Return when a span ended: one that never did, at the end of the run; one whose duration is not known, at once.
 * @param {Table} table
 * @param {number} row
 */
function endOf({ began, duration, end, length }, row) {
  if (duration[row] >= 0) return began[row] + duration[row];
  return end[row] ? began[row] : length;
}

/**
 * Give each span a track below its parent's, where none of its time is taken.
 * @param {Table} table
 * @returns {Layout}
 */
function layOut(table) {
  const { spans, began, process, parent, failed } = table;
  const timed = [];
  for (let row = 0; row < spans; row++) if (began[row] >= 0) timed.push(row);
  // A parent stands before its first child that began in the same microsecond.
  timed.sort((a, b) => process[a] - process[b] || began[a] - began[b] || a - b);
  const trackOf = new Int32Array(spans).fill(-1);
  /** @type {number[][]} */
  const tracks = [];
  const labels = [];
  /** @type {number[]} when each track of the process is free again */
  let free = [];
  let base = 0;
  let current = -1;
  for (const row of timed) {
    if (process[row] !== current) {
      base = tracks.length;
      free = [];
      current = process[row];
    }
    const above = parent[row] >= 0 ? trackOf[parent[row]] : -1;
    let track = above >= base ? above - base + 1 : 0;
    while (track < free.length && track < MOST_TRACKS && free[track] > began[row]) track++;
    while (tracks.length <= base + track) {
      labels.push(tracks.length === base ? (table.columns.processes?.[current] ?? "") : "");
      tracks.push([]);
    }
    free[track] = Math.max(free[track] ?? 0, endOf(table, row));
    for (let each = 0; each < track; each++) free[each] ??= 0;
    trackOf[row] = base + track;
    tracks[base + track].push(row);
  }
  return {
    trackOf,
    labels,
    tracks: tracks.map((track) => Int32Array.from(track)),
    failures: tracks.map((track) => {
      const sums = new Int32Array(track.length + 1);
      for (let index = 0; index < track.length; index++) sums[index + 1] = sums[index] + failed[track[index]];
      return sums;
    }),
    ...indexChildren(table, timed),
  };
}

/**
 * @param {Table} table
 * @param {number[]} timed spans in order of time
 */
function indexChildren(table, timed) {
  const childStart = new Int32Array(table.spans + 1);
  for (const row of timed) if (table.parent[row] >= 0) childStart[table.parent[row] + 1]++;
  for (let row = 0; row < table.spans; row++) childStart[row + 1] += childStart[row];
  const next = childStart.slice();
  const children = new Int32Array(childStart[table.spans]);
  const childEnds = new Float64Array(children.length);
  for (const row of timed) {
    const above = table.parent[row];
    if (above < 0) continue;
    const at = next[above]++;
    children[at] = row;
    childEnds[at] = Math.max(endOf(table, row), at > childStart[above] ? childEnds[at - 1] : 0);
  }
  return { childStart, children, childEnds };
}

/**
 * Return the first index from `low` to `high` at which a value passes; those after it pass too.
 * @param {number} low
 * @param {number} high
 * @param {(index: number) => boolean} passes
 */
function firstIndex(low, high, passes) {
  while (low < high) {
    const middle = (low + high) >> 1;
    if (passes(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The colours of the canvas, read from the style sheet so that light and dark are written once. */
function readColours() {
  const style = getComputedStyle(document.body);
  /** @param {string} name */
  const read = (name) => style.getPropertyValue(name).trim();
  return {
    llm: read("--llm-fill"),
    tool: read("--tool-fill"),
    agent: read("--agent-fill"),
    other: read("--other-fill"),
    text: read("--text"),
    muted: read("--muted"),
    line: read("--line"),
    ground: read("--ground"),
    panel: read("--panel"),
    failure: read("--failure"),
    finding: read("--finding"),
    focus: read("--focus"),
    font: `11px ${style.fontFamily}`,
  };
}

/** The timeline of a page. */
class Timeline {
  /** @param {Page} page */
  constructor(page) {
    this.page = page;
    this.canvas = /** @type {HTMLCanvasElement} */ (byId("timeline"));
    this.context = /** @type {CanvasRenderingContext2D} */ (this.canvas.getContext("2d"));
    this.tip = byId("tip");
    this.layout = layOut(page.table);
    this.length = Math.max(1, page.table.length);
    this.from = 0;
    this.to = this.length;
    this.scroll = 0;
    this.width = 0;
    this.height = 0;
    this.letter = 6;
    this.frame = 0;
    /** @type {HTMLCanvasElement | null} */
    this.overview = null;
    this.colours = readColours();
    /** @type {Map<string, CanvasPattern | string>} */
    this.hatches = new Map();
    new ResizeObserver(() => this.resize()).observe(byId("pane-timeline"));
    for (const query of ["(prefers-color-scheme: dark)", "(resolution: 1dppx)"])
      matchMedia(query).addEventListener("change", () => this.resize());
    this.listen();
    page.watch((changed) => {
      if (changed.has("item")) this.reveal(page.state.item);
      if (changed.has("passes")) this.overview = null;
      this.request();
    });
  }

  /** Fit the canvas to its pane and to the pixels of the screen. */
  resize() {
    const { clientWidth, clientHeight } = byId("pane-timeline");
    const ratio = devicePixelRatio || 1;
    this.width = clientWidth;
    this.height = clientHeight;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.colours = readColours();
    this.hatches.clear();
    this.context.font = this.colours.font;
    this.letter = this.context.measureText("search_notes(topic=").width / 19;
    this.overview = null;
    this.reveal(this.page.state.item);
    this.draw();
  }

  /** Lay out a table that grew. One that is shown from begin to end stays so. */
  grow() {
    const { table } = this.page;
    const isWhole = this.from <= 0 && this.to >= this.length;
    this.layout = layOut(table);
    this.length = Math.max(1, table.length);
    this.overview = null;
    if (isWhole) this.show(0, this.length);
    this.request();
  }

  /** Draw in the next frame. */
  request() {
    if (!this.frame) this.frame = requestAnimationFrame(() => this.draw());
  }

  /** How high the tracks are that are in view. */
  get room() {
    return Math.max(TRACK, this.height - RULER - MINIMAP);
  }

  /** @param {number} time */
  x(time) {
    return ((time - this.from) / (this.to - this.from)) * this.width;
  }

  /** @param {number} x */
  time(x) {
    return this.from + (x / this.width) * (this.to - this.from);
  }

  /** @param {number} track */
  y(track) {
    return RULER + track * TRACK - this.scroll;
  }

  /**
   * Show a range of time; at least 10 µs, at most a little more than the run.
   * @param {number} from
   * @param {number} to
   */
  show(from, to) {
    const span = Math.min(Math.max(to - from, 10), this.length * 1.02);
    const start = Math.min(Math.max(from, -this.length * 0.01), this.length * 1.01 - span);
    this.from = start;
    this.to = start + span;
    this.request();
  }

  /**
   * Zoom so that what is at `x` stays there.
   * @param {number} factor below 1: closer
   * @param {number} [x]
   */
  zoom(factor, x = this.width / 2) {
    const at = this.time(x);
    this.show(at - (at - this.from) * factor, at + (this.to - at) * factor);
  }

  /** @param {number} pixels */
  pan(pixels) {
    const moved = (pixels / this.width) * (this.to - this.from);
    this.show(this.from + moved, this.to + moved);
  }

  /** @param {number} y */
  scrollTo(y) {
    this.scroll = Math.min(Math.max(0, y), Math.max(0, this.layout.tracks.length * TRACK - this.room));
    this.request();
  }

  /**
   * Bring an item into view, and keep the zoom unless the item would be a speck of it.
   * @param {number} item
   */
  reveal(item) {
    const { table } = this.page;
    if (item < 0 || table.began[item] < 0 || !this.height) return;
    const began = table.began[item];
    const end = item < table.spans ? endOf(table, item) : began;
    const range = this.to - this.from;
    if (end < this.from || began > this.to) this.show(began - range / 3, began + (range * 2) / 3);
    const track = item < table.spans ? this.layout.trackOf[item] : -1;
    if (track < 0) return;
    const top = track * TRACK;
    if (top < this.scroll) this.scrollTo(top);
    else if (top + TRACK > this.scroll + this.room) this.scrollTo(top + TRACK - this.room);
  }

  /** Draw everything. */
  draw() {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    if (!this.width || !this.height) return;
    const { context, colours } = this;
    context.fillStyle = colours.ground;
    context.fillRect(0, 0, this.width, this.height);
    if (this.page.table.length <= 0) {
      context.fillStyle = colours.muted;
      context.font = colours.font;
      const why = "This trace has no times. The transcript below is in the order of its events.";
      context.fillText(emptyText(this.page.trace, why), 12, 24);
      return;
    }
    context.save();
    context.beginPath();
    context.rect(0, RULER, this.width, this.room);
    context.clip();
    const first = Math.max(0, Math.floor(this.scroll / TRACK));
    const last = Math.min(this.layout.tracks.length, Math.ceil((this.scroll + this.room) / TRACK));
    for (let track = first; track < last; track++) this.drawTrack(track);
    this.drawSelection();
    this.drawPath();
    context.restore();
    this.drawRuler();
    this.drawMinimap();
  }

  /**
   * Draw the spans of a track that are in view. Several in one pixel are one stroke, found by binary search, so that a
   * frame costs as much as the screen is wide, however many spans there are.
   * @param {number} track
   */
  drawTrack(track) {
    const { context, colours, page } = this;
    const { table, state } = page;
    const rows = this.layout.tracks[track];
    const failures = this.layout.failures[track];
    const top = this.y(track) + (TRACK - BAR) / 2;
    const scale = this.width / (this.to - this.from);
    let index = firstIndex(0, rows.length, (at) => endOf(table, rows[at]) >= this.from);
    while (index < rows.length) {
      const row = rows[index];
      const left = (table.began[row] - this.from) * scale;
      if (left > this.width) break;
      const right = (endOf(table, row) - this.from) * scale;
      if (right - left >= NARROW) {
        this.drawBar(row, left, right, top);
        index++;
        continue;
      }
      const pixel = Math.floor(left);
      const limit = this.from + (pixel + 1) / scale;
      const next = Math.max(
        index + 1,
        firstIndex(index, rows.length, (at) => table.began[rows[at]] >= limit),
      );
      const isDim = state.passes ? !anyPasses(state.passes, rows, index, next) : false;
      context.globalAlpha = isDim ? 0.2 : 1;
      context.fillStyle = colours[hueOf(textOf(table, table.component, row))];
      // The more spans a pixel has, the higher it is; one alone still has half the height.
      const height = BAR * (0.5 + 0.5 * Math.min(1, (next - index) / 8));
      context.fillRect(pixel, top + BAR - height, Math.max(1, Math.min(right - left, NARROW)), height);
      if (failures[next] > failures[index]) {
        context.fillStyle = colours.failure;
        context.fillRect(pixel, top, 2, BAR);
      }
      context.globalAlpha = 1;
      index = next;
    }
    const label = this.layout.labels[track];
    if (label && (page.table.columns.processes?.length ?? 0) > 1) {
      context.font = colours.font;
      context.fillStyle = colours.muted;
      context.fillText(oneLine(label, 40), 4, this.y(track) + 10);
    }
  }

  /**
   * Draw a bar: solid where the span itself worked, hatched where it waited for others or for a first token.
   * @param {number} row
   * @param {number} left
   * @param {number} right
   * @param {number} top
   */
  drawBar(row, left, right, top) {
    const { context, colours, page } = this;
    const { table, state } = page;
    const hue = hueOf(textOf(table, table.component, row));
    const start = Math.max(left, -2);
    const width = Math.min(right, this.width + 2) - start;
    context.globalAlpha = state.passes && !state.passes[row] ? 0.2 : 1;
    const waits = this.waits(row, start, start + width);
    context.fillStyle = waits.length ? this.hatch(hue) : colours[hue];
    context.fillRect(start, top, width - 1, BAR);
    if (waits.length) {
      context.fillStyle = colours[hue];
      let solid = start;
      for (const [from, to] of waits) {
        if (from > solid) context.fillRect(solid, top, from - solid, BAR);
        solid = Math.max(solid, to);
      }
      if (start + width - 1 > solid) context.fillRect(solid, top, start + width - 1 - solid, BAR);
    }
    if (table.failed[row]) {
      context.strokeStyle = colours.failure;
      context.lineWidth = 2;
      context.strokeRect(start + 1, top + 1, Math.max(1, width - 3), BAR - 2);
    }
    const room = Math.floor((width - 8) / this.letter);
    if (room >= 3) {
      const mark = table.failed[row] ? "✕ " : table.retried[row] ? "↻ " : "";
      context.fillStyle = colours.text;
      context.font = colours.font;
      const name = mark + oneLine(labelOf(table, row), 100);
      let shown = name.length > room ? `${name.slice(0, room - 1)}…` : name;
      // The room is that of usual letters: a text of wider ones is cut until it fits.
      while (shown.length > 2 && context.measureText(shown).width > width - 6) shown = `${shown.slice(0, -2)}…`;
      context.fillText(shown, start + 4, top + 12);
    }
    context.globalAlpha = 1;
  }

  /**
   * Return where a span waited, in pixels from left to right.
   * @param {number} row
   * @param {number} left
   * @param {number} right
   * @returns {[number, number][]}
   */
  waits(row, left, right) {
    const { table } = this.page;
    const { childStart, children, childEnds } = this.layout;
    /** @type {[number, number][]} */
    const waits = [];
    if (table.firstToken[row] > 0)
      waits.push([left, Math.min(right, Math.max(left, this.x(table.began[row] + table.firstToken[row])))]);
    const stop = childStart[row + 1];
    const from = this.time(left);
    let at = firstIndex(childStart[row], stop, (index) => childEnds[index] >= from);
    while (at < stop) {
      const child = children[at];
      const begin = Math.max(left, this.x(table.began[child]));
      if (begin > right) break;
      const end = Math.min(right, Math.max(this.x(endOf(table, child)), begin + 0.5));
      const last = waits.at(-1);
      if (last && begin <= last[1] + 0.5) last[1] = Math.max(last[1], end);
      else waits.push([begin, end]);
      // Children that end within the pixel that is already hatched need not be looked at one by one.
      const reached = this.time(Math.max(end, begin + 1));
      at = Math.max(
        at + 1,
        firstIndex(at, stop, (index) => table.began[children[index]] >= reached || childEnds[index] > reached),
      );
    }
    return waits;
  }

  /** @param {Hue} hue */
  hatch(hue) {
    const known = this.hatches.get(hue);
    if (known) return known;
    const tile = document.createElement("canvas");
    tile.width = tile.height = 6;
    const context = /** @type {CanvasRenderingContext2D} */ (tile.getContext("2d"));
    context.strokeStyle = this.colours[hue];
    context.lineWidth = 1.6;
    context.beginPath();
    for (const shift of [-6, 0, 6]) {
      context.moveTo(shift - 1, 7);
      context.lineTo(shift + 7, -1);
    }
    context.stroke();
    const pattern = this.context.createPattern(tile, "repeat") ?? this.colours[hue];
    this.hatches.set(hue, pattern);
    return pattern;
  }

  /** Draw the frame of the selected span, or the line of a selected event. */
  drawSelection() {
    const { item, event } = this.page.state;
    const { table } = this.page;
    const { context, colours } = this;
    if (item < 0 || table.began[item] < 0) return;
    context.strokeStyle = colours.text;
    context.lineWidth = 2;
    const left = this.x(table.began[item]);
    if (item >= table.spans) {
      context.strokeRect(left, RULER, 0, this.room);
      return;
    }
    const right = Math.max(left + 4, this.x(endOf(table, item)));
    context.strokeRect(left - 1, this.y(this.layout.trackOf[item]) + 1, right - left + 1, TRACK - 2);
    if (event === table.end[item]) context.strokeRect(right, this.y(this.layout.trackOf[item]), 0, TRACK);
  }

  /** Draw curves from the sources of a value, over it, to its uses. */
  drawPath() {
    const { path, hovered } = this.page.state;
    const value = path ?? hovered;
    if (!value) return;
    const middle = this.placeOf(value.event);
    for (const place of value.sources) this.drawCurve(this.placeOf(place.event), middle, path !== null);
    for (const place of value.uses) this.drawCurve(middle, this.placeOf(place.event), path !== null);
  }

  /** @param {number} event @returns {[number, number] | null} */
  placeOf(event) {
    const { table } = this.page;
    const item = table.itemOf[event] ?? -1;
    if (item < 0 || table.began[item] < 0) return null;
    const isEnd = item < table.spans && table.end[item] === event;
    const track = item < table.spans ? this.layout.trackOf[item] : 0;
    return [this.x(isEnd ? endOf(table, item) : table.began[item]), this.y(track) + TRACK / 2];
  }

  /** @param {[number, number] | null} from @param {[number, number] | null} to @param {boolean} isFirm */
  drawCurve(from, to, isFirm) {
    if (!from || !to) return;
    const { context, colours } = this;
    context.strokeStyle = context.fillStyle = colours.focus;
    context.lineWidth = isFirm ? 2 : 1;
    const bend = Math.max(16, Math.abs(to[0] - from[0]) / 2);
    context.beginPath();
    context.moveTo(from[0], from[1]);
    // On one track the curve hangs below the bars, or it would be a line through their names.
    const sag = Math.abs(to[1] - from[1]) < TRACK ? TRACK * 1.5 : 0;
    context.bezierCurveTo(from[0] + bend, from[1] + sag, to[0] - bend, to[1] + sag, to[0], to[1]);
    context.stroke();
    context.beginPath();
    context.moveTo(to[0], to[1]);
    context.lineTo(to[0] - 7, to[1] - 4);
    context.lineTo(to[0] - 7, to[1] + 4);
    context.fill();
  }

  /** Draw the times above the tracks, and a mark where each finding is. */
  drawRuler() {
    const { context, colours, page } = this;
    context.fillStyle = colours.panel;
    context.fillRect(0, 0, this.width, RULER);
    context.font = colours.font;
    context.fillStyle = colours.muted;
    const step = roundStep(((this.to - this.from) / this.width) * 110);
    for (let time = Math.ceil(this.from / step) * step; time <= this.to; time += step) {
      if (time < 0) continue;
      const x = Math.round(this.x(time));
      context.fillRect(x, RULER - 5, 1, 5);
      context.fillText(time === 0 ? "0" : formatDuration(time), x + 3, 12);
    }
    context.fillStyle = colours.line;
    context.fillRect(0, RULER - 1, this.width, 1);
    context.fillStyle = colours.finding;
    for (const item of page.findingsOf.keys()) {
      if (page.table.began[item] < 0) continue;
      const x = this.x(page.table.began[item]);
      context.beginPath();
      context.moveTo(x - 4, RULER - 8);
      context.lineTo(x + 4, RULER - 8);
      context.lineTo(x, RULER - 1);
      context.fill();
    }
  }

  /** Draw the whole run below, with a mark for each failure, and the range that is in view. */
  drawMinimap() {
    const { context, colours } = this;
    const top = this.height - MINIMAP;
    this.overview ??= this.makeOverview();
    context.drawImage(this.overview, 0, top, this.width, MINIMAP);
    context.strokeStyle = colours.text;
    context.lineWidth = 1;
    const left = Math.max(0, (this.from / this.length) * this.width);
    const right = Math.min(this.width, (this.to / this.length) * this.width);
    context.globalAlpha = 0.12;
    context.fillStyle = colours.text;
    context.fillRect(0, top, left, MINIMAP);
    context.fillRect(right, top, this.width - right, MINIMAP);
    context.globalAlpha = 1;
    context.strokeRect(left + 0.5, top + 0.5, Math.max(3, right - left - 1), MINIMAP - 1);
  }

  /** Make the picture of the minimap: how many spans run in each pixel. It is made once for each width. */
  makeOverview() {
    const { colours } = this;
    const { table, state, findingsOf } = this.page;
    const ratio = devicePixelRatio || 1;
    const canvas = document.createElement("canvas");
    canvas.width = Math.max(1, Math.round(this.width * ratio));
    canvas.height = Math.round(MINIMAP * ratio);
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    context.scale(ratio, ratio);
    context.fillStyle = colours.panel;
    context.fillRect(0, 0, this.width, MINIMAP);
    const bins = Math.max(1, Math.floor(this.width));
    // Differences first, then sums, so that a span costs the same however long it is.
    const changes = new Float64Array(bins + 2);
    const scale = bins / this.length;
    for (let row = 0; row < table.spans; row++) {
      if (table.began[row] < 0 || (state.passes && !state.passes[row])) continue;
      const from = Math.max(0, Math.floor(table.began[row] * scale));
      changes[Math.min(bins, from)]++;
      changes[Math.min(bins, Math.floor(endOf(table, row) * scale)) + 1]--;
    }
    let most = 1;
    for (let bin = 0, sum = 0; bin < bins; bin++) most = Math.max(most, (sum += changes[bin]));
    context.fillStyle = colours.other;
    for (let bin = 0, sum = 0; bin < bins; bin++) {
      sum += changes[bin];
      const height = sum ? 3 + (MINIMAP - 9) * (sum / most) : 0;
      context.fillRect(bin, MINIMAP - height, 1, height);
    }
    context.fillStyle = colours.failure;
    for (let item = 0; item < table.items; item++) {
      if (table.failed[item] && table.began[item] >= 0)
        context.fillRect(Math.min(bins - 2, table.began[item] * scale), 0, 2, MINIMAP / 2);
    }
    context.fillStyle = colours.finding;
    for (const item of findingsOf.keys()) {
      const x = table.began[item] * scale;
      if (x < 0) continue;
      context.beginPath();
      context.moveTo(x - 4, 0);
      context.lineTo(x + 4, 0);
      context.lineTo(x, 7);
      context.fill();
    }
    context.fillStyle = colours.line;
    context.fillRect(0, 0, this.width, 1);
    return canvas;
  }

  /**
   * Return the span at a point; -1: none. A thin one is met within three pixels.
   * @param {number} x
   * @param {number} y
   */
  itemAt(x, y) {
    const rows = this.layout.tracks[Math.floor((y - RULER + this.scroll) / TRACK)];
    if (!rows || y < RULER || y > this.height - MINIMAP) return -1;
    const { table } = this.page;
    const reach = this.time(3) - this.time(0);
    const time = this.time(x);
    const after = firstIndex(0, rows.length, (at) => table.began[rows[at]] > time);
    let best = -1;
    let distance = reach;
    for (const at of [after - 1, after]) {
      if (at < 0 || at >= rows.length) continue;
      const away = Math.max(0, table.began[rows[at]] - time, time - endOf(table, rows[at]));
      if (away <= distance) [best, distance] = [rows[at], away];
    }
    return best;
  }

  /** Listen to the pointer, the wheel and the keys. */
  listen() {
    const { canvas } = this;
    /** @type {{x: number, y: number, moved: boolean, onMap: boolean} | null} */
    let drag = null;
    const toMap = (/** @type {number} */ x) => {
      const half = (this.to - this.from) / 2;
      const middle = (x / this.width) * this.length;
      this.show(middle - half, middle + half);
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      canvas.setPointerCapture(event.pointerId);
      drag = { x: event.offsetX, y: event.offsetY, moved: false, onMap: event.offsetY > this.height - MINIMAP };
      if (drag.onMap) toMap(event.offsetX);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!drag) return this.hover(event.offsetX, event.offsetY);
      this.tip.hidden = true;
      if (drag.onMap) return toMap(event.offsetX);
      if (!drag.moved && Math.hypot(event.offsetX - drag.x, event.offsetY - drag.y) < 4) return;
      this.pan(drag.x - event.offsetX);
      this.scrollTo(this.scroll + drag.y - event.offsetY);
      drag = { ...drag, x: event.offsetX, y: event.offsetY, moved: true };
    });
    canvas.addEventListener("pointerup", (event) => {
      const item = drag && !drag.moved && !drag.onMap ? this.itemAt(event.offsetX, event.offsetY) : -1;
      drag = null;
      if (item < 0) return;
      selectItem(this.page, item);
      this.page.change({ tab: "event" });
    });
    canvas.addEventListener("pointerleave", () => (this.tip.hidden = true));
    canvas.addEventListener("dblclick", (event) => {
      const item = this.itemAt(event.offsetX, event.offsetY);
      if (item >= 0) this.showItem(item);
    });
    canvas.addEventListener(
      "wheel",
      (event) => {
        event.preventDefault();
        if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) this.pan(event.deltaX || event.deltaY);
        else if (event.altKey) this.scrollTo(this.scroll + event.deltaY);
        else this.zoom(Math.exp(Math.min(200, Math.max(-200, event.deltaY)) / 400), event.offsetX);
      },
      { passive: false },
    );
    canvas.addEventListener("keydown", (event) => {
      /** @type {{[key: string]: () => void}} */
      const keys = {
        ArrowLeft: () => this.pan(-this.width / 8),
        ArrowRight: () => this.pan(this.width / 8),
        ArrowUp: () => this.scrollTo(this.scroll - TRACK),
        ArrowDown: () => this.scrollTo(this.scroll + TRACK),
        Enter: () => this.showItem(this.page.state.item),
      };
      if (!keys[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      keys[event.key]();
    });
    byId("zoom-in").addEventListener("click", () => this.zoom(0.5));
    byId("zoom-out").addEventListener("click", () => this.zoom(2));
    byId("zoom-all").addEventListener("click", () => this.show(0, this.length));
  }

  /** Zoom to an item. @param {number} item */
  showItem(item) {
    const { table } = this.page;
    if (item < 0 || item >= table.spans || table.began[item] < 0) return;
    const margin = Math.max(5, (endOf(table, item) - table.began[item]) * 0.1);
    this.show(table.began[item] - margin, endOf(table, item) + margin);
  }

  /** @param {number} x @param {number} y */
  hover(x, y) {
    const item = this.itemAt(x, y);
    this.canvas.style.cursor = item >= 0 ? "pointer" : "default";
    this.tip.hidden = item < 0;
    if (item < 0) return;
    const { table } = this.page;
    const self = table.self[item] >= 0 ? `, self ${formatDuration(table.self[item])}` : "";
    const took = table.end[item] ? formatDuration(table.duration[item]) + self : "never ended";
    this.tip.textContent = `#${table.number[item]} ${textOf(table, table.component, item)} ${labelOf(table, item)}\n${took}${table.failed[item] ? "\n✕ failed" : ""}`;
    this.tip.style.left = `${Math.min(x + 12, Math.max(0, this.width - this.tip.offsetWidth - 8))}px`;
    this.tip.style.top = `${Math.max(0, y + 16 + this.tip.offsetHeight > this.height ? y - this.tip.offsetHeight - 8 : y + 16)}px`;
  }
}

/** @typedef {"llm" | "tool" | "agent" | "other"} Hue */
/** @param {Uint8Array} passes @param {Int32Array} rows @param {number} first @param {number} stop */
function anyPasses(passes, rows, first, stop) {
  // A few hundred are enough: a pixel with more that all fail is dim in the next frame of a zoom.
  for (let index = first; index < Math.min(stop, first + 400); index++) if (passes[rows[index]]) return true;
  return false;
}

/** Return a step of 1, 2 or 5 times a power of ten, or of whole minutes and hours. @param {number} least microseconds */
function roundStep(least) {
  const minutes = [0.5, 1, 2, 5, 10, 15, 30, 60, 120, 360, 720, 1440].map((each) => each * 60e6);
  if (least > 20e6 && least <= 1440 * 60e6) return minutes.find((step) => step >= least) ?? least;
  const power = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least) ?? power * 10;
}

/** Start the timeline. @param {Page} page */
function startTimeline(page) {
  labelTimeline(page);
  return new Timeline(page);
}

/** Describe the timeline to those who do not see it. @param {Page} page */
function labelTimeline({ trace, table }) {
  const failures = failuresOf(table).length;
  byId("timeline").setAttribute(
    "aria-label",
    `Timeline of ${countOf(table.spans, "span")} over ${formatDuration(table.length)}, ${failures ? `${failures} failed` : "none failed"}. The tree has the same spans. ${trace.title}`,
  );
}
