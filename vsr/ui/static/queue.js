// The queue beside the page, and the view of one film in it.
import { ask, by, command, h, name, problem, say } from "./dom.js";
import { plainly, words } from "./words.js";

const films = new Map();   // id to what the server said last
const rows = new Map();    // id to its row
let order = [], paused = false, changed = false, list, head, trouble;
export const watchers = new Set();

const change = given => ask("change", given).catch(error => { trouble.textContent = plainly(error.message); });

export function build(aside) {
  list = h("ol", { class: "queue" });
  head = h("div", { class: "queue-head" });
  trouble = h("p", { class: "problem", role: "alert" });
  aside.replaceChildren(head, trouble, list);
  aside.setAttribute("aria-label", words.queue);
  drawHead();
}

export const events = {
  all(found) {
    films.clear();
    rows.clear();
    list.replaceChildren();
    paused = found.paused;
    order = found.films.map(film => film.id);
    for (const film of found.films) put(film);
    changed = true;
    watchers.forEach(watch => watch(null));
  },
  film(film) {
    const before = films.get(film.id);
    if (!before) order.push(film.id);
    put(film);
    if (before?.state !== film.state) {
      changed = true;
      if (before) say(`${film.name}: ${words.states[film.state]}`);
    }
    watchers.forEach(watch => watch(film.id));
  },
  removed(id) {
    films.delete(id);
    rows.get(id)?.remove();
    rows.delete(id);
    order = order.filter(each => each !== id);
    changed = true;
    watchers.forEach(watch => watch(id));
  },
  order(found) {
    if (found.join() === order.join()) return;
    order = found;
    const held = document.activeElement;
    for (const id of order) if (rows.has(id)) list.append(rows.get(id));
    if (list.contains(held)) held.focus();
  },
  paused(found) {
    paused = found;
    changed = true;
    for (const film of films.values()) if (film.state === "running") put(film);
    watchers.forEach(watch => watch(null));
  },
  trouble(text) { trouble.textContent = text; },
};

// What changes with many messages is drawn once.
export function settle() {
  if (changed) drawHead();
  changed = false;
}

export const stateOf = film => film.state === "running" && paused ? "paused" : film.state;

function drawHead() {
  const all = [...films.values()];
  const waiting = all.filter(film => ["queued", "running"].includes(film.state)).length;
  const done = all.filter(film => film.state === "done").length;
  const button = h("button", { type: "button", id: "hold", class: paused ? "main" : "", onclick: () => change({ do: paused ? "go on" : "pause" }) }, paused ? words.goOn : words.pause);
  const held = document.activeElement?.id === "hold";
  head.replaceChildren(h("h2", {}, words.queue), h("span", { class: "soft" }, words.counts(waiting, done)),
    waiting || paused ? button : "",
    paused ? h("p", { class: "soft wide" }, words.pausedNow) : "",
    all.length ? "" : h("p", { class: "soft wide" }, words.emptyQueue));
  if (held) by("hold")?.focus();
  const nav = by("nav-queue");
  if (nav) nav.textContent = waiting ? `${words.queue} (${waiting})` : words.queue;
}

function put(film) {
  films.set(film.id, film);
  let row = rows.get(film.id);
  if (!row) {
    row = makeRow(film);
    rows.set(film.id, row);
    list.append(row);
  }
  fillRow(row, film);
}

function makeRow(film) {
  const { id } = film;
  const parts = {
    state: h("span", { class: "badge" }),
    line: h("p", { class: "soft line" }),
    bar: h("progress", { max: 1, "aria-label": words.progressOf(film.name) }),
    tools: h("div", { class: "tools" }),
  };
  const row = h("li", {},
    h("a", { class: "title", href: `#job/${id}` }, name(film.name)), parts.state, parts.bar, parts.line, parts.tools);
  row.parts = parts;
  return row;
}

function fillRow(row, film) {
  const { parts } = row, state = stateOf(film), now = film.progress;
  if (parts.state.textContent !== words.states[state]) parts.state.textContent = words.states[state];
  row.className = state;
  parts.bar.hidden = film.state !== "running";
  if (now.total) parts.bar.value = now.frames / now.total; else parts.bar.removeAttribute("value");
  parts.line.textContent = lineOf(film);
  if (row.shown !== film.state) {
    row.shown = film.state;
    const held = parts.tools.contains(document.activeElement);
    parts.tools.replaceChildren(...tools(film));
    if (held) row.querySelector("a").focus();
  }
}

export function lineOf(film) {
  const now = film.progress;
  if (film.state === "failed") return plainly(film.error);
  if (film.state === "done") return film.target + (film.notes ? ` · ${words.notesCount(film.notes)}` : "");
  if (film.state !== "running") return film.target;
  if (!now.frames) return words.preparing;
  return now.frames === now.total ? words.finishing : words.progress(now);
}

function tools(film) {
  const { id } = film, button = (text, label, go, sign) =>
    h("button", { type: "button", class: sign ? "sign" : "", "aria-label": label, title: sign ? label : null, onclick: go }, text);
  const found = [];
  if (film.state === "queued") found.push(
    button("↑", words.moveUp(film.name), () => move(id, -1), true),
    button("↓", words.moveDown(film.name), () => move(id, 1), true));
  if (film.state === "queued" || film.state === "running") found.push(button(words.cancel, words.cancelOf(film.name), () => change({ do: "cancel", id })));
  if (film.state === "failed") found.push(button(words.again, words.againOf(film.name), () => change({ do: "again", id })));
  if (film.state === "cancelled") found.push(button(words.resume, words.resumeOf(film.name), () => change({ do: "again", id })));
  if (film.state !== "running" && film.state !== "queued") found.push(button(words.remove, words.removeOf(film.name), () => change({ do: "remove", id })));
  return found;
}

function move(id, by) {
  const at = order.indexOf(id), rest = order.filter(each => each !== id);
  const to = Math.min(rest.length, Math.max(0, at + by));
  change({ do: "move", id, before: rest[to] ?? null });
}

// The view of one film of the queue.
export function showFilm(main, id) {
  const title = h("h1", {}, ""), body = h("div", { class: "job" });
  main.replaceChildren(h("p", {}, h("a", { href: "#films" }, words.films)), title, body);
  let state = null;
  async function draw(changed) {
    if (changed !== null && changed !== id) return;
    const film = films.get(id);
    if (!film) { state = null; body.replaceChildren(h("p", { class: "soft" }, words.emptyQueue)); return; }
    if (stateOf(film) !== state) {
      state = stateOf(film);
      title.replaceChildren(name(film.name));
      try {
        const whole = await ask("film", { id });
        if (stateOf(films.get(id) ?? film) !== state) return;
        body.replaceChildren(...view(whole, draw, again));
      } catch (error) { body.replaceChildren(problem(error)); }
    }
    update(body, films.get(id) ?? film);
  }
  function again() { state = null; draw(id); }
  draw(id);
  watchers.add(draw);
  events.comparing = found => {
    const place = body.querySelector("#comparing");
    if (found.id === id && place) place.textContent = words.comparing(found.frames);
  };
  events.newest = found => {
    const place = body.querySelector("#newest");
    if (found.id === id && place) place.replaceChildren(h("img", { alt: words.newest, src: found.picture }));
  };
  return () => { watchers.delete(draw); delete events.comparing; delete events.newest; };
}

function update(body, film) {
  const bar = body.querySelector("progress"), line = body.querySelector("#line"), waits = body.querySelector("#waits");
  if (!bar) return;
  const now = film.progress;
  if (now.total) bar.value = now.frames / now.total; else bar.removeAttribute("value");
  line.textContent = lineOf(film);
  waits.textContent = now.waits_for ? words.waits[now.waits_for] : "";
}

function view(film, draw, again) {
  const state = stateOf(film);
  const badge = h("p", {}, h("span", { class: `badge ${state}` }, words.states[state]), " ", h("span", { class: "soft" }, name(film.path)));
  const parts = [badge];
  if (film.state === "running") parts.push(h("section", { class: "card" },
    h("progress", { max: 1, "aria-label": words.progressOf(film.name) }),
    h("p", { id: "line" }), h("p", { id: "waits", class: "soft" }),
    h("div", { id: "newest", class: "newest" }, film.newest ? h("img", { alt: words.newest, src: film.newest }) : h("p", { class: "soft" }, words.newestHelp)),
    h("div", { class: "actions" }, tools(film))));
  if (film.state === "queued") parts.push(h("section", { class: "card" }, h("div", { class: "actions" }, tools(film))));
  if (film.state === "failed") parts.push(failed(film));
  if (film.state === "cancelled") parts.push(h("section", { class: "card" }, h("h2", {}, words.cancelledHead), h("p", {}, words.cancelledText), h("div", { class: "actions" }, tools(film))));
  if (film.state === "done") parts.push(...done(film, again));
  if (film.said.length) parts.push(h("section", { class: "card" }, h("h2", {}, words.saidNotes), h("ul", {}, film.said.map(text => h("li", {}, text)))));
  else if (film.state === "done") parts.push(h("section", { class: "card" }, h("h2", {}, words.saidNotes), h("p", {}, words.noNotes)));
  parts.push(h("section", { class: "card" }, h("h2", {}, words.commandLine), command(film.command), saving(film)));
  return parts;
}

function saving(film) {
  const field = h("input", { type: "text", id: "profile-name", autocomplete: "off" }), said = h("p", { class: "soft", role: "status" });
  const form = h("form", { class: "path", onsubmit: async event => {
    event.preventDefault();
    try { said.textContent = words.profileSaved((await ask("save", { id: film.id, name: field.value })).path); } catch (error) { said.textContent = plainly(error.message); }
  } }, h("label", { for: "profile-name" }, words.profileName), field, h("button", {}, words.save));
  return h("details", {}, h("summary", {}, words.saveProfile), form, said);
}

function failed(film) {
  const exists = film.error.includes("exists already");
  return h("section", { class: "card problem-card" }, h("h2", {}, words.failedHead), h("p", {}, plainly(film.error)),
    h("div", { class: "actions" },
      exists ? h("button", { type: "button", class: "main", onclick: () => change({ do: "again", id: film.id, overwrite: true }) }, words.replaceAndGo) : "",
      tools(film)));
}

function done(film, again) {
  const took = film.seconds === null ? "" : film.seconds < 60 ? `${film.seconds.toFixed(1)} s` : new Date(film.seconds * 1000).toISOString().slice(11, 19).replace(/^00:/, "");
  const text = film.frames === null ? words.doneBare : film.verified === "in full" ? words.doneFully({ ...film, took }) : words.donePartly({ ...film, took });
  const state = h("p", { id: "comparing", class: "soft", role: "status" });
  const open = h("a", { class: "button", target: "_blank", rel: "noopener", href: `comparison/${film.id}` }, words.openCompare);
  const button = h("button", { type: "button", onclick: async () => {
    button.disabled = true;
    state.textContent = words.comparing(0);
    try { await ask("compare", { id: film.id }); again(); } catch (error) { state.textContent = plainly(error.message); button.disabled = false; }
  } }, words.compare);
  return [
    h("section", { class: "card done-card" }, h("h2", {}, words.doneHead),
      film.to ? h("p", {}, `${film.from} → ${film.to}`) : "", h("p", {}, text),
      film.fidelity === null || film.fidelity === undefined ? "" : h("p", { class: "soft" }, words.fidelity(film.fidelity)),
      h("div", { class: "actions" }, film.compared ? open : button, h("a", { class: "button", href: `#films/${film.folder_key}` }, words.toFolder), tools(film)), state),
  ];
}
