// Keep a page fresh. Its stream says that something is new; the page is then fetched again, and the
// regions that differ are put in place of this one's. A tab that is hidden lets go of its stream.
// Without scripts the page reloads by itself.

const QUIET_MS = 700; // between two looks, however much is told
const GATHER_MS = 30; // what is told together is looked at once
const RETRY_MS = 5000; // after a stream that was refused, or a server that is away
const KINDS = ["event", "points", "log", "progress", "job", "gone"];

const live = () => document.getElementById("live");
const refreshSeconds = () => Number(live().dataset.refreshSeconds);

let source = null;
let timer = null; // of the next look
let clock = null; // of looks that nothing is told about
let retry = null; // of a stream that was refused
let lookedAt = 0;
let isLooking = false;
let isStale = false;

async function freshPage() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  return new DOMParser().parseFromString(await answer.text(), "text/html");
}

const names = (part) => [...part.querySelectorAll("[data-region]")].map((one) => one.dataset.region);

// Where regions came or went, all of the part is new; else only those that differ.
function putInPlace(part) {
  const old = live();
  if (names(old).join() !== names(part).join()) {
    keepingFocus(old, part, () => old.replaceWith(document.adoptNode(part)));
    return;
  }
  for (const name of names(part)) {
    const [before, after] = [old, part].map((one) => one.querySelector(`[data-region="${name}"]`));
    if (before.outerHTML !== after.outerHTML) {
      keepingFocus(before, after, () => before.replaceWith(document.adoptNode(after)));
    }
  }
  old.dataset.refreshSeconds = part.dataset.refreshSeconds;
  old.dataset.stream = part.dataset.stream;
}

// The focus stays on the link or button that had it, a log at its end, a list where it was.
function keepingFocus(before, after, replace) {
  const focused = before.contains(document.activeElement) ? document.activeElement : null;
  const scrolls = [...before.querySelectorAll("[tabindex]")].map((one) => [
    one.scrollTop, one.scrollLeft, one.scrollTop + one.clientHeight >= one.scrollHeight - 4,
  ]);
  const label = focused && (focused.getAttribute("aria-labelledby") || focused.textContent);
  const open = [...before.querySelectorAll("details")].map((one) => one.open);
  replace();
  after.querySelectorAll("details").forEach((one, at) => { if (open[at]) one.open = true; });
  after.querySelectorAll("[tabindex]").forEach((one, at) => {
    const [top, left, wasAtEnd] = scrolls[at] || [0, 0, true];
    one.scrollTop = "follow" in one.dataset && wasAtEnd ? one.scrollHeight : top;
    one.scrollLeft = left;
  });
  if (focused === null) return;
  [...after.querySelectorAll("a, button, [tabindex]")]
    .find((one) => (one.getAttribute("aria-labelledby") || one.textContent) === label)
    ?.focus({ preventScroll: true });
}

// A reader hears a new state once, not every percent.
function announce() {
  const place = document.getElementById("announce");
  const words = live().querySelector(".state")?.textContent ?? "";
  if (place && place.textContent !== words) place.textContent = words;
}

async function look() {
  clearTimeout(timer);
  timer = null;
  if (isLooking) {
    isStale = true;
    return;
  }
  isLooking = true;
  isStale = false;
  try {
    putInPlace((await freshPage()).getElementById("live"));
    announce();
  } catch {
    setTimeout(lookSoon, RETRY_MS); // the server may be away for a moment
  } finally {
    isLooking = false;
    lookedAt = performance.now();
  }
  tick();
  if (isStale) lookSoon();
}

// Almost at once where nothing was told for a while.
function lookSoon() {
  if (timer !== null || document.hidden) return;
  timer = setTimeout(look, Math.max(GATHER_MS, lookedAt + QUIET_MS - performance.now()));
}

// What no stream tells of, such as how long ago something was, is looked at from time to time.
function tick() {
  clearTimeout(clock);
  if (refreshSeconds() > 0 && !document.hidden) clock = setTimeout(look, refreshSeconds() * 1000);
}

function open() {
  close();
  source = new EventSource(live().dataset.stream);
  for (const kind of KINDS) source.addEventListener(kind, lookSoon);
  source.addEventListener("end", () => {
    close();
    lookSoon();
  });
  source.addEventListener("error", () => {
    if (source?.readyState !== EventSource.CLOSED) return; // else the browser comes back itself
    close();
    retry = setTimeout(open, RETRY_MS);
  });
}

function close() {
  clearTimeout(retry);
  source?.close();
  source = null;
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    close();
    clearTimeout(timer);
    clearTimeout(clock);
    timer = null;
  } else {
    open();
    lookSoon();
  }
});
addEventListener("pagehide", close);
addEventListener("pageshow", (shown) => { if (shown.persisted) { open(); lookSoon(); } });

for (const one of document.querySelectorAll("[data-follow]")) one.scrollTop = one.scrollHeight;
if (!document.hidden) open();
tick();
