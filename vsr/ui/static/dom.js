// Small parts that all views share: elements, questions to the server, what is said aloud.
import { plainly, words } from "./words.js";

export const by = id => document.getElementById(id);

// Text is always text: names of files and tags never become markup.
export function h(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key in node && key !== "list" && typeof value !== "string") node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children.flat().filter(child => child !== undefined && child !== null && child !== false));
  return node;
}

export const name = text => h("bdi", { class: "name" }, text);

export async function ask(what, given = {}) {
  let answer;
  try {
    answer = await fetch(`ask/${what}`, {
      method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(given),
    });
  } catch {
    throw new Error(words.lost);
  }
  const found = await answer.json();
  if (found?.refused) throw Object.assign(new Error(found.refused), { stopped: found.stopped });
  return found;
}

export function say(text) {
  by("said").textContent = text;
}

export function problem(error) {
  return h("p", { class: "problem", role: "alert" }, plainly(String(error.message || error)));
}

export function picture(file, at, width, attributes = {}) {
  const query = new URLSearchParams({ file, at: String(at), width: String(width) });
  const image = h("img", { alt: "", loading: "lazy", decoding: "async", ...attributes });
  image.addEventListener("error", () => image.classList.add("none"));
  image.setAttribute("src", `picture?${query}`);
  return image;
}

export function clock(seconds, digits = 0) {
  const hours = Math.floor(seconds / 3600), minutes = Math.floor(seconds / 60) % 60;
  const rest = (Math.floor(seconds % 60 * 10 ** digits) / 10 ** digits).toFixed(digits).padStart(digits ? digits + 3 : 2, "0");
  return hours ? `${hours}:${String(minutes).padStart(2, "0")}:${rest}` : `${minutes}:${rest}`;
}

// The clipboard may be closed to a page; then the text is selected instead.
export async function copy(text, node) {
  try {
    await navigator.clipboard.writeText(text);
    say(words.copied);
    return true;
  } catch {
    getSelection().selectAllChildren(node);
    return false;
  }
}

export function command(text) {
  const code = h("div", { class: "command", role: "group", tabindex: "0", "aria-label": words.commandLine }, h("code", {}, text));
  const button = h("button", { type: "button", onclick: async () => { if (await copy(text, code)) button.textContent = words.copied; } }, words.copyCommand);
  return h("div", { class: "copying" }, code, button);
}
