// A long list of equal rows of which only those on the screen exist.

const OVERSCAN = 6;

export class Rows {
  // `build()` makes an empty row element; `update(element, item)` writes an item into it.
  constructor(body, { height, build, update, onVisible }) {
    Object.assign(this, { body, height, build, update, onVisible });
    this.items = [];
    this.shown = new Map(); // item id -> element
    this.free = [];
    this.schedule = this.schedule.bind(this);
    window.addEventListener("scroll", this.schedule, { passive: true });
    window.addEventListener("resize", this.schedule);
  }

  destroy() {
    window.removeEventListener("scroll", this.schedule);
    window.removeEventListener("resize", this.schedule);
  }

  setItems(items) {
    this.items = items;
    this.body.style.height = `${items.length * this.height()}px`;
    this.render();
  }

  schedule() {
    if (this.pending) return;
    this.pending = requestAnimationFrame(() => {
      this.pending = 0;
      this.render();
    });
  }

  render() {
    const height = this.height();
    if (height !== this.lastHeight) {
      this.lastHeight = height;
      this.body.style.height = `${this.items.length * height}px`;
    }
    const top = this.body.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor(-top / height) - OVERSCAN);
    const last = Math.min(this.items.length, Math.ceil((innerHeight - top) / height) + OVERSCAN);
    const visible = this.items.slice(first, Math.max(first, last));
    this.retire(new Set(visible.map((item) => item.id)));
    visible.forEach((item, index) => this.place(item, first + index, height));
    this.onVisible(visible);
  }

  retire(kept) {
    for (const [id, element] of this.shown) {
      if (kept.has(id)) continue;
      this.shown.delete(id);
      this.free.push(element);
    }
    for (const element of this.free) element.hidden = true;
  }

  place(item, position, height) {
    let element = this.shown.get(item.id);
    if (!element) {
      element = this.free.pop() || this.body.appendChild(this.build());
      element.hidden = false;
      this.shown.set(item.id, element);
    }
    element.style.transform = `translateY(${position * height}px)`;
    element.setAttribute("aria-rowindex", position + 2); // the first is the head
    this.update(element, item);
  }

  // Write an item again if it is on the screen.
  touch(item) {
    const element = this.shown.get(item.id);
    if (element) this.update(element, item);
    return element;
  }
}
