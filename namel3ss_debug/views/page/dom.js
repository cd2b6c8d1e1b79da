// Make elements. Text goes in as text nodes only, so that nothing in a trace can become markup.

/**
 * @typedef {Node | string | number | null | undefined | false} Child
 * @typedef {{[name: string]: string | number | boolean | null | undefined | ((event: any) => void)}} Attributes
 */

/**
 * Make an element: `make("button.quiet", {onclick: run, "aria-label": "Copy"}, "Copy")`.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag | `${Tag}.${string}`} name the tag, with classes after dots
 * @param {Attributes} [attributes] functions are listeners, booleans set or leave out an attribute
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
function make(name, attributes = {}, ...children) {
  const [tag, ...classes] = name.split(".");
  const element = /** @type {HTMLElementTagNameMap[Tag]} */ (document.createElement(/** @type {string} */ (tag)));
  if (classes.length) element.className = classes.join(" ");
  if (tag === "button") element.setAttribute("type", "button");
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, String(value));
  }
  element.append(
    .../** @type {(Node | string)[]} */ (
      children
        .filter((child) => child !== null && child !== undefined && child !== false && child !== "")
        .map((child) => (child instanceof Node ? child : String(child)))
    ),
  );
  return element;
}

/**
 * Return an element of the template.
 * @param {string} id
 * @returns {HTMLElement}
 */
function byId(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`the page has no #${id}`);
  return element;
}

/**
 * Show a note on the screen readers' line, such as "copied".
 * @param {string} text
 */
function announce(text) {
  byId("announcement").textContent = text;
}

/**
 * Copy a text, and write on the button that it was copied.
 * @param {string} text
 * @param {HTMLElement | null} button
 */
async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without permission, the old way still works from within a click.
    const area = make("textarea.unseen", { "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  announce("Copied");
  if (!button) return;
  button.classList.add("done");
  setTimeout(() => button.classList.remove("done"), 1200);
}

/**
 * Read a size or a choice of the reader that was kept; pages from disk may refuse to keep anything.
 * @param {string} key
 */
function loadSetting(key) {
  try {
    return localStorage.getItem(`namel3ss-debug.${key}`);
  } catch {
    return null;
  }
}

/**
 * @param {string} key
 * @param {string} value
 */
function saveSetting(key, value) {
  try {
    localStorage.setItem(`namel3ss-debug.${key}`, value);
  } catch {
    // The size then holds until the page is closed.
  }
}
