"use strict";
// Two pictures under a divider, with zoom: of the comparison page and of `vsr ui`.
// `view` is an empty element; `changed` is called after each change of `state`.
function pictureDivider(view, label, changed) {
  const state = { split: 50, zoom: 1, x: 0, y: 0, pixels: false };
  const clamp = (x, low, high) => Math.min(high, Math.max(low, x));
  const make = (tag, attributes, ...children) => {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };
  const images = ["left", "right"].map(id => make("img", { id, alt: "", draggable: "false" }));
  const over = make("div", { class: "layer", id: "over" }, images[1]);
  const tags = ["left", "right"].map(side => make("div", { class: `tag ${side}`, id: `tag-${side}` }));
  const grip = make("i", { "aria-hidden": "true" });
  grip.innerHTML = '<svg width="18" height="12" viewBox="0 0 18 12" fill="none" stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"><path d="M6 1 1 6l5 5M12 1l5 5-5 5"/></svg>';
  const divider = make("div", { class: "divider", id: "divider", role: "slider", tabindex: "0", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 }, grip);
  view.append(make("div", { class: "layer" }, images[0]), over, ...tags, divider);
  let names = ["", ""];

  // Each side: src, name, size, alt.
  function show(...sides) {
    sides.forEach((side, i) => {
      if (images[i].getAttribute("src") !== side.src) images[i].src = side.src;
      images[i].alt = side.alt;
      tags[i].replaceChildren(make("b", {}, side.name), make("span", {}, "  " + side.size));
    });
    names = sides.map(side => side.name);
    draw();
  }

  function draw() {
    const box = view.getBoundingClientRect();
    state.x = clamp(state.x, box.width * (1 - state.zoom), 0);
    state.y = clamp(state.y, box.height * (1 - state.zoom), 0);
    for (const image of images) image.style.transform = `translate(${state.x}px, ${state.y}px) scale(${state.zoom})`;
    over.style.clipPath = `inset(0 0 0 ${state.split}%)`;
    divider.style.left = state.split + "%";
    divider.setAttribute("aria-valuenow", Math.round(state.split));
    divider.setAttribute("aria-valuetext", `${Math.round(state.split)} % ${names[0]}`);
    view.classList.toggle("zoomed", state.zoom > 1);
    view.classList.toggle("pixels", state.pixels);
    changed();
  }

  function zoomAt(factor, x, y) {
    const box = view.getBoundingClientRect();
    const px = x === undefined ? box.width / 2 : x - box.left, py = y === undefined ? box.height / 2 : y - box.top;
    const next = clamp(state.zoom * factor, 1, 32), k = next / state.zoom;
    state.x = px - (px - state.x) * k;
    state.y = py - (py - state.y) * k;
    state.zoom = next;
    draw();
  }

  function splitAt(x) {
    const box = view.getBoundingClientRect();
    state.split = clamp((x - box.left) / box.width * 100, 0, 100);
    draw();
  }

  const pointers = new Map();
  let dragging = null, apart = 0;
  view.addEventListener("pointerdown", event => {
    if (event.pointerType === "mouse" && event.button) return;
    pointers.set(event.pointerId, event);
    if (pointers.size === 2) {
      const [a, b] = [...pointers.values()];
      apart = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
      dragging = "pinch";
      return;
    }
    const gripped = divider.contains(event.target);
    dragging = gripped || state.zoom === 1 ? "split" : "pan";
    view.setPointerCapture(event.pointerId);
    view.classList.toggle("panning", dragging === "pan");
    if (gripped) divider.focus({ preventScroll: true });
    if (dragging === "split" && event.pointerType === "mouse") splitAt(event.clientX);
  });
  view.addEventListener("pointermove", event => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    pointers.set(event.pointerId, event);
    if (dragging === "pinch" && pointers.size === 2) {
      const [a, b] = [...pointers.values()];
      const now = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
      zoomAt(now / apart, (a.clientX + b.clientX) / 2, (a.clientY + b.clientY) / 2);
      apart = now;
    } else if (dragging === "split") {
      splitAt(event.clientX);
    } else if (dragging === "pan") {
      state.x += event.clientX - before.clientX;
      state.y += event.clientY - before.clientY;
      draw();
    }
  });
  for (const name of ["pointerup", "pointercancel"]) view.addEventListener(name, event => {
    pointers.delete(event.pointerId);
    if (!pointers.size || dragging === "pinch") dragging = null;
    view.classList.remove("panning");
  });
  view.addEventListener("dblclick", event => {
    if (divider.contains(event.target)) return;
    zoomAt(state.zoom > 1 ? 1 / state.zoom : 4, event.clientX, event.clientY);
  });
  view.addEventListener("wheel", event => {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    zoomAt(Math.exp(-event.deltaY / 200), event.clientX, event.clientY);
  }, { passive: false });

  // What a key does here; undefined for others.
  function keyed(event) {
    const far = event.shiftKey ? 10 : 2, reach = view.clientWidth / 8;
    const pan = (x, y) => () => { state.x += x; state.y += y; draw(); };
    return {
      ArrowLeft: () => { state.split = clamp(state.split - far, 0, 100); draw(); },
      ArrowRight: () => { state.split = clamp(state.split + far, 0, 100); draw(); },
      "+": () => zoomAt(1.5), "=": () => zoomAt(1.5), "-": () => zoomAt(1 / 1.5), "0": () => zoomAt(1 / state.zoom),
      w: pan(0, reach), s: pan(0, -reach), a: pan(reach, 0), d: pan(-reach, 0), p: togglePixels,
    }[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  }

  function togglePixels() {
    state.pixels = !state.pixels;
    draw();
  }

  function zoomText() {
    return "×" + (state.zoom < 10 ? state.zoom.toFixed(1).replace(/\.0$/, "") : Math.round(state.zoom));
  }

  new ResizeObserver(draw).observe(view);
  return { state, show, draw, zoomAt, keyed, togglePixels, zoomText };
}
