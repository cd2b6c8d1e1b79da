// Start the page: the headline at once, the panes as soon as the table is read.

/** Draw the headline: whether it worked, what it cost, and where it went wrong. @param {TraceFacts} trace */
function drawHeadline(trace) {
  const outcome = byId("outcome");
  outcome.className = trace.is_failure ? "failure" : "";
  const sign = trace.is_failure ? "✕" : trace.outcome === "running" ? "●" : "✓";
  outcome.replaceChildren(`${sign} `, outcomeText(trace));
  outcome.title = trace.path;
  byId("costs").replaceChildren(
    ...[
      trace.wall_ms === null ? "" : formatDuration(trace.wall_ms * 1000),
      trace.cost_text && (trace.cost === null ? "cost not known" : trace.cost_text.split(":")[0]),
      trace.tokens ? countOf(trace.tokens, "token") : "",
    ]
      .filter(Boolean)
      .map((text) => make("span", {}, oneLine(text, 60))),
  );
}

/** Draw the first finding as a sentence that leads to it. @param {Page} page */
function drawFirstFinding(page) {
  const [finding] = page.trace.findings;
  const button = byId("first-finding");
  button.hidden = !finding;
  if (!finding) {
    if (page.trace.outcome !== "running") byId("costs").append(make("span", {}, "nothing stands out"));
    return;
  }
  button.dataset.severity = finding.severity;
  button.replaceChildren(
    make("span.sign", { "aria-hidden": "true" }, finding.severity === "error" ? "✕" : "▲"),
    make("span.sentence", {}, oneLine(finding.text, 200)),
    make("kbd", {}, "f"),
  );
  button.title = printable(finding.text, 600);
  button.onclick = () => {
    selectEvent(page, finding.events?.[0] ?? page.trace.first);
    page.change({ tab: "event" });
  };
}

/** Return the event that the address names; 0: none. */
function eventOfHash() {
  return Number(/^#(\d+)$/.exec(location.hash)?.[1] ?? 0);
}

/** Start the page. */
async function start() {
  const facts = readFacts();
  const trace = facts.traces[0];
  if (!trace) {
    byId("outcome").textContent = "No trace";
    byId("panes").replaceChildren(
      make("p.empty", {}, "This page has no trace. In a terminal: namel3ss debug view TRACE"),
    );
    return;
  }
  drawHeadline(trace);
  const page = makePage(facts, 0, await readTable(0));
  const timeline = startTimeline(page);
  startPanes(page, timeline);
  startTree(page);
  startTranscript(page);
  startDetails(page);
  startFindings(page);
  startSummary(page);
  startFilters(page);
  startKeys(page, timeline);
  drawFirstFinding(page);
  page.change({ passes: null, item: -1 });
  addEventListener("hashchange", () => selectEvent(page, eventOfHash()));
  if (!selectEvent(page, eventOfHash()) && !selectEvent(page, trace.first) && page.table.items) selectItem(page, 0);
  if (facts.live) void followTrace(page, timeline);
  byId("tree").focus({ preventScroll: true });
  // Read by the benchmark and the tests of the page.
  document.body.dataset.ready = String(Math.round(performance.now()));
}

start().catch(showFailure);
