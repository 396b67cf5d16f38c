// One film or several: what they hold, what will become of them, settings, trying, starting.
import { ask, by, clock, command, h, name, picture, problem, say } from "./dom.js";
import { forget, look, thirdOf } from "./folders.js";
import { plainly, words } from "./words.js";

let heard = () => {};
export const trying = content => heard(content);
let known = null;   // networks and profiles, asked for once

const kept = { options: {} };   // settings stay from one film to the next

export function show(main, files, back) {
  const page = {
    files, facts: [], options: kept.options, ending: ".enhanced", container: "", folder: null,
    overwrite: false, name: null, gone: false, plans: new Map(),
  };
  const intro = h("div"), plans = h("section", { class: "card", "aria-label": words.becomes });
  const settings = h("section", { class: "card" }), attempt = h("section", { class: "card" }), start = h("section", { class: "card" });
  main.replaceChildren(h("p", {}, h("a", { href: back || "#films" }, words.back)), intro);
  (async () => {
    try {
      for (const file of files) page.facts.push(await look(file));
    } catch (error) {
      intro.append(problem(error));
      return;
    }
    if (page.gone) return;
    page.folder = { key: page.facts[0].folder, name: page.facts[0].folder_name };
    introduce(intro, page);
    main.append(plans, settings, attempt, start);
    const replan = later(() => plan(plans, page));
    buildSettings(settings, page, () => { replan(); page.changed?.(); });
    buildTrying(attempt, page);
    buildStart(start, page, replan);
    plan(plans, page);
  })();
  return () => { page.gone = true; heard = () => {}; };
}

function later(go) {
  let timer = 0;
  return () => { clearTimeout(timer); timer = setTimeout(go, 350); };
}

function introduce(intro, page) {
  const [first] = page.facts, one = page.facts.length === 1;
  intro.append(h("h1", {}, one ? name(first.name) : words.severalFilms(page.facts.length)));
  if (!one) {
    intro.append(h("ul", { class: "several" }, page.facts.map(film => h("li", {}, name(film.name), " ", h("span", { class: "soft" }, [film.clock, film.picture, film.size].filter(Boolean).join(" · "))))));
    return;
  }
  const rows = first.rows.map(([label, value]) => h("tr", {}, h("th", { scope: "row" }, label), h("td", {}, h("bdi", {}, value))));
  intro.append(h("div", { class: "holds" },
    picture(first.key, thirdOf(first), 480, { class: "large" }),
    h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": words.holds }, h("table", {}, h("caption", { class: "sr" }, words.holds), h("tbody", {}, rows)))));
}

const nameFor = (page, film) => page.facts.length === 1 && page.name !== null
  ? page.name : film.stem + page.ending + (page.container || film.suffix);

const wish = (page, film) => ({ file: film.key, folder: page.folder.key, name: nameFor(page, film) });
const asked = page => ({ ...page.options, ...(page.overwrite ? { overwrite: true } : {}) });

async function plan(place, page) {
  const turn = page.turn = (page.turn ?? 0) + 1;
  const head = h("h2", {}, words.becomes);
  const waiting = h("p", { class: "soft", role: "status" }, words.planning);
  place.replaceChildren(head, waiting);
  place.setAttribute("aria-busy", "true");
  const body = h("div");
  place.append(body);
  for (const film of page.facts) {
    let found, fault = null;
    try {
      found = await ask("plan", { ...wish(page, film), options: asked(page) });
    } catch (error) { fault = error; }
    if (page.gone || turn !== page.turn) return;
    page.plans.set(film.key, found ?? null);
    const shown = fault ? problem(fault) : outcome(found);
    if (page.facts.length === 1) body.append(shown);
    else body.append(h("details", { open: Boolean(fault) }, h("summary", {}, name(film.name), " ", h("span", { class: "soft" }, fault ? words.states.failed : words.planned(found))), shown));
  }
  waiting.remove();
  place.removeAttribute("aria-busy");
  page.planned?.();
}

function outcome(found) {
  const [kind, there, then] = words.streamHead;
  const rows = found.streams.map(stream => {
    const lost = stream.action === "drop";
    const mark = lost ? h("strong", { class: "lost" }, words.lost_mark) : stream.loses ? h("strong", { class: "lost" }, words.partly) : "";
    return h("tr", { class: lost || stream.loses ? "loses" : "" },
      h("th", { scope: "row" }, words.streamKinds[stream.kind] ?? stream.kind), h("td", {}, h("bdi", {}, stream.what)),
      h("td", {}, words.actions[stream.action](stream.codec), stream.action === "enhance" ? `, ${found.video}` : "", " ", mark,
        stream.reason ? h("span", { class: "soft block" }, stream.reason) : ""));
  });
  const loses = found.streams.some(stream => stream.loses || stream.action === "drop");
  return h("div", {},
    h("p", {}, words.planned(found), loses || found.notes.length ? "" : ` ${words.nothingLost}`),
    h("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": words.becomes }, h("table", {}, h("caption", { class: "sr" }, words.becomes),
      h("thead", {}, h("tr", {}, [kind, there, then].map(text => h("th", { scope: "col" }, text)))), h("tbody", {}, rows))),
    found.notes.length ? h("div", { class: "notes" }, h("h3", {}, words.notes), h("ul", {}, found.notes.map(text => h("li", {}, h("bdi", {}, plainly(text)))))) : "",
    h("details", {}, h("summary", {}, words.details), h("ul", { class: "plain" }, found.lines.map(text => h("li", {}, text)))));
}

let fields = 0;
function field(label, help, control) {
  const id = `field-${fields += 1}`;
  control.id = id;
  control.setAttribute("aria-describedby", `${id}-help`);
  return h("div", { class: "field" }, h("label", { for: id }, label), control, h("p", { class: "soft", id: `${id}-help` }, help));
}

const select = (pairs, value, change) => {
  const node = h("select", { onchange: () => change(node.value) }, pairs.map(([key, text]) => h("option", { value: key, selected: key === value }, text)));
  return node;
};

function buildSettings(place, page, changed, profile = "") {
  const { options } = page;
  const set = (key, value, inside) => {
    const where = inside ? (options[inside] ??= {}) : options;
    if (value === "" || value === null) delete where[key]; else where[key] = value;
    if (inside && !Object.keys(where).length) delete options[inside];
    changed();
  };
  const sizeNow = options.height ? `height=${options.height}` : options.scale ? `scale=${options.scale}` : "";
  const size = select(words.sizes, sizeNow, value => {
    delete options.height;
    delete options.scale;
    const [key, number] = value.split("=");
    set(key || "scale", number ? Number(number) : "");
  });
  const networks = select([["", words.automatic]], "", value => { describe(value); set("model", value); });
  const network = field(words.network, words.networkHelp, networks);
  const describe = value => {
    const found = known?.models.find(each => each.name === value);
    network.querySelector("p").textContent = found ? found.purpose : words.networkHelp;
  };
  const profiles = select([["", words.noProfile]], profile, value => {
    const found = known.profiles.find(each => each.name === value);
    page.options = kept.options = structuredClone(found?.options ?? {});
    buildSettings(place, page, changed, value);
    place.querySelector("select").focus();
    changed();
  });
  const kind = field(words.profile, words.profileHelp, profiles);
  loadChoices().then(found => {
    for (const each of found.profiles) profiles.append(h("option", { value: each.name, selected: each.name === profile }, each.name));
    kind.querySelector("p").textContent = found.profiles.find(each => each.name === profile)?.purpose || words.profileHelp;
    for (const model of found.models) networks.append(h("option", { value: model.name, selected: model.name === options.model }, words.scaleOf(model)));
    describe(options.model);
  }).catch(error => network.append(problem(error)));
  const clean = select(words.cleans, options.clean === undefined ? "" : String(options.clean), value => set("clean", value === "" ? "" : Number(value)));
  const percent = h("output", {}, `${Math.round((options.strength ?? 1) * 100)} %`);
  const strength = h("input", { type: "range", min: "0", max: "100", step: "5", value: String((options.strength ?? 1) * 100),
    oninput: () => { percent.textContent = `${strength.value} %`; },
    onchange: () => set("strength", strength.value === "100" ? "" : Number(strength.value) / 100) });
  const strong = field(words.strength, words.strengthHelp, strength);
  strong.querySelector("label").append(" ", percent);
  const codec = select(words.codecs, options.encode?.codec ?? "", value => {
    const suffix = { ffv1: ".mkv", prores_ks: ".mov" }[value];
    if (suffix && page.setContainer) page.setContainer(suffix);
    set("codec", value, "encode");
  });
  const text = (key, value, inside) => {
    const node = h("input", { type: "text", inputmode: key === "crf" ? "decimal" : "text", autocomplete: "off", value: value === undefined ? "" : String(value),
      onchange: () => set(key, key === "crf" && node.value !== "" ? Number(node.value) : node.value.trim(), inside) });
    return node;
  };
  const damage = h("input", { type: "checkbox", checked: Boolean(options.allow_damage), onchange: () => set("allow_damage", damage.checked || "") });
  place.replaceChildren(h("h2", {}, words.settings), h("p", { class: "soft" }, words.settingsHelp),
    h("div", { class: "fields" }, kind, field(words.size, words.sizeHelp, size), network, field(words.clean, words.cleanHelp, clean), strong, field(words.codec, words.codecHelp, codec)),
    h("details", {}, h("summary", {}, words.more), h("div", { class: "fields" },
      field(words.quality, words.qualityHelp, text("crf", options.encode?.crf, "encode")),
      field(words.deinterlace, words.deinterlaceHelp, select(words.deinterlaces, options.deinterlace ?? "auto", value => set("deinterlace", value === "auto" ? "" : value))),
      field(words.start, words.timeHelp, text("start", options.start)),
      field(words.duration, words.timeHelp, text("duration", options.duration))),
    h("label", { class: "check" }, damage, words.damage)));
}

async function loadChoices() {
  known ??= await ask("choices");
  return known;
}

function buildStart(place, page, replan) {
  const one = page.facts.length === 1;
  const said = h("div", { role: "status" });
  const folder = h("input", { type: "text", value: page.folder.name, spellcheck: false, onchange: async () => {
    said.replaceChildren();
    try {
      const found = await ask("folder", { text: folder.value });
      page.folder = { key: found.key, name: found.name };
      folder.value = found.name;
      replan();
    } catch (error) { said.replaceChildren(problem(error)); }
  } });
  const named = one
    ? h("input", { type: "text", spellcheck: false, value: nameFor(page, page.facts[0]), onchange: () => { page.name = named.value; replan(); } })
    : h("input", { type: "text", spellcheck: false, value: page.ending, onchange: () => { page.ending = named.value; replan(); } });
  const container = select([["", words.likeSource], ...[".mp4", ".mkv", ".mov", ".webm"].map(suffix => [suffix, suffix.slice(1)])], page.container, value => setContainer(value));
  const setContainer = page.setContainer = value => {
    page.container = value;
    container.value = value;
    if (one && page.name !== null) page.name = page.name.replace(/\.[^.]*$/, value || page.facts[0].suffix);
    if (one) named.value = nameFor(page, page.facts[0]);
    replan();
  };
  const box = h("input", { type: "checkbox", id: "replace", onchange: () => { page.overwrite = box.checked; replan(); } });
  const costs = h("p", { class: "soft", id: "cost" });
  const line = h("div");
  const button = h("button", { type: "button", class: "main", id: "add", onclick: async () => {
    button.disabled = true;
    said.replaceChildren();
    try {
      const ids = await ask("add", { films: page.facts.map(film => wish(page, film)), options: asked(page) });
      forget();
      say(words.added(ids.length));
      location.hash = ids.length === 1 ? `job/${ids[0]}` : "queue";
    } catch (error) {
      said.replaceChildren(problem(error));
      button.disabled = false;
    }
  } }, words.add);
  page.planned = async () => {
    const found = page.plans.get(page.facts[0].key);
    line.replaceChildren(found && one ? command(found.command) : "");
    if (!found || !one) return;
    const turn = page.turn;
    costs.textContent = words.estimating;
    try {
      const cost = await ask("cost", { ...wish(page, page.facts[0]), options: asked(page) });
      if (turn === page.turn) costs.textContent = words.wholeFilm(cost);
    } catch { costs.textContent = ""; }
  };
  place.append(h("h2", {}, words.finish),
    h("div", { class: "fields" }, field(words.folder, "", folder), field(one ? words.name : words.ending, "", named), field(words.container, "", container)),
    h("label", { class: "check" }, box, words.replace), costs,
    h("div", { class: "actions" }, button), said, line);
}

function buildTrying(place, page) {
  if (page.facts.length !== 1) { place.remove(); return; }
  const [film] = page.facts, length = film.seconds ?? 0;
  let results = [], at = Math.min(length / 3, 600), wanted = null, side = [0, 1], frame = null;
  const time = h("output", {}, clock(at, 1));
  const slider = h("input", { type: "range", min: "0", max: String(Math.max(0, length - 0.04)), step: "0.04", value: String(at), oninput: () => moveTo(Number(slider.value)) });
  slider.setAttribute("aria-valuetext", clock(at));
  const strip = h("div", { class: "timeline", "aria-hidden": "true" });
  if (film.seekable && length) for (let i = 0; i < 8; i += 1) {
    const moment = length * (i + 0.5) / 8;
    const thumb = h("button", { type: "button", tabindex: "-1", onclick: () => moveTo(moment) }, picture(film.key, moment.toFixed(3), 120));
    strip.append(thumb);
  }
  const state = h("p", { class: "soft", role: "status" }), bar = h("progress", { max: 1, hidden: true, "aria-label": words.trying });
  const shown = h("div", { class: "shown" });
  const go = h("button", { type: "button", class: "main", id: "preview", onclick: attempt }, words.preview);
  const stop = h("button", { type: "button", hidden: true, onclick: () => ask("stop").catch(() => {}) }, words.stop);
  const moment = field(words.moment, "", slider);
  moment.querySelector("label").append(" ", time);
  place.append(h("h2", {}, words.trying), h("p", { class: "soft" }, words.tryingHelp), strip, moment, h("div", { class: "actions" }, go, stop), state, bar, shown);

  function moveTo(seconds) {
    at = seconds;
    slider.value = String(at);
    slider.setAttribute("aria-valuetext", clock(at));
    time.textContent = clock(at, 1);
  }

  async function attempt() {
    const given = structuredClone(page.options);
    wanted = String(Math.random());
    go.disabled = true;
    stop.hidden = bar.hidden = false;
    bar.removeAttribute("value");
    state.textContent = words.previewing(0, 0);
    heard = content => {
      if (content.id !== wanted) return;
      bar.value = content.frames / content.total;
      state.textContent = words.previewing(content.frames, content.total);
    };
    try {
      const found = await ask("attempt", { ...wish(page, film), at: at.toFixed(3), options: given, id: wanted });
      if (page.gone) return;
      if (results.length && results[0].at !== found.at) results = [];
      found.name = title(given, found.name);
      found.cost = ask("cost", { ...wish(page, film), options: { ...given, overwrite: true } });
      const same = results.findIndex(each => each.name === found.name);
      if (same >= 0) results.splice(same, 1, found); else results.push(found);
      side = results.length > 1 ? [results.length - 1, results.length] : [0, 1];
      frame = null;
      draw();
      state.textContent = words.previewDone;
    } catch (error) {
      state.textContent = "";
      if (!error.stopped) shown.replaceChildren(problem(error));
    }
    go.disabled = false;
    stop.hidden = bar.hidden = true;
  }

  function title(options, model) {
    const { encode, start, duration, model: given, ...others } = options;
    const parts = Object.entries(others).map(([key, value]) => `${key} ${value}`);
    if (encode?.codec) parts.push(encode.codec);
    return [model, ...parts].join(", ");
  }

  function draw() {
    const films = [{ name: words.input, size: film.picture }, ...results];
    const moments = results[0].moments;
    frame ??= Math.floor(moments.length / 2);
    const view = h("div", { class: "view", id: "view" }), stage = h("div", { class: "stage" }, view);
    view.style.aspectRatio = results[0].aspect;
    view.style.maxWidth = `calc(70vh * ${results[0].aspect})`;
    const zoom = h("span", { class: "value" }), pixels = h("button", { type: "button", "aria-pressed": "false", onclick: () => pictures.togglePixels() }, words.pixels);
    const pictures = window.pictureDivider(view, words.divider, () => {
      zoom.textContent = pictures.zoomText();
      pixels.setAttribute("aria-pressed", String(pictures.state.pixels));
    });
    const when = h("span", { class: "when", "aria-live": "polite" });
    const source = index => index === 0 ? results[0].moments[frame].images[0] : results[index - 1].moments[frame].images[1];
    const put = () => {
      pictures.show(...side.map(index => ({ ...films[index], src: source(index), alt: `${films[index].name}, ${moments[frame].clock}` })));
      when.textContent = `${moments[frame].clock} · ${frame + 1}/${moments.length}`;
    };
    const step = by => { frame = Math.min(moments.length - 1, Math.max(0, frame + by)); put(); };
    const chooser = index => {
      const node = select(films.map((each, i) => [String(i), each.name]), String(side[index]), value => { side[index] = Number(value); put(); });
      return h("label", { class: "side" }, index ? words.right : words.left, " ", node);
    };
    stage.addEventListener("keydown", event => {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const action = pictures.keyed(event);
      if (action) { event.preventDefault(); action(); }
    });
    const button = (text, label, go) => h("button", { type: "button", class: "sign", "aria-label": label, onclick: go }, text);
    shown.replaceChildren(stage, h("div", { class: "pictures-bar" },
      h("div", { class: "group" }, button("‹", words.previousFrame, () => step(-1)), when, button("›", words.nextFrame, () => step(1))),
      h("div", { class: "group", role: "group", "aria-label": words.zoom }, button("−", words.zoomOut, () => pictures.zoomAt(1 / 1.5)), zoom, button("+", words.zoomIn, () => pictures.zoomAt(1.5))),
      pixels,
      results.length > 1 ? h("div", { class: "group sides" }, chooser(0), chooser(1),
        h("button", { type: "button", onclick: () => { results = results.slice(-1); side = [0, 1]; draw(); } }, words.clearVariants)) : h("span", { class: "soft" }, words.addVariantHelp)),
      h("ul", { class: "variants" }, results.map(each => {
        const cost = h("span", { class: "soft" }, words.estimating);
        each.cost.then(found => { cost.textContent = words.wholeFilm(found); }, () => { cost.textContent = ""; });
        return h("li", {}, h("strong", {}, each.name), " ", cost);
      })));
    put();
  }
}
