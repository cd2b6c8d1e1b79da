// Lists of which only the rows in view are in the document.

/**
 * @typedef {object} RowSource
 * @property {(index: number) => HTMLElement} draw make the element of a row
 * @property {(index: number) => void} choose called when a row is clicked, or moved to by a key
 * @property {(index: number, key: string) => boolean} [key] handle a key on the selected row
 */

/** How many rows outside of the view are drawn as well, so that fast scrolling shows no gaps. */
const ROWS_BEYOND = 8;

/** A scrolled list of rows with known heights. The selected row is the list's active descendant. */
class Rows {
  /**
   * @param {HTMLElement} scroller
   * @param {number} height of a row; lists with other heights give them to `set`
   * @param {RowSource} source
   */
  constructor(scroller, height, source) {
    this.scroller = scroller;
    this.height = height;
    this.source = source;
    this.count = 0;
    this.selected = -1;
    /** @type {Float64Array | null} the top of each row, and the end of the last */
    this.tops = null;
    /** @type {Map<number, HTMLElement>} */
    this.drawn = new Map();
    this.space = make("div.space", { role: "presentation" });
    scroller.append(this.space);
    /** Whether the last row was in view when the list was last scrolled; a pane that shrinks changes nothing. */
    this.isAtEnd = true;
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    scroller.addEventListener("click", (event) => this.#click(event));
    scroller.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.draw()).observe(scroller);
  }

  /**
   * Show other rows.
   * @param {number} count
   * @param {number} selected -1: none
   * @param {Float64Array | null} [tops]
   * @param {boolean} [isGrowth] whether the rows are the same and more: the view stays, or follows the last one
   */
  set(count, selected, tops = null, isGrowth = false) {
    this.count = count;
    this.selected = selected;
    this.tops = tops;
    this.space.style.height = `${this.top(count)}px`;
    this.redraw();
    if (!isGrowth) this.reveal(selected);
    else if (selected < 0 && this.isAtEnd) this.scroller.scrollTop = this.top(count);
  }

  /** @param {number} index */
  top(index) {
    return this.tops ? this.tops[index] : index * this.height;
  }

  /**
   * Return the row at a distance from the top.
   * @param {number} y
   */
  at(y) {
    if (!this.tops) return Math.floor(y / this.height);
    let low = 0;
    let high = this.count;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.tops[middle] <= y) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** Draw all rows in view again. */
  redraw() {
    this.drawn.clear();
    this.space.replaceChildren();
    this.draw();
  }

  /** Draw the rows that scrolled into view, and remove those that left it. */
  draw() {
    const { scrollTop, clientHeight } = this.scroller;
    const first = Math.max(0, this.at(scrollTop) - ROWS_BEYOND);
    const last = Math.min(this.count, this.at(scrollTop + clientHeight) + 1 + ROWS_BEYOND);
    for (const [index, element] of this.drawn) {
      if (index >= first && index < last) continue;
      element.remove();
      this.drawn.delete(index);
    }
    for (let index = first; index < last; index++) {
      if (this.drawn.has(index)) continue;
      const element = this.source.draw(index);
      element.style.top = `${this.top(index)}px`;
      element.style.height = `${this.top(index + 1) - this.top(index)}px`;
      element.dataset.row = String(index);
      element.id = `${this.scroller.id}-${index}`;
      element.setAttribute("aria-selected", String(index === this.selected));
      this.drawn.set(index, element);
      this.space.append(element);
    }
    this.#mark();
  }

  /**
   * Select a row and scroll it into view.
   * @param {number} index
   */
  select(index) {
    this.drawn.get(this.selected)?.setAttribute("aria-selected", "false");
    this.selected = index;
    this.drawn.get(index)?.setAttribute("aria-selected", "true");
    this.reveal(index);
    this.#mark();
  }

  /**
   * Scroll a row into view; one that is far away is shown with a third of the view above it.
   * @param {number} index
   */
  reveal(index) {
    if (index < 0) return;
    const { scrollTop, clientHeight } = this.scroller;
    const top = this.top(index);
    const bottom = this.top(index + 1);
    if (top >= scrollTop && bottom <= scrollTop + clientHeight) return;
    const isNear = top > scrollTop - clientHeight / 2 && bottom < scrollTop + clientHeight * 1.5;
    this.scroller.scrollTop = !isNear ? top - clientHeight / 3 : top < scrollTop ? top : bottom - clientHeight;
    this.draw();
  }

  #scrolled() {
    const { scrollTop, clientHeight } = this.scroller;
    this.isAtEnd = scrollTop + clientHeight >= this.top(this.count) - 1;
    this.draw();
  }

  #mark() {
    const active = this.drawn.get(this.selected);
    if (active) this.scroller.setAttribute("aria-activedescendant", active.id);
    else this.scroller.removeAttribute("aria-activedescendant");
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const row = /** @type {HTMLElement} */ (event.target).closest("[data-row]");
    if (row instanceof HTMLElement) this.source.choose(Number(row.dataset.row));
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.scroller.clientHeight / this.height) - 1);
    /** @type {{[key: string]: number}} */
    const moves = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -this.count, End: this.count };
    if (this.source.key?.(this.selected, event.key)) event.preventDefault();
    else if (event.key in moves && this.count) {
      event.preventDefault();
      this.source.choose(Math.min(this.count - 1, Math.max(0, this.selected + moves[event.key])));
    }
  }
}
