"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const STORE = `hcp-votes:${data.page}`;
  const PLACES = ["first", "second"];
  const KEYS = {
    arrowleft: "left", a: "left", 1: "left", arrowright: "right", b: "right", 2: "right",
    arrowdown: "tie", " ": "tie", x: "cannot_say",
  };
  const SECONDS_A_PAIR = 5; // of the estimate that the first screen gives
  const TOO_SOON_MS = 150; // after a pair has come: the end of a double press, not a vote
  const HOLD_MS = 250; // a longer press magnifies instead of choosing
  const AHEAD = 3; // pairs that are decoded before they are asked for

  const $ = (id) => document.getElementById(id);
  const stage = $("stage"), frames = [...stage.querySelectorAll(".frame")];
  let session = null; // {rater, seed, started, votes}
  let trials = []; // what this rater is shown, in order: {pair, left, repeat}
  let shownAt = null; // when the pair was there, less the time that the page was hidden
  let hiddenAt = null;
  const ready = new Map(); // number of a trial -> promise of its two decoded pictures

  // The order and the sides, from the rater's seed alone: mulberry32, Fisher-Yates.
  function generator(seed) {
    let state = parseInt(seed, 16) >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), state | 1);
      t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
      return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
  }

  function shuffled(items, random) {
    const mixed = [...items];
    for (let i = mixed.length - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [mixed[i], mixed[j]] = [mixed[j], mixed[i]];
    }
    return mixed;
  }

  function trialsOf(seed) {
    const random = generator(seed);
    const first = shuffled(data.pairs.keys(), random).map((pair) => ({
      pair, left: random() < 0.5 ? 0 : 1, repeat: false,
    }));
    // Pairs of the first half come again in the second, with their sides swapped.
    const half = Math.ceil(first.length / 2);
    const again = shuffled(first.slice(0, half), random).slice(0, data.repeats)
      .map(({ pair, left }) => ({ pair, left: 1 - left, repeat: true }));
    return [...first.slice(0, half), ...shuffled([...first.slice(half), ...again], random)];
  }

  // What the browser keeps: every sitting at this page, by its seed.
  function kept() {
    try {
      return JSON.parse(localStorage.getItem(STORE)) || {};
    } catch {
      return {};
    }
  }

  function keep() {
    try {
      localStorage.setItem(STORE, JSON.stringify({ ...kept(), [session.seed]: session }));
      $("unsaved").hidden = true;
    } catch {
      $("unsaved").hidden = false;
    }
  }

  function show(screen) {
    for (const id of ["start", "vote", "done"]) $(id).hidden = id !== screen;
  }

  function showStart() {
    session = null;
    show("start");
    const n = data.pairs.length + data.repeats;
    const minutes = Math.max(1, Math.round((n * SECONDS_A_PAIR) / 60));
    $("total").textContent = `${n} pairs`;
    $("minutes").textContent = minutes === 1 ? "a minute" : `${minutes} minutes`;
    const known = Object.values(kept()).filter((each) => each.votes.length);
    $("saved").hidden = !known.length;
    $("sessions").replaceChildren(...known.map((each) => {
      const item = document.createElement("li"), button = document.createElement("button");
      const name = document.createElement("b"), at = document.createElement("span");
      name.textContent = each.rater;
      at.textContent = each.votes.length < n ? `${each.votes.length} of ${n}` : "all done";
      button.type = "button";
      button.append(name, at);
      button.addEventListener("click", () => begin(each));
      item.append(button);
      return item;
    }));
    $("rater").focus();
  }

  function begin(chosen) {
    session = chosen;
    trials = trialsOf(session.seed);
    ready.clear();
    keep();
    goOn();
  }

  function goOn() {
    const at = session.votes.length;
    if (at >= trials.length) showDone();
    else showPair(at);
  }

  function decoded(number) {
    if (!ready.has(number)) {
      const { pair, left } = trials[number];
      const [a, b] = [left, 1 - left].map((place) => {
        const image = new Image();
        image.src = data.pairs[pair].pictures[place];
        image.draggable = false;
        return image;
      });
      a.alt = "Picture 1";
      b.alt = "Picture 2";
      // A picture that this browser cannot decode is shown as broken: there is a vote for that.
      ready.set(number, Promise.allSettled([a.decode(), b.decode()]).then(() => [a, b]));
    }
    return ready.get(number);
  }

  async function showPair(number) {
    shownAt = null;
    show("vote");
    const { prompt, ratio } = data.pairs[trials[number].pair];
    const images = await decoded(number);
    if (session === null || session.votes.length !== number) return; // went on meanwhile
    images.forEach((image, i) => {
      frames[i].querySelector("img")?.remove();
      frames[i].append(image);
    });
    $("prompt").textContent = prompt;
    $("at").textContent = number + 1;
    $("of").textContent = trials.length;
    $("progress").value = number / trials.length;
    $("undo").disabled = number === 0;
    $("live").textContent = `Pair ${number + 1} of ${trials.length}. ${prompt}`;
    fit(ratio);
    requestAnimationFrame(() => { shownAt = performance.now(); });
    for (const old of ready.keys()) if (old < number - 1 || old > number + AHEAD) ready.delete(old);
    for (let i = 1; i <= AHEAD && number + i < trials.length; i++) decoded(number + i);
  }

  // Beside each other or one above the other: whichever shows them larger.
  function fit(ratio) {
    const { width, height } = stage.getBoundingClientRect(), gap = 14;
    const row = Math.min((width - gap) / 2, height * ratio);
    const column = Math.min(width, ((height - gap) / 2) * ratio);
    const best = Math.max(row, column);
    stage.classList.toggle("stack", column > row);
    stage.style.setProperty("--w", `${Math.floor(best)}px`);
    stage.style.setProperty("--h", `${Math.floor(best / ratio)}px`);
  }

  function vote(said) {
    if (shownAt === null || performance.now() - shownAt < TOO_SOON_MS) return;
    const { pair, left, repeat } = trials[session.votes.length];
    const places = { left: PLACES[left], right: PLACES[1 - left] };
    session.votes.push({
      pair: data.pairs[pair].id,
      choice: places[said] || said,
      left: PLACES[left],
      repeat,
      ms: Math.round(performance.now() - shownAt),
    });
    keep();
    goOn();
  }

  function undo() {
    if (!session.votes.length) return;
    session.votes.pop();
    keep();
    goOn();
  }

  function ballot() {
    return JSON.stringify({
      format: "hcp-votes/1",
      page: data.page,
      rater: session.rater,
      seed: session.seed,
      started: session.started,
      saved: new Date().toISOString(),
      complete: session.votes.length === trials.length,
      votes: session.votes,
    }, null, 1);
  }

  function save() {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([ballot()], { type: "application/json" }));
    const name = session.rater.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "") || "rater";
    link.download = `votes-${data.page}-${name}.json`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
    $("told").textContent = `Saved as ${link.download} where this browser puts downloads.`;
  }

  async function copy() {
    $("text").value = ballot();
    try {
      await navigator.clipboard.writeText($("text").value);
      $("told").textContent = "Copied: paste them into a message.";
    } catch {
      $("text").closest("details").open = true;
      $("text").select();
      $("told").textContent = "This browser does not let pages copy: copy the marked text.";
    }
  }

  function showDone() {
    show("done");
    const spent = session.votes.reduce((sum, { ms }) => sum + ms, 0) / 60000;
    const minutes = spent < 1 ? "less than a minute" : `about ${Math.ceil(spent)} minutes`;
    $("summary").textContent = `${session.votes.length} answers from ${session.rater} in ${minutes}.`;
    $("text").value = ballot();
    $("told").textContent = "";
    $("thanks").focus();
  }

  // The magnifier shows the same part of both pictures.
  let held = null, heldLong = false;
  const magnifying = () => heldLong || $("magnify").getAttribute("aria-pressed") === "true";

  function look(event) {
    stage.classList.toggle("magnified", magnifying());
    const frame = event?.target.closest?.(".frame");
    if (!frame) return;
    const box = frame.getBoundingClientRect();
    const share = (at, from, size) => `${Math.min(100, Math.max(0, (100 * (at - from)) / size))}%`;
    stage.style.setProperty("--x", share(event.clientX, box.left, box.width));
    stage.style.setProperty("--y", share(event.clientY, box.top, box.height));
  }

  function release() {
    clearTimeout(held);
    heldLong = false;
    look(null);
  }

  function toggleMagnifier() {
    const on = $("magnify").getAttribute("aria-pressed") !== "true";
    $("magnify").setAttribute("aria-pressed", String(on));
    look(null);
  }

  for (const frame of frames) {
    frame.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      frame.dataset.magnified = "";
      held = setTimeout(() => {
        heldLong = true;
        frame.dataset.magnified = "yes";
        look(event);
      }, HOLD_MS);
    });
    frame.addEventListener("pointermove", look);
    frame.addEventListener("click", () => {
      if (frame.dataset.magnified !== "yes") vote(frame.dataset.choice);
    });
    frame.addEventListener("contextmenu", (event) => event.preventDefault());
  }
  for (const end of ["pointerup", "pointercancel", "blur"]) addEventListener(end, release);

  for (const button of document.querySelectorAll("footer button[data-choice]")) {
    button.addEventListener("click", () => vote(button.dataset.choice));
  }
  // After a click the keys belong to the page again, not to the button that was clicked.
  $("vote").addEventListener("click", (event) => {
    if (event.detail > 0) document.activeElement?.blur();
  });
  $("undo").addEventListener("click", undo);
  $("magnify").addEventListener("click", toggleMagnifier);
  $("save-now").addEventListener("click", save);
  $("save").addEventListener("click", save);
  $("copy").addEventListener("click", copy);
  $("again").addEventListener("click", undo);
  $("other").addEventListener("click", showStart);

  addEventListener("keydown", (event) => {
    if ($("vote").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
    const key = event.key.toLowerCase();
    if ((key === " " || key === "enter") && event.target.closest("button")) return; // presses it
    const act = key === "backspace" || key === "u" ? undo : key === "m" ? toggleMagnifier : null;
    if (!act && !(key in KEYS)) return;
    event.preventDefault();
    if (event.repeat) return;
    if (act) act();
    else vote(KEYS[key]);
  });

  $("begin").addEventListener("submit", (event) => {
    event.preventDefault();
    const seed = crypto.getRandomValues(new Uint32Array(1))[0].toString(16).padStart(8, "0");
    const rater = $("rater").value.trim() || `rater ${seed}`;
    const same = (each) => each.rater.toLowerCase() === rater.toLowerCase();
    const known = Object.values(kept()).find(same);
    begin(known || { rater, seed, started: new Date().toISOString(), votes: [] });
  });

  document.addEventListener("visibilitychange", () => {
    if (document.hidden) hiddenAt = performance.now();
    else if (hiddenAt !== null) {
      if (shownAt !== null) shownAt += performance.now() - hiddenAt;
      hiddenAt = null;
    }
  });
  // The same sitting in another tab: go on from there.
  addEventListener("storage", (event) => {
    if (event.key !== STORE || session === null) return;
    const theirs = kept()[session.seed];
    if (theirs && theirs.votes.length !== session.votes.length) {
      session = theirs;
      goOn();
    }
  });
  addEventListener("resize", () => {
    const trial = session && trials[session.votes.length];
    if (trial) fit(data.pairs[trial.pair].ratio);
  });

  showStart();
})();
