// Which view is shown, and what the server tells.
import { by, h } from "./dom.js";
import * as film from "./film.js";
import * as folders from "./folders.js";
import * as queue from "./queue.js";
import { words } from "./words.js";

const main = by("main"), aside = by("aside");
let leave = () => {}, folder = "";

function route() {
  leave();
  leave = () => {};
  const [view, rest] = location.hash.slice(1).split("/");
  document.body.dataset.view = view || "films";
  if (view === "film" && rest) leave = film.show(main, rest.split("+"), folder) ?? leave;
  else if (view === "job") leave = queue.showFilm(main, Number(rest));
  else if (view === "queue" && matchMedia("(max-width: 1080px)").matches) main.replaceChildren();
  else folders.show(main, view === "films" ? rest : "", open);
  for (const link of by("nav").children) {
    const here = link.hash.slice(1) === (view === "queue" || view === "job" ? "queue" : "films");
    if (here) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
}

function open(files) {
  folder = location.hash;
  location.hash = `film/${files.join("+")}`;
}

// A hundred messages may come at once: the page stays quick in between.
const waiting = [];
function hear() {
  const until = performance.now() + 30;
  while (waiting.length && performance.now() < until) {
    const [event, data] = waiting.shift(), content = JSON.parse(data);
    if (event === "trying") film.trying(content); else queue.events[event]?.(content);
  }
  queue.settle();
  if (waiting.length) setTimeout(hear);
}

function listen() {
  const source = new EventSource("events");
  for (const event of ["all", "film", "removed", "order", "paused", "trouble", "comparing", "newest", "trying"]) {
    source.addEventListener(event, told => {
      waiting.push([event, told.data]);
      if (waiting.length === 1) setTimeout(hear);
    });
  }
  source.onopen = () => { by("state").textContent = words.connected; };
  source.onerror = () => { by("state").textContent = source.readyState === EventSource.CLOSED ? words.ended : words.lost; };
}

document.documentElement.lang = words.language;
document.title = words.title;
by("skip").textContent = words.skip;
by("skip").onclick = event => { event.preventDefault(); main.focus(); };
by("nav").setAttribute("aria-label", words.pages);
by("nav").append(h("a", { href: "#films" }, words.films), h("a", { href: "#queue", id: "nav-queue" }, words.queue));
queue.build(aside);
addEventListener("hashchange", () => { route(); main.focus({ preventScroll: true }); scrollTo(0, 0); });
route();
listen();
