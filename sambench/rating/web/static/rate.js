"use strict";
// The rating page. A rating is kept in the browser until the server has said that it is stored; only then the next mask is shown.
(() => {
  const VIEWS = ["image", "outline", "overlay", "cutout", "zoom"];
  const BLINKS_TO = { image: "overlay", outline: "image", overlay: "image", cutout: "image", zoom: "plain" };
  const LABEL = { image: "the image", outline: "the outline", overlay: "the mask filled in", cutout: "the cut-out", zoom: "the zoom", plain: "the zoom without the mask" };
  const GUARD_MS = 350; // the second click of a double click must not rate the next mask
  const MOST_SCALE = 24;
  const $ = (id) => document.getElementById(id);
  const body = document.body, base = body.dataset.base, practising = body.dataset.mode === "practice";
  const stage = $("stage"), pan = $("pan"), scale = $("scale");
  const KEPT = "sambench rating " + base;

  let state = JSON.parse($("state").textContent);
  let job = null, view = "overlay", blinking = false, ready = false, busy = false, shown = 0, looked = 0, since = 0, startedAt = "";
  let ahead = [];
  const pictures = {};
  const places = { frame: null, close: null }; // where the stage looks: {scale, x, y}, of the whole image and of the zoom

  document.documentElement.classList.add("js");
  for (const name of [...VIEWS, "plain"]) {
    pictures[name] = pan.appendChild(new Image());
    pictures[name].alt = "";
    pictures[name].draggable = false;
  }

  // --- what is on screen

  async function show(next) {
    state = next;
    if (!state.slots.length || state.paused) { location.assign(base + "/rate"); return; }
    job = state.slots[0];
    ready = false;
    body.classList.add("waits");
    $("waiting").hidden = false;
    blinking = false;
    places.frame = places.close = null;
    for (const button of scale.querySelectorAll("button")) button.classList.remove("chosen");
    scale.elements.slot.value = job.slot;
    scale.elements.round.value = job.round;
    progress();
    const mine = job;
    for (const button of document.querySelectorAll(".view")) button.querySelector("img").src = job.views[button.dataset.view];
    for (const name of Object.keys(pictures)) {
      if (job.views[name]) pictures[name].src = job.views[name]; else pictures[name].removeAttribute("src");
    }
    draw();
    const loaded = await Promise.allSettled(VIEWS.map((name) => pictures[name].decode()));
    if (job !== mine) return;
    if (loaded.some((one) => one.status === "rejected")) {
      trouble("A picture did not arrive.", "Try again", () => show(state));
      return;
    }
    $("waiting").hidden = true;
    trouble("");
    body.classList.remove("waits");
    ready = true;
    places.frame = places.close = null;
    shown = performance.now();
    startedAt = new Date().toISOString();
    looked = 0;
    since = document.hidden ? 0 : shown;
    draw();
    stage.focus({ preventScroll: true });
    const following = state.slots[1];
    ahead = following ? Object.values(following.views).map((url) => { const one = new Image(); one.src = url; return one; }) : [];
  }

  function progress() {
    $("progress").textContent = practising ? `${Math.min(state.n_rated + 1, state.n_all)} of ${state.n_all}` : `${state.n_rated} rated · study ${state.share} %`;
    if (practising) return;
    $("undo").disabled = !state.last;
    $("undo-slot").value = state.last ? state.last.slot : "";
  }

  function place() {
    const group = view === "zoom" ? "close" : "frame";
    places[group] = places[group] || fitted();
    return places[group];
  }

  function size() {
    const one = pictures[view === "zoom" ? "zoom" : "image"];
    return { w: one.naturalWidth || 4, h: one.naturalHeight || 3 };
  }

  function fitted() {
    const { w, h } = size(), s = Math.min(stage.clientWidth / w, stage.clientHeight / h);
    return { scale: s, x: (stage.clientWidth - w * s) / 2, y: (stage.clientHeight - h * s) / 2 };
  }

  function draw() {
    const on = blinking ? BLINKS_TO[view] : view;
    for (const [name, one] of Object.entries(pictures)) one.classList.toggle("on", ready && name === on);
    const { w, h } = size(), at = place();
    pan.style.width = w + "px";
    pan.style.height = h + "px";
    pan.style.transform = `translate(${at.x}px, ${at.y}px) scale(${at.scale})`;
    pan.classList.toggle("close", at.scale * devicePixelRatio > 3);
    for (const button of document.querySelectorAll(".view")) button.setAttribute("aria-pressed", String(button.dataset.view === view));
    $("blink").setAttribute("aria-pressed", String(blinking));
    stage.setAttribute("aria-label", `Large view: ${LABEL[on]}`);
  }

  function zoom(factor, x = stage.clientWidth / 2, y = stage.clientHeight / 2) {
    const at = place(), least = fitted().scale, s = Math.min(Math.max(at.scale * factor, least), Math.max(MOST_SCALE, least));
    at.x = x - (x - at.x) * (s / at.scale);
    at.y = y - (y - at.y) * (s / at.scale);
    at.scale = s;
    keepInside();
  }

  function keepInside() {
    const at = place(), { w, h } = size();
    const held = (low, room, length) => length <= room ? (room - length) / 2 : Math.min(0, Math.max(room - length, low));
    at.x = held(at.x, stage.clientWidth, w * at.scale);
    at.y = held(at.y, stage.clientHeight, h * at.scale);
    draw();
  }

  function fit() { places[view === "zoom" ? "close" : "frame"] = null; draw(); }
  function choose(name) { view = name; blinking = false; draw(); }
  function step(by) { choose(VIEWS[(VIEWS.indexOf(view) + by + VIEWS.length) % VIEWS.length]); }
  function blink() { blinking = !blinking; draw(); }

  // --- what is said

  let fading = 0;
  function say(text) {
    $("said").textContent = text;
    clearTimeout(fading);
    fading = setTimeout(() => { $("said").textContent = ""; }, 4000);
  }

  function trouble(text, label, act) {
    const box = $("trouble");
    box.hidden = !text;
    box.textContent = text;
    if (label) {
      const button = box.appendChild(document.createElement("button"));
      button.type = "button";
      button.textContent = label;
      button.addEventListener("click", act);
    }
  }

  // --- ratings

  function seconds() { return (looked + (since ? performance.now() - since : 0)) / 1000; }

  function rate(score) {
    if (!ready || busy || performance.now() - shown < GUARD_MS) return;
    for (const button of scale.querySelectorAll("button")) button.classList.toggle("chosen", button.value === score);
    const random = Array.from(crypto.getRandomValues(new Uint8Array(12)), (b) => b.toString(16).padStart(2, "0")).join("");
    const answer = { slot: job.slot, round: job.round, score, attempt: random, seconds: seconds().toFixed(3), started_at: startedAt };
    if (!practising) keep(answer);
    deliver(answer);
  }

  function keep(answer) {
    try {
      if (answer) localStorage.setItem(KEPT, JSON.stringify(answer)); else localStorage.removeItem(KEPT);
    } catch { /* a private window: the page itself holds it */ }
  }

  function kept() {
    try { return JSON.parse(localStorage.getItem(KEPT)); } catch { return null; }
  }

  // Send until the server has answered; the same attempt may arrive twice, and is stored once.
  async function send(path, fields) {
    for (let wait = 400; ; wait = Math.min(2 * wait, 10000)) {
      try {
        const options = { method: "POST", headers: { accept: "application/json" }, body: new URLSearchParams(fields), signal: AbortSignal.timeout(15000) };
        const answer = await fetch(base + path, options);
        if (answer.status < 500) {
          const found = await answer.json();
          trouble("");
          return { ok: answer.ok, found };
        }
      } catch { /* no connection, or it broke off */ }
      trouble("No connection. Your rating is kept here, and sent as soon as there is one.");
      await new Promise((resolve) => { setTimeout(resolve, wait); addEventListener("online", resolve, { once: true }); });
    }
  }

  async function deliver(answer) {
    busy = true;
    const { ok, found } = await send(practising ? "/practice" : "/rate", answer);
    keep(null);
    busy = false;
    if (!ok) { trouble(found.text || "That did not work.", "Reload", () => location.reload()); return; }
    if (practising) { judge(found); return; }
    const word = found.score === null ? "can’t judge" : found.score;
    if (found.outcome === "stored") say(`Stored: ${word}`);
    else if (found.outcome === "kept") say(`This mask was rated already: ${word} stays.`);
    else say("This mask was taken back meanwhile: rate it anew.");
    await show(found);
    rest();
  }

  async function undo() {
    if (busy || practising || !state.last) return;
    busy = true;
    const before = state.last.score === null ? "can’t judge" : state.last.score;
    const { ok, found } = await send("/undo", { slot: state.last.slot });
    busy = false;
    if (!ok) { trouble(found.text, "Reload", () => location.reload()); return; }
    say(found.outcome === "undone" ? `Taken back: it was ${before}.` : "Nothing to take back.");
    show(found);
  }

  function judge(found) {
    const { right, yours, answer, why } = found.verdict, box = $("verdict");
    box.classList.toggle("wrong", !right);
    $("verdict-title").textContent = right ? `${yours}: just so` : `${yours}? We would say ${answer}`;
    $("verdict-text").textContent = why;
    box.addEventListener("close", () => show(found), { once: true });
    box.showModal();
  }

  // --- breaks

  let working = Date.now(), lastRating = Date.now();
  function rest() {
    const minutes = Number(body.dataset.break), now = Date.now();
    if (now - lastRating > 5 * 60000) working = now;
    lastRating = now;
    if (!minutes || now - working < minutes * 60000) return;
    $("minutes").textContent = String(Math.max(1, Math.round((now - working) / 60000)));
    working = now;
    $("resting").addEventListener("close", () => { shown = performance.now(); looked = 0; since = shown; working = Date.now(); stage.focus(); }, { once: true });
    $("resting").showModal();
  }

  // --- other tabs, sleep, the back button: what the server says counts

  async function refresh() {
    if (practising || busy) return;
    try {
      const answer = await fetch(base + "/stand", { headers: { accept: "application/json" } });
      if (!answer.ok || busy) return;
      const found = await answer.json(), next = found.slots[0];
      if (found.paused || !next || !job || next.slot !== job.slot || next.round !== job.round) show(found);
      else { state = found; progress(); }
    } catch { /* the next rating will tell */ }
  }

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { looked += since ? performance.now() - since : 0; since = 0; }
    else { since = ready ? performance.now() : 0; refresh(); }
  });
  addEventListener("pageshow", (event) => { if (event.persisted) refresh(); });
  addEventListener("resize", () => { places.frame = places.close = null; draw(); });

  // --- hands

  scale.addEventListener("submit", (event) => { event.preventDefault(); rate(event.submitter.value); });
  if (!practising) $("undo-form").addEventListener("submit", (event) => { event.preventDefault(); undo(); });
  for (const button of document.querySelectorAll(".view")) button.addEventListener("click", () => choose(button.dataset.view));
  $("blink").addEventListener("click", blink);
  $("in").addEventListener("click", () => zoom(1.5));
  $("out").addEventListener("click", () => zoom(1 / 1.5));
  $("fit").addEventListener("click", fit);
  $("help").addEventListener("click", () => $("helping").showModal());

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || document.querySelector("dialog[open]")) return;
    const key = event.key.toLowerCase();
    if (key >= "0" && key <= "9" && key.length === 1) rate(key === "0" ? "10" : key);
    else if (key === " " && !event.target.closest("button, a")) { blink(); }
    else if (key === "arrowright") step(1);
    else if (key === "arrowleft") step(-1);
    else if (key === "+" || key === "=") zoom(1.5);
    else if (key === "-") zoom(1 / 1.5);
    else if (key === "f") fit();
    else if (key === "u") undo();
    else if (key === "x" && !practising) rate("none");
    else if (key === "?") $("helping").showModal();
    else return;
    if (key !== " " || !event.target.closest("button, a")) event.preventDefault();
  });

  const fingers = new Map();
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = stage.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY * (event.ctrlKey ? 0.01 : 0.0015)), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  stage.addEventListener("pointerdown", (event) => {
    if (event.target.closest("button")) return;
    stage.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, { x: event.clientX, y: event.clientY });
    stage.classList.add("dragging");
  });
  stage.addEventListener("pointermove", (event) => {
    const from = fingers.get(event.pointerId);
    if (!from) return;
    const to = { x: event.clientX, y: event.clientY }, at = place();
    if (fingers.size === 2) {
      const other = [...fingers].find(([id]) => id !== event.pointerId)[1], box = stage.getBoundingClientRect();
      const spread = (a) => Math.hypot(a.x - other.x, a.y - other.y);
      zoom(spread(to) / Math.max(1, spread(from)), (to.x + other.x) / 2 - box.left, (to.y + other.y) / 2 - box.top);
    } else {
      at.x += to.x - from.x;
      at.y += to.y - from.y;
      keepInside();
    }
    fingers.set(event.pointerId, to);
  });
  for (const kind of ["pointerup", "pointercancel"]) {
    stage.addEventListener(kind, (event) => { fingers.delete(event.pointerId); if (!fingers.size) stage.classList.remove("dragging"); });
  }
  stage.addEventListener("dblclick", (event) => {
    if (event.target.closest("button")) return;
    const box = stage.getBoundingClientRect();
    if (place().scale > 1.05 * fitted().scale) fit(); else zoom(3, event.clientX - box.left, event.clientY - box.top);
  });

  const pending = practising ? null : kept();
  show(state).then(() => {
    if (!pending) return;
    trouble("Sending a rating that was kept here…");
    deliver(pending);
  });
})();
