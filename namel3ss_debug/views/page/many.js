// Many runs: the trends of their figures, a row for each, what fails again and again, and who calls whom.

/**
 * @typedef {object} RunRow
 * @property {string} name
 * @property {string} reference
 * @property {string} page its page beside this one; empty: there is none
 * @property {string | null} started_at
 * @property {string} title
 * @property {boolean} is_failure
 * @property {string} outcome_text
 * @property {number | null} ms
 * @property {string} took
 * @property {number | null} cost
 * @property {string} cost_text
 * @property {number} tokens
 * @property {number} errors
 * @property {string} finding
 * @property {string} mark
 * @property {string[]} failures the fingerprints of its failures
 *
 * @typedef {object} Trend
 * @property {string} label
 * @property {string} direction
 * @property {boolean} is_worse
 * @property {string} change
 * @property {boolean} a_day whether the change is that of a day
 * @property {number | null} confidence
 * @property {string} first
 * @property {string} median
 * @property {string} last
 * @property {[number, number, number, string][]} points index of the run, when it began, the value and its text
 *
 * @typedef {{fingerprint: string, count: number, traces: number, what: string, error: string, trace: string, number: number}} Recurring
 *
 * @typedef {object} ManyRuns
 * @property {RunRow[]} runs the oldest first
 * @property {string} cost_text
 * @property {number | null} tokens
 * @property {string[]} notes
 * @property {{target: string, rows: Trend[]}[]} trends of each program, that with most runs first
 * @property {Recurring[]} recurring
 * @property {Calls[]} calls
 * @property {HandOff[]} hand_offs
 */

/** The columns of the list: head, the value that orders it, and whether it is an amount. @type {[string, (run: RunRow) => string | number, boolean][]} */
const RUN_COLUMNS = [
  ["trace", (run) => run.name, false],
  ["began (UTC)", (run) => run.started_at ?? "", false],
  ["program", (run) => run.title, false],
  ["took", (run) => run.ms ?? -1, true],
  ["cost", (run) => run.cost ?? -1, true],
  ["tokens", (run) => run.tokens, true],
  ["errors", (run) => run.errors, true],
  ["outcome and first finding", (run) => run.outcome_text, false],
];
/** More rows are shown on demand. */
const MOST_RUNS = 500;

/** A page of many runs. */
class RunList {
  /** @param {ManyRuns} many */
  constructor(many) {
    this.many = many;
    this.selected = -1;
    this.column = 1;
    this.isDown = true;
    this.most = MOST_RUNS;
    this.failure = "";
    /** @type {number[]} the indexes of the runs that are shown */
    this.shown = [];
    this.search = make("input", {
      type: "search",
      id: "search",
      "aria-label": "Filter runs",
      placeholder: "Filter: name, program, outcome, finding",
      oninput: () => this.fill(),
    });
    this.failures = make(
      "button.chip",
      {
        "aria-pressed": "false",
        onclick: () => {
          this.failures.setAttribute("aria-pressed", String(this.failures.getAttribute("aria-pressed") === "false"));
          this.fill();
        },
      },
      "✕ failed only ",
      make("kbd", {}, "x"),
    );
    this.note = make("p.note", { role: "status" });
    this.finding = make("p.note");
    this.table = make("div.runs");
  }

  /** Show the runs that pass the filter, in their order. */
  fill() {
    const words = this.search.value.toLowerCase().split(/\s+/).filter(Boolean);
    const failedOnly = this.failures.getAttribute("aria-pressed") === "true";
    const { runs } = this.many;
    const value = RUN_COLUMNS[this.column][1];
    this.shown = [...runs.keys()]
      .filter((index) => {
        const run = runs[index];
        const text = `${run.name} ${run.title} ${run.outcome_text} ${run.finding} ${run.mark}`.toLowerCase();
        return (
          (!failedOnly || run.is_failure) &&
          (!this.failure || run.failures.includes(this.failure)) &&
          words.every((word) => text.includes(word))
        );
      })
      .sort((a, b) => {
        const [one, other] = [value(runs[a]), value(runs[b])];
        return (one < other ? -1 : one > other ? 1 : a - b) * (this.isDown ? -1 : 1);
      });
    const rest = this.shown.length - this.most;
    this.table.replaceChildren(
      this.drawTable(),
      rest > 0
        ? make("button.more", { onclick: () => ((this.most *= 4), this.fill()) }, `… ${countOf(rest, "more run")}`)
        : "",
      this.shown.length ? "" : make("p.empty", {}, "No run passes the filter. Esc clears it."),
    );
    this.note.replaceChildren(
      this.shown.length < runs.length ? `${formatCount(this.shown.length)} of ${countOf(runs.length, "run")}` : "",
      this.failure ? `, with one failure ` : "",
      this.failure ? make("button.link", { onclick: () => this.showFailure("") }, "show all") : "",
    );
    this.mark();
  }

  drawTable() {
    return make(
      "table",
      {},
      make(
        "thead",
        {},
        make(
          "tr",
          {},
          ...RUN_COLUMNS.map(([head, , isAmount], column) =>
            make(
              "th",
              {
                scope: "col",
                class: isAmount ? "amount" : null,
                "aria-sort": column === this.column ? (this.isDown ? "descending" : "ascending") : null,
              },
              make(
                "button",
                {
                  onclick: () => {
                    this.isDown = column === this.column ? !this.isDown : isAmount || column === 1;
                    this.column = column;
                    this.fill();
                  },
                },
                head,
                column === this.column ? (this.isDown ? " ↓" : " ↑") : "",
              ),
            ),
          ),
        ),
      ),
      make("tbody", {}, ...this.shown.slice(0, this.most).map((index) => this.drawRun(index))),
    );
  }

  /** @param {number} index */
  drawRun(index) {
    const run = this.many.runs[index];
    const name = oneLine(run.name.replace(/\.jsonl$/, ""), 60);
    const program = run.title.split("/").pop() ?? "";
    const open = `namel3ss debug view ${run.reference}`;
    return make(
      "tr",
      { id: `run-${index}`, onclick: () => this.select(index) },
      make(
        "td.name",
        {},
        run.page
          ? make("a", { href: run.page, title: "Open its page" }, name, " ↗")
          : make(
              "button.link",
              { title: `Copy: ${open}`, onclick: (event) => void copyText(open, event.currentTarget) },
              name,
            ),
      ),
      make("td.when", { title: run.started_at }, this.dateOf(run.started_at ?? "")),
      make("td.program", { title: oneLine(run.title, 300) }, program === run.name ? "" : oneLine(program, 60)),
      make("td.amount.took", {}, run.took),
      make("td.amount", {}, run.cost_text),
      make("td.amount", {}, run.tokens ? formatCount(run.tokens) : ""),
      make("td.amount", {}, run.errors ? make("span.failure", {}, formatCount(run.errors)) : ""),
      make(
        "td.outcome",
        { title: oneLine(run.finding, 300) },
        make(
          "span",
          { class: run.is_failure ? "failure" : null },
          `${run.is_failure ? "✕ " : ""}${oneLine(run.outcome_text, 60)}`,
          run.mark ? `, marked ${run.mark}` : "",
        ),
        run.finding ? make("span.quiet", {}, `: ${oneLine(run.finding, 160)}`) : "",
      ),
    );
  }

  /** Return when a run began, as `ls` does: without the year in that of the last run, without the time in others. @param {string} at */
  dateOf(at) {
    const isOfYear = this.many.runs.at(-1)?.started_at?.slice(0, 4) === at.slice(0, 4);
    return isOfYear ? at.slice(5, 16).replace("T", " ") : at.slice(0, 10);
  }

  /** Select a run, in the list and in the trends. @param {number} index */
  select(index) {
    if (index < 0 || index >= this.many.runs.length) return announce("There is none in this direction");
    this.selected = index;
    this.mark();
    byId("pane-runs").querySelector(`#run-${index}`)?.scrollIntoView({ block: "nearest" });
    history.replaceState(null, "", `#${encodeURIComponent(this.many.runs[index].name)}`);
  }

  /** Mark the selected run. */
  mark() {
    for (const each of document.querySelectorAll("[aria-current]")) each.removeAttribute("aria-current");
    for (const each of document.querySelectorAll(`#run-${this.selected}, [data-run="${this.selected}"]`))
      each.setAttribute("aria-current", "true");
    const run = this.many.runs[this.selected];
    this.finding.textContent = run?.finding ? `${oneLine(run.name, 60)}: ${oneLine(run.finding, 300)}` : "";
  }

  /** Go to the next run that is shown and passes, or the one before. @param {1 | -1} step @param {(run: RunRow) => boolean} passes */
  go(step, passes) {
    const from = this.shown.indexOf(this.selected);
    for (
      let at = from < 0 && step < 0 ? this.shown.length - 1 : from + step;
      at >= 0 && at < this.shown.length;
      at += step
    )
      if (passes(this.many.runs[this.shown[at]])) return this.select(this.shown[at]);
    announce("There is none in this direction");
  }

  /** Show the runs with a failure only. @param {string} fingerprint empty: all */
  showFailure(fingerprint) {
    this.failure = fingerprint;
    this.fill();
    showTab("runs");
  }

  /** @param {number} index */
  openRun(index) {
    const run = this.many.runs[index];
    if (run?.page) location.assign(run.page);
    else if (run) void copyText(`namel3ss debug view ${run.reference}`, null);
  }

  /** @returns {Command[]} */
  commands() {
    /** @param {string} key @param {string} label @param {() => void} run */
    const command = (key, label, run) => ({ key, label, run });
    /** @type {Command[]} */
    const commands = [
      command("s", "Next run", () => this.go(1, () => true)),
      command("S", "Previous run", () => this.go(-1, () => true)),
      command("e", "Next run that failed", () => this.go(1, (run) => run.is_failure)),
      command("E", "Previous run that failed", () => this.go(-1, (run) => run.is_failure)),
      command("o", "Open the page of the run, or copy the command that makes it", () => this.openRun(this.selected)),
      command("x", "Runs that failed only", () => this.failures.click()),
      command("/", "Filter", () => (showTab("runs"), this.search.focus())),
      ...MANY_TABS.map(([tab, label], index) => command(String(index + 1), `Show: ${label}`, () => showTab(tab))),
      command("Ctrl K", "Commands", () => openCommands(commands, (text) => this.findRuns(text))),
      command("?", "Help", () => openHelp(commands, [])),
    ];
    return commands;
  }

  /** @param {string} text @returns {Command[]} */
  findRuns(text) {
    const found = [...this.many.runs.keys()].filter((index) => text && this.many.runs[index].name.includes(text));
    return found.slice(0, 12).map((index) => ({
      key: "",
      label: oneLine(`Go to ${this.many.runs[index].name} ${this.many.runs[index].title}`, 120),
      run: () => this.select(index),
    }));
  }
}

/** @type {[string, string][]} */
const MANY_TABS = [
  ["runs", "Runs"],
  ["trends", "Trends"],
  ["failures", "Failures"],
  ["graph", "Graph"],
];

/** @param {string} tab */
function showTab(tab) {
  document.body.dataset.tab = tab;
  for (const button of byId("tabs").children)
    button.setAttribute("aria-selected", String(button.getAttribute("data-tab") === tab));
}

/** Draw a trend: a point for each run, a cross where it failed. @param {RunList} list @param {Trend} trend */
function drawTrend(list, trend) {
  const { points } = trend;
  const at = points.map((point) => point[1]);
  const [from, to] = [Math.min(...at), Math.max(...at)];
  const values = points.map((point) => point[2]);
  const most = Math.max(...values) || 1;
  const moves = trend.direction === "rising" || trend.direction === "falling";
  const certain = trend.confidence === null ? "" : `${Math.floor(trend.confidence * 1000) / 10} % certain`;
  const change = trend.change + (trend.a_day ? " a day" : "");
  const words = moves
    ? `${trend.direction} ${change}, ${certain}`
    : trend.direction === "unknown"
      ? "too few runs for a trend"
      : Math.min(...values) === most
        ? "the same in each run"
        : `no trend, only ${certain}`;
  const picture = draw("svg", {
    class: "trend",
    viewBox: "0 0 200 56",
    role: "img",
    "aria-label": `${trend.label}: ${countOf(points.length, "run")}, ${words}`,
  });
  for (const [index, began, value, text] of points) {
    const x = to > from ? 6 + ((began - from) / (to - from)) * 188 : 100;
    const y = 50 - (value / most) * 44;
    const run = list.many.runs[index];
    const shape = draw("path", {
      class: run.is_failure ? "point failed" : "point",
      "data-run": index,
      // A cross says what the red says.
      d: run.is_failure ? `M${x - 3} ${y - 3}l6 6m0 -6l-6 6` : `M${x - 2.5} ${y}a2.5 2.5 0 1 0 5 0a2.5 2.5 0 1 0 -5 0`,
    });
    shape.append(draw("title", {}, oneLine(`${run.name}: ${text}, ${run.outcome_text}`, 160)));
    shape.addEventListener("click", () => list.select(index));
    picture.append(shape);
  }
  return make(
    "figure.trend-box",
    { "data-worse": trend.is_worse },
    make("h3", {}, oneLine(trend.label, 30)),
    picture,
    make(
      "figcaption",
      {},
      make(
        "span",
        { class: moves ? "moves" : null },
        `${moves ? (trend.direction === "rising" ? "↗ " : "↘ ") : ""}${words}`,
      ),
    ),
    make("figcaption", {}, `${trend.first} → ${trend.last}, median ${trend.median}`),
  );
}

/** List the failures that happened more than once. @param {RunList} list */
function showRecurring(list) {
  const { recurring } = list.many;
  if (!recurring.length) return [make("p.empty", {}, "No failure happened twice.")];
  return [
    make(
      "ul.plain",
      {},
      ...recurring.map((each) => {
        const explain = `namel3ss debug explain ${each.number} ${each.trace}`;
        return make(
          "li",
          {},
          make("strong.failure", {}, `✕ ${oneLine(each.what, 60)}`),
          ` ${oneLine(each.error, 200)} `,
          make(
            "span.quiet",
            {},
            `${countOf(each.count, "time")} in `,
            make("button.link", { onclick: () => list.showFailure(each.fingerprint) }, countOf(each.traces, "run")),
            " ",
            make(
              "button.quiet",
              { title: explain, onclick: (event) => void copyText(explain, event.currentTarget) },
              "Copy command",
            ),
          ),
        );
      }),
    ),
  ];
}

/** Start a page of many runs. */
async function startMany() {
  const many = /** @type {Facts & {many: ManyRuns}} */ (readFacts()).many;
  const list = new RunList(many);
  const failed = many.runs.filter((run) => run.is_failure).length;
  document.body.dataset.kind = "many";
  const outcome = byId("outcome");
  outcome.className = failed ? "failure" : "";
  outcome.textContent = `${failed ? "✕ " : ""}${countOf(many.runs.length, "run")}, ${failed ? `${formatCount(failed)} failed` : "none failed"}`;
  byId("costs").replaceChildren(
    ...[many.cost_text, many.tokens ? countOf(many.tokens, "token") : ""]
      .filter(Boolean)
      .map((text) => make("span", {}, text)),
  );
  const [worst] = many.recurring;
  const worse = many.trends.flatMap((each) => each.rows).find((trend) => trend.is_worse);
  const button = byId("first-finding");
  button.hidden = !worst && !worse;
  button.dataset.severity = worst ? "error" : "warning";
  button.replaceChildren(
    make("span.sign", { "aria-hidden": "true" }, worst ? "✕" : "▲"),
    make(
      "span.sentence",
      {},
      worst
        ? oneLine(`${worst.what} fails in ${countOf(worst.traces, "run")}: ${worst.error}`, 200)
        : `${worse?.label} ${worse?.direction} ${worse?.change}`,
    ),
  );
  button.addEventListener("click", () => (worst ? list.showFailure(worst.fingerprint) : showTab("trends")));
  const trends = make("div.trends");
  const programs = make(
    "select",
    { "aria-label": "Program", onchange: () => drawTrends() },
    ...many.trends.map(({ target }, index) => make("option", { value: index }, oneLine(target, 80))),
  );
  const drawTrends = () => {
    const { rows } = many.trends[Number(programs.value)];
    trends.replaceChildren(...rows.map((trend) => drawTrend(list, trend)));
    list.mark();
  };
  /** @param {string} name @param {string} title @param {...Child} children */
  const pane = (name, title, ...children) =>
    make("section.pane.scroll", { id: `pane-${name}`, role: "region", "aria-label": title, tabindex: 0 }, ...children);
  byId("panes").replaceChildren(
    byId("tabs"),
    pane(
      "trends",
      "Trends",
      many.trends.length > 1 ? make("p.programs", {}, "Trends of ", programs) : null,
      many.trends.length ? trends : make("p.empty", {}, "No run says when it began."),
    ),
    pane(
      "runs",
      "Runs",
      make("div.filters", {}, list.search, list.failures, list.note, list.finding),
      list.table,
      ...many.notes.map((note) => make("p.note", {}, oneLine(note, 300))),
    ),
    pane("failures", "Recurring failures", make("h2", {}, "Recurring failures"), ...showRecurring(list)),
    pane("graph", "Who calls whom", make("h2", {}, "Who calls whom"), ...showGraph(many.calls, many.hand_offs)),
  );
  byId("tabs").replaceChildren(
    ...MANY_TABS.map(([tab, label]) =>
      make(
        "button.tab",
        { role: "tab", "data-tab": tab, "aria-controls": `pane-${tab}`, onclick: () => showTab(tab) },
        label,
      ),
    ),
  );
  const fit = () => (document.body.dataset.layout = layoutFor(innerWidth));
  addEventListener("resize", fit);
  fit();
  list.fill();
  if (many.trends.length) drawTrends();
  showTab("runs");
  listenToKeys(list.commands(), () => {});
  list.search.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    list.search.value = "";
    list.fill();
  });
  const selectHash = () =>
    list.select(many.runs.findIndex((run) => `#${encodeURIComponent(run.name)}` === location.hash));
  addEventListener("hashchange", selectHash);
  if (location.hash) selectHash();
  document.body.dataset.ready = String(Math.round(performance.now()));
}

startMany().catch(showFailure);
