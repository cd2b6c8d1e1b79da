// Two runs beside each other: their transcripts line by line, and both events of the selected line with what differs.

/**
 * @typedef {{row: number, kind: string, lasting: boolean, carried: boolean, component: string, name: string, a: number, b: number, text: string}} Difference
 *
 * @typedef {object} Comparison
 * @property {string[]} sides what the two runs are called
 * @property {boolean} same
 * @property {string} heading
 * @property {{[kind: string]: string}} kinds what each kind of difference means
 * @property {Difference[]} differences
 * @property {number} first the row of the first lasting difference; -1: none
 * @property {string[]} notes
 * @property {string[][]} amounts name, both values and their difference
 *
 * @typedef {object} Run one of the two
 * @property {string} side
 * @property {TraceFacts} trace
 * @property {Table} table
 * @property {Blocks} blocks
 * @property {Int32Array} lineOf the line of the transcript that shows each event; -1: none
 *
 * @typedef {{from: number, stop: number}} Stretch rows that are the same, folded; or one row
 */

/** So many equal rows around a difference stay in view, and no fewer than three fold. */
const NEAR = 3;
/** The kinds that show what only one run did, with their signs. @type {{[kind: string]: string}} */
const KIND_SIGNS = { added: "+", missing: "−", order: "↕" };

/** A page that compares two runs. */
class ComparedRuns {
  /**
   * @param {Facts & {compare: Comparison}} facts
   * @param {Run[]} runs
   * @param {{a: number[], b: number[], alone: string[]}} lines
   */
  constructor(facts, runs, lines) {
    this.facts = facts;
    this.comparison = facts.compare;
    this.runs = runs;
    this.events = [lines.a, lines.b];
    this.alone = lines.alone;
    this.row = -1;
    this.tab = "lines";
    /** @type {Map<number, Difference[]>} */
    this.differencesOf = new Map();
    for (const each of this.comparison.differences)
      this.differencesOf.set(each.row, [...(this.differencesOf.get(each.row) ?? []), each]);
    /** The rows with a difference that is new there, in order; what a model read again shows nothing new. */
    this.different = [...this.differencesOf.keys()].filter((row) => this.isNew(row)).sort((a, b) => a - b);
    this.font = /** @type {CanvasRenderingContext2D} */ (make("canvas").getContext("2d"));
    /** @type {Set<number>} the first rows of stretches that were opened */
    this.opened = new Set();
    /** @type {Stretch[]} */
    this.shown = [];
    this.rows = new Rows(byId("transcript"), 24, {
      draw: (index) => this.drawStretch(this.shown[index]),
      choose: (index) => this.choose(this.shown[index]),
      key: (index, key) => {
        const fold = this.shown[index];
        if (key !== "Enter" || !fold || fold.stop === fold.from + 1) return key === "Enter" && this.show("event");
        return this.open(fold);
      },
    });
    new ResizeObserver(() => this.fill()).observe(byId("transcript"));
  }

  /** @param {number} row @param {number} side @returns {number} the event of a run that stands there; 0: none */
  eventAt(row, side) {
    return this.alone[row] === "ba"[side] ? 0 : this.events[side][row];
  }

  /** @param {number} row */
  isNew(row) {
    return (this.differencesOf.get(row) ?? []).some((each) => !each.carried);
  }

  /** Return what a run did at a row, in a line. @param {number} row @param {number} side */
  textAt(row, side) {
    const event = this.events[side][row];
    const { table, lineOf } = this.runs[side];
    const line = lineOf[event] ?? -1;
    if (line < 0) {
      const item = table.itemOf[event] ?? -1;
      return item < 0 ? "" : `${textOf(table, table.component, item)} ${labelOf(table, item)}`;
    }
    const name = textOf(table, table.lines.name, line) || textOf(table, table.lines.component, line);
    const text = textOf(table, table.lines.text, line);
    return name + (text.startsWith("(") ? "" : " ") + text.replaceAll("  ", " ");
  }

  /** Find what is shown: rows near a difference, and folds of all others. */
  fill() {
    const count = this.alone.length;
    const isNear = new Uint8Array(count);
    for (const row of this.different.length ? this.different : [0])
      isNear.fill(1, Math.max(0, row - NEAR), row + NEAR + 1);
    this.shown = [];
    for (let row = 0; row < count; ) {
      let stop = row + 1;
      while (!isNear[row] && stop < count && !isNear[stop]) stop++;
      if (stop - row < 3 || this.opened.has(row))
        for (let each = row; each < stop; each++) this.shown.push({ from: each, stop: each + 1 });
      else this.shown.push({ from: row, stop });
      row = stop;
    }
    const style = getComputedStyle(byId("transcript"));
    this.font.font = `${style.fontSize} ${style.fontFamily}`;
    const tops = new Float64Array(this.shown.length + 1);
    this.shown.forEach((each, index) => (tops[index + 1] = tops[index] + this.heightOf(each)));
    this.rows.set(this.shown.length, this.indexOf(this.row), tops);
  }

  /** Return how high a stretch is: a row that differs has up to three lines of text. @param {Stretch} stretch */
  heightOf({ from, stop }) {
    if (stop > from + 1 || !this.isNew(from)) return 24;
    const width = byId("transcript").clientWidth;
    const isNarrow = layoutFor(innerWidth) === "narrow";
    const room = Math.max(60, isNarrow ? width - 84 : width / 2 - 72);
    const lines = [0, 1].map((side) => {
      const wide = this.eventAt(from, side) ? this.font.measureText(oneLine(this.textAt(from, side), 600)).width : 0;
      // Words that wrap leave room at the ends of lines.
      return Math.min(3, Math.ceil((wide <= room ? wide : wide * 1.1) / room));
    });
    return 6 + 18 * (isNarrow ? lines[0] + lines[1] : Math.max(...lines, 1));
  }

  /** @param {number} row */
  indexOf(row) {
    return this.shown.findIndex((each) => each.from <= row && row < each.stop);
  }

  /** @param {Stretch} fold */
  open(fold) {
    this.opened.add(fold.from);
    this.fill();
    return true;
  }

  /** @param {Stretch} stretch */
  choose(stretch) {
    if (stretch.stop > stretch.from + 1) this.open(stretch);
    this.select(stretch.from);
  }

  /** Select a row, and write its event into the address. @param {number} row */
  select(row) {
    if (row < 0 || row >= this.alone.length) return announce("There is none in this direction");
    const fold = this.shown[this.indexOf(row)];
    if (fold && fold.stop > fold.from + 1) this.open(fold);
    this.row = row;
    this.rows.select(this.indexOf(row));
    for (const button of byId("tree").querySelectorAll("button[data-at]"))
      button.setAttribute("aria-current", String(button.getAttribute("data-at") === String(row)));
    byId("tree").querySelector("[aria-current=true]")?.scrollIntoView({ block: "nearest" });
    const side = this.eventAt(row, 1) ? 1 : 0;
    history.replaceState(null, "", `#${"ab"[side]}${this.events[side][row]}`);
    void this.drawEvents(row);
  }

  /** Select the event that the address names. */
  selectHash() {
    const [, side, number] = /^#([ab])(\d+)$/.exec(location.hash) ?? [];
    const row = number
      ? this.alone.findIndex((_, each) => this.eventAt(each, side === "a" ? 0 : 1) === Number(number))
      : -1;
    if (row >= 0) this.select(row);
    return row >= 0;
  }

  /** Go to the next row with a difference, or the one before. @param {1 | -1} step */
  toDifference(step) {
    const rows = step > 0 ? this.different : [...this.different].reverse();
    this.select(rows.find((row) => (row - this.row) * step > 0) ?? -1);
  }

  /** @param {string} tab */
  show(tab) {
    this.tab = document.body.dataset.tab = tab;
    for (const button of byId("tabs").children)
      button.setAttribute("aria-selected", String(button.getAttribute("data-tab") === tab));
    return true;
  }

  /** @param {Stretch} stretch */
  drawStretch({ from: row, stop }) {
    if (stop > row + 1)
      return make(
        "div.row.pair.before",
        { role: "option" },
        make("span.sign", {}, "▸"),
        `${countOf(stop - row, "line")} the same`,
      );
    const differences = this.differencesOf.get(row) ?? [];
    const kind = (differences.find((each) => !each.carried) ?? differences[0])?.kind ?? "";
    const box = make(
      "div.row.pair",
      { role: "option", "data-differs": this.isNew(row) ? kind : null },
      make(
        "span.sign",
        { title: differences.map((each) => each.kind).join(", ") || null },
        !differences.length ? (this.alone[row] ? "↕" : "") : this.isNew(row) ? (KIND_SIGNS[kind] ?? "≠") : "·",
      ),
    );
    const texts = [0, 1].map((side) => (this.eventAt(row, side) ? this.textAt(row, side).slice(0, 600) : ""));
    const pieces = texts[0] && texts[1] && this.isNew(row) ? diffWords(texts[0], texts[1]) : null;
    this.runs.forEach((run, side) => {
      const event = this.eventAt(row, side);
      const cell = make("span.cell", { "data-side": run.side });
      if (event) {
        const item = run.table.itemOf[event] ?? -1;
        if (item >= 0 && run.table.failed[item] && run.table.end[item] >= event) cell.classList.add("failed");
        const shown = pieces ? showSide(pieces, side) : [oneLine(texts[side], 600)];
        cell.append(make("span.number", {}, `#${event}`), make("span.words", {}, ...shown));
        // What differs is not in the line, such as what a model had read before.
        if (pieces && side && texts[0] === texts[1]) cell.append(make("span.aside", {}, `${kind} differs`));
      } else if (this.events[side][row])
        cell.append(make("span.quiet", {}, `at another place: #${this.events[side][row]}`));
      box.append(cell);
    });
    return box;
  }

  /** Draw both events of a row: what differs first, then their fields beside each other. @param {number} row */
  async drawEvents(row) {
    const pane = byId("pane-event");
    const loaded = await Promise.all(this.runs.map((run, side) => readEvent(run, this.events[side][row])));
    if (this.row !== row) return;
    const differences = this.differencesOf.get(row) ?? [];
    pane.replaceChildren(
      ...differences.map((each) =>
        make(
          "section.finding-box",
          {},
          make("p", {}, make("strong", {}, `≠ ${each.kind}`), `: ${this.comparison.kinds[each.kind]}`),
          each.text ? make("p", {}, printable(each.text, 400)) : null,
        ),
      ),
      make("div.sides", {}, ...this.runs.map((run, side) => showEventHead(run, this.events[side][row]))),
      this.facts.content ? showFieldsBeside(loaded) : make("p.empty", {}, "This page was written without payloads."),
    );
    pane.scrollTop = 0;
  }

  /** @returns {Command[]} */
  commands() {
    const { runs, comparison } = this;
    const words = `namel3ss debug diff ${runs.map((run) => run.trace.reference || "latest").join(" ")}`;
    /** @param {string} key @param {string} label @param {() => void} run */
    const command = (key, label, run) => ({ key, label, run });
    /** @type {Command[]} */
    const commands = [
      command("n", "Next difference", () => this.toDifference(1)),
      command("N", "Previous difference", () => this.toDifference(-1)),
      command("f", "First lasting difference", () => this.select(comparison.first)),
      command("s", "Next line", () => this.select(this.row + 1)),
      command("S", "Previous line", () => this.select(this.row - 1)),
      command("a", "Show all lines that are the same", () => {
        for (const each of this.shown) if (each.stop > each.from + 1) this.opened.add(each.from);
        this.fill();
      }),
      command("y", "Copy the command that compares them in a terminal", () => void copyText(words, null)),
      ...["lines", "event", "differences"].map((tab, index) =>
        command(String(index + 1), `Show: ${tab}`, () => void this.show(tab)),
      ),
      command("Ctrl K", "Commands", () => openCommands(commands, (text) => this.findDifferences(text))),
      command("?", "Help", () => openHelp(commands, [])),
    ];
    return commands;
  }

  /** @param {string} text @returns {Command[]} */
  findDifferences(text) {
    return this.comparison.differences
      .filter((each) => text && `${each.kind} ${each.name} ${each.text}`.toLowerCase().includes(text))
      .slice(0, 12)
      .map((each) => ({
        key: "",
        label: oneLine(`Go to ${each.kind}: ${each.name} ${each.text}`, 120),
        run: () => this.select(each.row),
      }));
  }
}

/** Return the pieces of one side of a difference of words. @param {["same" | "removed" | "added", string][]} pieces @param {number} side */
function showSide(pieces, side) {
  const own = side ? "added" : "removed";
  return pieces
    .filter(([how]) => how === "same" || how === own)
    .map(([how, text]) => {
      const shown = printable(text, 20_000);
      return how === "same" ? shown : make(side ? "ins" : "del", {}, shown);
    });
}

/** @typedef {{label: string, text: string}} Field a part of an event as text */

/** Read the parts of an event and of the end of its span. @param {Run} run @param {number} event @returns {Promise<Field[]>} */
async function readEvent({ table, blocks }, event) {
  const item = table.itemOf[event] ?? -1;
  if (!event || item < 0) return [];
  const start = (await blocks.event(table.number[item])) ?? {};
  const end = (table.end[item] ? await blocks.event(table.end[item]) : null) ?? {};
  const { messages, arguments: values, call_id: _id, ...inputs } = start.inputs ?? {};
  const { text, tool_calls: calls, result, ...outputs } = { ...start.outputs, ...end.outputs };
  /** @type {[string, unknown][]} */
  const fields = [["error", end.error ?? start.error]];
  for (const message of Array.isArray(messages) ? messages : []) {
    const parts = Array.isArray(message?.parts) ? message.parts.map(textOfPart) : [message?.content ?? message];
    fields.push([oneLine(message?.role ?? "message", 20), parts.map(textOfValue).join("\n")]);
  }
  fields.push(["arguments", values], ["result", result], ["answer", text]);
  for (const call of Array.isArray(calls) ? calls : [])
    fields.push(["calls", textOfPart({ ...call, type: "tool_call" })]);
  fields.push(["inputs", inputs], ["outputs", outputs]);
  if (item >= table.spans) fields.push(["content", start.metadata]);
  return fields
    .map(([label, value]) => ({ label, text: textOfValue(value) }))
    .filter((each) => each.text && each.text !== "{}");
}

/** Return a part of a message as text; without ids, which differ between any two runs. @param {any} part */
function textOfPart(part) {
  if (part?.type === "tool_call") return `${part.name}(${textOfValue(part.arguments)})`;
  if (part?.type === "tool_call_response") return textOfValue(part.response ?? part.result);
  return part?.content ?? part;
}

/** @param {unknown} value @returns {string} */
function textOfValue(value) {
  return typeof value === "string"
    ? value
    : value === undefined || value === null
      ? ""
      : JSON.stringify(value, null, 1);
}

/** Show an event's name, status, duration, tokens and cost. @param {Run} run @param {number} event */
function showEventHead({ side, trace, table }, event) {
  const item = event ? (table.itemOf[event] ?? -1) : -1;
  const box = make("header.event-head", {}, make("span.side", {}, side));
  if (item < 0) {
    box.append(make("p.quiet", {}, "did nothing here"));
    return box;
  }
  const component = textOf(table, table.component, item);
  const status = statusOf(table, item);
  const tokens = Math.max(0, table.input[item]) + Math.max(0, table.output[item]);
  const command = `namel3ss debug inspect --event ${event} ${trace.reference}`.trim();
  box.append(
    make(
      "h2",
      {},
      make("span.number", {}, `#${table.number[item]}`),
      " ",
      make("span.kind", { "data-hue": hueOf(component) }, oneLine(component, 30)),
      ` ${oneLine(textOf(table, table.name, item), 80)}`,
    ),
    make(
      "p",
      {},
      make("span", { class: status === "failed" ? "failure" : null }, status === "failed" ? "✕ failed" : status),
      ...[
        formatDuration(table.duration[item]),
        tokens ? countOf(tokens, "token") : "",
        table.cost[item] >= 0 ? formatMoney(table.cost[item]) : "",
      ].map((text) => text && `, ${text}`),
      " ",
      make(
        "button.quiet",
        { title: command, onclick: (each) => void copyText(command, each.currentTarget) },
        "Copy command",
      ),
    ),
  );
  return box;
}

/** Show the fields of two events beside each other: equal ones once, folded, of others the words that differ. @param {Field[][]} loaded */
function showFieldsBeside([ours, theirs]) {
  const box = make("div.beside");
  for (const [one, other] of pairFields(ours, theirs)) {
    const label = (one ?? other)?.label ?? "";
    if (one && other && one.text === other.text) {
      const fold = make("details.fold", {}, make("summary", {}, `${label}: the same, ${oneLine(one.text, 100)}`));
      fold.addEventListener("toggle", () => fold.childElementCount > 1 || fold.append(showText(one.text)));
      box.append(fold);
      continue;
    }
    const pieces = one && other ? shorten(diffWords(one.text, other.text)) : null;
    box.append(
      make("h3", {}, `${label}${one && other ? "" : one ? ": only the first" : ": only the second"}`),
      make(
        "div.sides",
        {},
        ...[one, other].map((field, side) =>
          pieces ? make("pre.text", {}, ...showSide(pieces, side)) : field ? showText(field.text) : make("span"),
        ),
      ),
    );
  }
  if (!box.childElementCount) box.append(make("p.empty", {}, "Neither has a payload."));
  return box;
}

/** Cut long equal stretches, for the change is what is looked for. @param {["same" | "removed" | "added", string][]} pieces */
function shorten(pieces) {
  return pieces.map(([how, text]) => {
    const isCut = how === "same" && text.length > 600;
    return /** @type {typeof pieces[0]} */ ([how, isCut ? `${text.slice(0, 200)} … ${text.slice(-200)}` : text]);
  });
}

/**
 * Pair fields: equal ones at both ends, then those with the same label in order.
 * @param {Field[]} ours
 * @param {Field[]} theirs
 * @returns {[Field?, Field?][]}
 */
function pairFields(ours, theirs) {
  /** @type {[Field?, Field?][]} */
  const pairs = [];
  const left = [...theirs];
  for (const one of ours) {
    const equal = left.findIndex((each) => each.label === one.label && each.text === one.text);
    const at = equal >= 0 ? equal : left.findIndex((each) => each.label === one.label);
    pairs.push(...left.splice(0, at).map((each) => /** @type {[Field?, Field?]} */ ([undefined, each])));
    pairs.push([one, left.length && at >= 0 ? left.shift() : undefined]);
  }
  return [...pairs, ...left.map((each) => /** @type {[Field?, Field?]} */ ([undefined, each]))];
}

/** Show how a run ended and what it took. @param {Run} run */
function showRunHead({ side, trace }) {
  const command = `namel3ss debug view ${trace.reference}`.trim();
  return make(
    "header",
    {},
    make("span.side", {}, side),
    make(
      "strong",
      { class: trace.is_failure ? "failure" : null },
      `${trace.is_failure ? "✕" : "✓"} ${oneLine(trace.outcome_text || trace.outcome, 80)}`,
    ),
    make(
      "span.quiet",
      {},
      [oneLine(trace.title, 80), trace.wall_ms === null ? "" : formatDuration(trace.wall_ms * 1000)]
        .filter(Boolean)
        .join(", "),
    ),
    make(
      "button.quiet",
      { title: command, onclick: (event) => void copyText(command, event.currentTarget) },
      "Copy command",
    ),
  );
}

/** Name the events of a difference: `#6` in both runs, or `a38 b39`. @param {Difference} difference */
function eventsOf({ a, b }) {
  return a === b ? `#${a}` : [a ? `a${a}` : "", b ? `b${b}` : ""].filter(Boolean).join(" ");
}

/** Draw the list of differences, and what the runs took. @param {ComparedRuns} page */
function drawDifferences(page) {
  const { differences, amounts, notes, sides } = page.comparison;
  const list = make("ul.plain");
  const carried = differences.filter((each) => each.carried).length;
  for (const each of differences.filter((one) => !one.carried))
    list.append(
      make(
        "li",
        {},
        make(
          "button.entry",
          { "data-at": each.row, onclick: () => (page.select(each.row), page.show("event")) },
          make("span.number", {}, eventsOf(each)),
          make(
            "span",
            {},
            make("strong", {}, each.lasting ? each.kind : `(${each.kind})`),
            ` ${oneLine(each.name, 40)} `,
            make("span.quiet", {}, oneLine(each.text, 90)),
          ),
        ),
      ),
    );
  byId("tree").replaceWith(
    make(
      "div.pane.scroll",
      { id: "tree", tabindex: 0, role: "group", "aria-label": "Differences" },
      make("h2", {}, countOf(differences.length - carried, "difference")),
      differences.some((each) => !each.lasting)
        ? make("p.note", {}, "The runs agree again after those in brackets.")
        : null,
      list,
      carried
        ? make(
            "p.note",
            {},
            `A model read what differs ${carried === 1 ? "once" : `${carried} times`} more: the lines with a dot.`,
          )
        : null,
      ...notes.map((note) => make("p.note", {}, oneLine(note, 200))),
      make("h3", {}, "What they took"),
      make(
        "table",
        {},
        make(
          "thead",
          {},
          make("tr", {}, ...["", ...sides, "change"].map((head) => make("th.amount", { scope: "col" }, head))),
        ),
        make(
          "tbody",
          {},
          ...amounts.map(([name, ...values]) =>
            make("tr", {}, make("th", { scope: "row" }, name), ...values.map((value) => make("td.amount", {}, value))),
          ),
        ),
      ),
    ),
  );
}

/** Draw the head of the page. @param {ComparedRuns} page */
function drawComparedHead(page) {
  const { heading, same, first } = page.comparison;
  const [outcome, kinds] = heading.split(": ");
  byId("outcome").textContent = `${same ? "=" : "≠"} ${outcome}`;
  byId("costs").textContent = kinds ?? "";
  const found = page.comparison.differences.find((each) => each.row === first);
  if (!found) return;
  const button = byId("first-finding");
  button.hidden = false;
  button.replaceChildren(
    make("span.sign", { "aria-hidden": "true" }, "≠"),
    make(
      "span.sentence",
      {},
      oneLine(`first: ${found.kind} of ${found.name}, ${found.text || page.comparison.kinds[found.kind]}`, 200),
    ),
    make("kbd", {}, "f"),
  );
  button.addEventListener("click", () => (page.select(first), page.show("event")));
}

/** Start a page that compares two runs. */
async function startCompare() {
  const facts = /** @type {Facts & {compare: Comparison}} */ (readFacts());
  document.body.dataset.kind = "compare";
  const tables = await Promise.all(facts.traces.map((_, index) => readTable(index)));
  const runs = tables.map((table, index) => {
    const lineOf = new Int32Array(table.itemOf.length).fill(-1);
    table.lines.number.forEach((number, line) => (lineOf[number] = line));
    const trace = facts.traces[index];
    const blocks = new Blocks(trace.blocks, (block) => readElement(`block-${index}-${block}`));
    return { side: facts.compare.sides[index], trace, table, blocks, lineOf };
  });
  for (const id of ["pane-timeline", "pane-findings", "pane-summary", "split-details"]) byId(id).remove();
  byId("pane-tree").querySelector(".filters")?.remove();
  byId("pane-tree").setAttribute("aria-label", "Differences");
  const lines = byId("pane-transcript");
  lines.setAttribute("aria-label", "Lines of both runs");
  lines.prepend(make("div.sides", {}, ...runs.map(showRunHead)));
  const page = new ComparedRuns(facts, runs, JSON.parse(await readElement("lines")));
  byId("tabs").replaceChildren(
    ...[
      ["lines", "Lines", "transcript"],
      ["event", "Event", "event"],
      ["differences", "Differences", "tree"],
    ].map(([tab, label, pane]) =>
      make(
        "button.tab",
        { role: "tab", "data-tab": tab, "aria-controls": `pane-${pane}`, onclick: () => page.show(tab) },
        label,
      ),
    ),
  );
  const fit = () => (document.body.dataset.layout = layoutFor(innerWidth));
  addEventListener("resize", fit);
  fit();
  drawComparedHead(page);
  drawDifferences(page);
  startBorder(
    "tree",
    "--tree-width",
    280,
    160,
    (event) => event.clientX,
    () => innerWidth * 0.6,
  );
  startBorder(
    "timeline",
    "--timeline-height",
    Math.round((innerHeight - 40) * 0.45),
    90,
    (event) => event.clientY - byId("panes").getBoundingClientRect().top,
    () => (innerHeight - 40) * 0.8,
  );
  listenToKeys(page.commands(), () => {});
  addEventListener("hashchange", () => page.selectHash());
  page.show("lines");
  page.fill();
  if (!page.selectHash()) page.select(Math.max(0, page.comparison.first));
  byId("transcript").focus({ preventScroll: true });
  document.body.dataset.ready = String(Math.round(performance.now()));
}

startCompare().catch(showFailure);
