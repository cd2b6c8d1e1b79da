// The transcript: what was read, written, called and returned, in time order, as `show` prints it.

const LINE = 18;
const MOST_LINES = 3;
/** The pixels beside the text of a line: its marks and the gaps, and of its number and its time the least. */
const BESIDE = 68;
const LEAST = 34;
const GAP = 6;
/** How much smaller number and time are. */
const SMALL = 12 / 13;
/** Where browsers end a line of text besides at a blank: not before the digits of a negative number. */
const BREAK = /[-?](?![0-9])|(?<=[0-9A-Za-z])-/y;

/** Words of lines that are failures. */
const FAILURE_WORDS = new Set(["fails", "failed", "error"]);

/**
 * Draw the transcript, and keep it drawn.
 * @param {Page} page
 */
function startTranscript(page) {
  const { table, state } = page;
  const { lines } = table;
  const scroller = byId("transcript");
  /** @type {Int32Array} the lines that are shown */
  let shown = new Int32Array(0);
  const rows = new Rows(scroller, LINE + 6, {
    draw: (index) => drawLine(page, shown[index]),
    choose: (index) => selectEvent(page, lines.number[shown[index]]) || selectItem(page, lines.row[shown[index]]),
    key: (_, key) => {
      if (key === "Enter") page.change({ tab: "event" });
      return key === "Enter";
    },
  });
  const empty = make("p.empty", { hidden: true });
  scroller.append(empty);

  const fill = (isGrowth = false) => {
    const kept = [];
    for (let line = 0; line < lines.count; line++) {
      const item = lines.row[line] >= 0 ? lines.row[line] : (table.itemOf[lines.number[line]] ?? -1);
      if (!state.passes || item < 0 || state.passes[item]) kept.push(line);
    }
    shown = Int32Array.from(kept);
    measure(isGrowth);
    empty.hidden = shown.length > 0;
    empty.textContent = lines.count
      ? "No line passes the filter."
      : emptyText(page.trace, "No model, tool or agent was called. In a terminal: namel3ss debug inspect --tree");
  };
  /** @type {Font[]} */
  let fonts = [];
  const measure = (isGrowth = false) => {
    if (!isGrowth || !fonts.length) {
      lines.heights.length = 0;
      const { fontSize, fontFamily } = getComputedStyle(scroller);
      fonts = ["", "600 "].map((weight) => new Font(`${weight}${fontSize} ${fontFamily}`));
    }
    const [usual, bold] = fonts;
    const hasTimes = document.body.dataset.layout !== "narrow";
    const tops = new Float64Array(shown.length + 1);
    for (let index = 0; index < shown.length; index++) {
      const line = shown[index];
      lines.heights[line] ??= heightOf(table, line, scroller.clientWidth, hasTimes, usual, bold);
      tops[index + 1] = tops[index] + lines.heights[line];
    }
    rows.set(shown.length, lineOf(page, shown), tops, isGrowth);
  };
  let width = 0;
  new ResizeObserver(() => {
    if (scroller.clientWidth === width) return;
    width = scroller.clientWidth;
    measure();
    rows.reveal(rows.selected);
  }).observe(scroller);
  page.watch((changed) => {
    if (changed.has("passes")) fill(changed.has("grown"));
    if (changed.has("item") || changed.has("event")) rows.select(lineOf(page, shown));
    if (changed.has("hovered") || changed.has("path")) outlinePlaces(page, scroller);
  });
}

/** Knows how wide the characters of a font are, since a list of rows must know how high they are before they are drawn. */
class Font {
  /** @param {string} font */
  constructor(font) {
    this.context = /** @type {CanvasRenderingContext2D} */ (document.createElement("canvas").getContext("2d"));
    this.context.font = font;
    this.widths = new Float32Array(65536);
  }

  /** @param {number} code */
  width(code) {
    return (this.widths[code] ||= this.context.measureText(String.fromCharCode(code)).width);
  }

  /** @param {string} text */
  widthOf(text) {
    let width = 0;
    for (let index = 0; index < text.length; index++) width += this.width(text.charCodeAt(index));
    return width;
  }
}

/** Counts the lines of a text that wraps by words, and within those that are longer than a line. */
class Wrapping {
  /** @param {number} room the width of a line */
  constructor(room) {
    this.room = room;
    this.lines = 1;
    this.used = 0;
    this.word = 0;
  }

  /** @param {string} text @param {Font} font */
  add(text, font) {
    for (let index = 0; index < text.length && this.lines <= MOST_LINES; index++) {
      const width = font.width(text.charCodeAt(index));
      if (text[index] === " ") {
        this.end();
        this.used += width;
      } else {
        this.word += width;
        BREAK.lastIndex = index;
        if (BREAK.test(text)) this.end();
      }
    }
  }

  /** End a word. */
  end() {
    if (this.used && this.used + this.word > this.room) {
      this.lines++;
      this.used = 0;
    }
    for (; this.word > this.room; this.word -= this.room) this.lines++;
    this.used += this.word;
    this.word = 0;
  }
}

/** @param {Table} table @param {number} line @param {number} width @param {boolean} hasTimes @param {Font} usual @param {Font} bold */
function heightOf(table, line, width, hasTimes, usual, bold) {
  const { lines } = table;
  const number = Math.max(LEAST, usual.widthOf(`#${lines.number[line]}`) * SMALL);
  const at = Math.max(LEAST, usual.widthOf((lines.at[line] / 1e6).toFixed(2)) * SMALL) + GAP;
  const indent = Math.min(lines.depth[line], 6) * 12;
  const wrapping = new Wrapping(width - BESIDE - number - (hasTimes ? at : 0) - indent);
  const text = textOf(table, lines.text, line).slice(0, 800);
  wrapping.add((textOf(table, lines.name, line) || textOf(table, lines.component, line)).slice(0, 60), bold);
  if (!text.startsWith("(")) wrapping.add(" ", usual);
  wrapping.add(text.replaceAll("  ", " "), usual);
  wrapping.end();
  return LINE * Math.min(MOST_LINES, wrapping.lines) + 6;
}

/**
 * Return the row of the line that the selection is about: its event, else its item, else the last one before it.
 * @param {Page} page
 * @param {Int32Array} shown
 */
function lineOf({ table, state }, shown) {
  const { lines } = table;
  let best = -1;
  let before = -1;
  for (let index = 0; index < shown.length; index++) {
    const line = shown[index];
    if (lines.number[line] === state.event || (lines.end[line] && lines.end[line] === state.event)) return index;
    if (state.item >= 0 && lines.row[line] === state.item) best = index;
    if (lines.number[line] < state.event) before = index;
  }
  return best >= 0 ? best : before;
}

/**
 * Return the pieces of a line's text, which two spaces separate; the words for what happened are dim.
 * @param {string} text
 */
function showWhat(text) {
  const pieces = text.slice(0, 800).split("  ").filter(Boolean);
  return pieces.flatMap((piece, index) => {
    const shown = oneLine(piece, 600);
    const isWord =
      /^(reads|writes|calls|and calls|returns|fails|begins|ends|is called|logs|handled|message|to .{1,40}|after \d+ .*)$/.test(
        piece,
      );
    return [index || !piece.startsWith("(") ? " " : "", isWord ? make("span.what", {}, shown) : shown];
  });
}

/**
 * @param {Page} page
 * @param {number} line
 */
function drawLine(page, line) {
  const { table } = page;
  const { lines } = table;
  const component = textOf(table, lines.component, line);
  const what = textOf(table, lines.what, line);
  const item = lines.row[line] >= 0 ? lines.row[line] : (table.itemOf[lines.number[line]] ?? -1);
  const isFailure = FAILURE_WORDS.has(what) || (item >= 0 && table.failed[item] === 1 && lines.end[line] > 0);
  const row = make("div.row.line", { role: "option", "data-item": item, "data-event": lines.number[line] });
  if (isFailure) row.classList.add("failed");
  const words = make(
    "span.words",
    {},
    make("span.who", { "data-hue": hueOf(component) }, oneLine(textOf(table, lines.name, line) || component, 60)),
    ...showWhat(textOf(table, lines.text, line)),
  );
  words.style.paddingLeft = `${Math.min(lines.depth[line], 6) * 12}px`;
  row.append(
    make("span.number", {}, `#${lines.number[line]}`),
    make("span.at", {}, lines.at[line] < 0 ? "" : (lines.at[line] / 1e6).toFixed(2)),
    make(
      "span.beside",
      lines.beside[line] ? { title: "at the same time as another call" } : {},
      lines.beside[line] ? "║" : "",
    ),
    item >= 0 && (table.failed[item] || what !== "reads") ? markOf(page, item) : make("span.marks"),
    words,
  );
  outlinePlace(page, row);
  return row;
}
