/**
 * Single-key shortcuts, which a reader can switch off.
 * @module keyboard
 */

const STORED = "feed-keys";

/** Listens for single keys outside of text fields. */
export class Keyboard {
  /** @param {Object<string, () => void>} actions  by key */
  constructor(actions) {
    this.actions = actions;
    this.enabled = remembered();
    document.addEventListener("keydown", (event) => this.#press(event));
  }

  /** Let a checkbox switch the shortcuts on and off. @param {HTMLInputElement} box */
  bindSwitch(box) {
    box.checked = this.enabled;
    box.addEventListener("change", () => {
      this.enabled = box.checked;
      try {
        localStorage.setItem(STORED, box.checked ? "on" : "off");
      } catch {
        // private browsing: it holds until the page is closed
      }
    });
  }

  #press(event) {
    if (!this.enabled || event.ctrlKey || event.metaKey || event.altKey || event.isComposing)
      return;
    if (event.target.closest("input, textarea, select, [contenteditable]")) return;
    if (document.querySelector("dialog.panel[open]")) return;
    const action = this.actions[event.key];
    if (!action) return;
    event.preventDefault();
    action();
  }
}

function remembered() {
  try {
    return localStorage.getItem(STORED) !== "off";
  } catch {
    return true;
  }
}
