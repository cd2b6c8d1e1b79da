// Show values of a trace: objects and lists that fold, long texts that are cut, pictures that are in the trace itself.

const LONG_TEXT = 2000;
const MORE_TEXT = 100_000;
const MOST_ITEMS = 50;

/**
 * @typedef {object} ValueContext where a value stands, so that its sources can be shown
 * @property {Page} page
 * @property {number} event
 */

/**
 * Show a value. What is inside an object is made when the object is opened.
 * @param {unknown} value
 * @param {string} path of the value in its event
 * @param {ValueContext} context
 * @param {number} [open] how many levels are open
 * @returns {HTMLElement}
 */
function showValue(value, path, context, open = 2) {
  const shown =
    value !== null && typeof value === "object" ? showObject(value, path, context, open) : showScalar(value);
  return trackValue(shown, path, context);
}

/**
 * @param {unknown} value
 * @returns {HTMLElement}
 */
function showScalar(value) {
  if (typeof value === "string") return showText(value);
  return make("code.scalar", {}, value === undefined ? "" : JSON.stringify(value));
}

/**
 * Show a text: whole when short, else its beginning with a button for the rest.
 * @param {string} text
 * @returns {HTMLElement}
 */
function showText(text) {
  if (!text) return make("code.scalar.quiet", {}, "(empty text)");
  if (text.length <= 80 && !text.includes("\n")) return make("code.text", {}, printable(text));
  const box = make("pre.text", {}, printable(text, LONG_TEXT));
  if (text.length <= LONG_TEXT) return box;
  let end = LONG_TEXT;
  box.textContent = printable(text.slice(0, end));
  const more = make("button.more");
  const label = () => (more.textContent = `… ${formatCount(text.length - end)} more characters`);
  more.addEventListener("click", () => {
    box.append(printable(text.slice(end, end + MORE_TEXT), MORE_TEXT));
    end += MORE_TEXT;
    if (end < text.length) label();
    else more.remove();
  });
  label();
  return make("div.long", {}, box, more);
}

/**
 * @param {object} value
 * @param {string} path
 * @param {ValueContext} context
 * @param {number} open
 */
function showObject(value, path, context, open) {
  const isList = Array.isArray(value);
  const entries = Object.entries(value);
  if (!entries.length) return make("code.scalar", {}, isList ? "[]" : "{}");
  const fold = make("details.fold");
  const gist = isList ? countOf(entries.length, "item") : oneLine(entries.map(([key]) => key).join(", "), 80);
  fold.append(make("summary", {}, make("span.quiet", {}, isList ? `[${gist}]` : `{${gist}}`)));
  const fill = () => {
    if (fold.childElementCount > 1) return;
    const body = make("div.entries");
    addEntries(body, entries, 0, path, context, open);
    fold.append(body);
  };
  fold.addEventListener("toggle", fill);
  if (open > 0 && entries.length <= MOST_ITEMS) {
    fill();
    fold.open = true;
  }
  return fold;
}

/**
 * Add entries to a body; a long list goes on with a button.
 * @param {HTMLElement} body
 * @param {[string, unknown][]} entries
 * @param {number} first
 * @param {string} path
 * @param {ValueContext} context
 * @param {number} open
 */
function addEntries(body, entries, first, path, context, open) {
  const stop = Math.min(entries.length, first + MOST_ITEMS);
  for (const [key, value] of entries.slice(first, stop)) {
    body.append(
      make(
        "div.entry",
        {},
        make("span.key", {}, oneLine(key, 80)),
        showValue(value, `${path}.${key}`, context, open - 1),
      ),
    );
  }
  if (stop >= entries.length) return;
  const more = make("button.more", {}, `… ${formatCount(entries.length - stop)} more`);
  more.addEventListener("click", () => {
    more.remove();
    addEntries(body, entries, stop, path, context, open);
  });
  body.append(more);
}

/** Pictures that browsers draw without running anything. */
const PICTURES = /^image\/(png|jpeg|gif|webp|bmp|avif)$/;

/**
 * Show a picture that is in the trace as base64; null for anything else. The page loads nothing from elsewhere.
 * @param {unknown} type
 * @param {unknown} content
 */
function showPicture(type, content) {
  if (typeof type !== "string" || typeof content !== "string") return null;
  if (!PICTURES.test(type) || !/^[A-Za-z0-9+/=\s]+$/.test(content)) return null;
  return make("img.picture", { src: `data:${type};base64,${content}`, alt: `picture of the message, ${type}` });
}
