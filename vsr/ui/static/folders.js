// Choosing: the folders below the roots, and their films.
import { ask, h, name, picture, problem, say } from "./dom.js";
import { words } from "./words.js";

const chosen = new Map();
const looked = new Map();

export const forget = () => chosen.clear();

export async function look(file) {
  if (!looked.has(file)) {
    const waiting = ask("look", { file });
    looked.set(file, waiting);
    waiting.catch(() => looked.delete(file));
  }
  return looked.get(file);
}

export async function show(main, key, open) {
  const body = h("div");
  const field = h("input", { id: "path", type: "text", autocomplete: "off", spellcheck: false });
  const form = h("form", { class: "path", onsubmit: event => { event.preventDefault(); go({ text: field.value }); } },
    h("label", { for: "path" }, words.paste), field, h("button", {}, words.go));
  main.replaceChildren(h("h1", {}, words.choose), h("p", { class: "soft" }, words.chooseHelp), form, body);

  async function go(where) {
    try {
      const found = await ask("folder", where);
      if (found.file) return open([found.file]);
      history.replaceState(null, "", `#films/${found.key}`);
      field.value = found.name;
      fill(body, found, go, open);
    } catch (error) {
      body.querySelector(".problem")?.remove();
      body.prepend(problem(error));
    }
  }
  await go(key ? { key } : {});
}

function fill(body, found, go, open) {
  const crumbs = h("nav", { "aria-label": words.path, class: "crumbs" });
  found.crumbs.forEach((crumb, i) => {
    const last = i === found.crumbs.length - 1;
    crumbs.append(last ? h("span", { "aria-current": "page" }, name(crumb.name))
      : h("button", { type: "button", class: "link", onclick: () => go({ key: crumb.key }) }, name(crumb.name)), last ? "" : " / ");
  });
  const others = found.roots.filter(root => root.key !== found.crumbs[0]?.key);
  for (const root of others) crumbs.append(h("button", { type: "button", class: "link other", onclick: () => go({ key: root.key }) }, name(root.name)));
  const folders = h("ul", { class: "folders", "aria-label": words.folders }, found.folders.map(each =>
    h("li", {}, h("button", { type: "button", onclick: () => go({ key: each.key }) }, h("span", { class: "folder-icon", "aria-hidden": "true" }), name(each.name)))));
  const boxes = [];
  const all = h("input", { type: "checkbox", id: "all", onchange: () => {
    for (const [box, film] of boxes) {
      box.checked = all.checked;
      if (all.checked) chosen.set(film.key, film); else chosen.delete(film.key);
    }
    refresh();
  } });
  const count = h("span", { class: "soft" });
  const next = h("button", { type: "button", class: "main", onclick: () => open([...chosen.keys()]) }, words.enhanceChosen);
  const bar = h("div", { class: "chosen" }, h("label", { class: "check" }, all, words.selectAll), count, next);
  const list = h("ul", { class: "films" }, found.films.map(film => row(film, boxes, open, refresh)));
  function refresh() {
    all.checked = boxes.every(([, film]) => chosen.has(film.key));
    next.disabled = !chosen.size;
    count.textContent = chosen.size ? words.selected(chosen.size) : "";
    if (chosen.size) say(words.selected(chosen.size));
  }
  refresh();
  body.replaceChildren(crumbs, found.folders.length ? folders : "",
    found.films.length ? bar : h("p", { class: "soft empty" }, words.noFilms), list);
}

function row(film, boxes, open, refresh) {
  const facts = h("span", { class: "soft facts" }, " ");
  const box = h("input", { type: "checkbox", checked: chosen.has(film.key), "aria-label": words.select(film.name), onchange: () => {
    if (box.checked) chosen.set(film.key, film); else chosen.delete(film.key);
    refresh();
  } });
  boxes.push([box, film]);
  const item = h("li", {}, box,
    h("button", { type: "button", class: "film", onclick: () => open([film.key]) },
      h("span", { class: "thumb" }), h("span", { class: "words" }, name(film.name), facts)));
  seen.observe(item);
  item.wanted = async () => {
    try {
      const found = await look(film.key);
      facts.textContent = [found.clock, found.picture, found.size].filter(Boolean).join(" · ");
      item.querySelector(".thumb").append(picture(film.key, thirdOf(found), 160));
    } catch (error) {
      facts.textContent = words.unreadable;
      facts.title = error.message;
      item.classList.add("bad");
    }
  };
  return item;
}

// Films often begin with black.
export const thirdOf = found => (found.seekable && found.seconds ? Math.min(found.seconds / 3, 60) : 0).toFixed(3);

// Only what is on the screen is looked at.
const seen = new IntersectionObserver(entries => {
  for (const entry of entries) if (entry.isIntersecting) {
    seen.unobserve(entry.target);
    entry.target.wanted();
  }
}, { rootMargin: "200px" });
