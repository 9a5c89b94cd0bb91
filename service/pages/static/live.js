// Keep a job's page fresh: fetch the page again and put its live part in place of this one's.
// Without scripts the page reloads by itself.

const RETRY_SECONDS = 5;
const FOCUSABLE = "a, button";

const livePart = () => document.getElementById("live");
const secondsOf = (part) => Number(part.dataset.refreshSeconds);

async function freshPart() {
  const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
  if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  return document.adoptNode(page.getElementById("live"));
}

// The focus stays on the link or button that had it, where that is still there.
function putInPlace(part) {
  const old = livePart();
  const focused = old.contains(document.activeElement) ? document.activeElement.textContent : null;
  old.replaceWith(part);
  if (focused === null) return;
  [...part.querySelectorAll(FOCUSABLE)].find((e) => e.textContent === focused)?.focus();
}

// A reader hears a new state once, not every percent.
function announce(part) {
  const words = part.querySelector(".state").textContent;
  const place = document.getElementById("announce");
  if (place.textContent !== words) place.textContent = words;
}

async function refresh() {
  let wait = RETRY_SECONDS;
  try {
    const part = await freshPart();
    putInPlace(part);
    announce(part);
    wait = secondsOf(part);
    if (wait === 0) return;
  } catch {
    // the server may be away for a moment: ask again
  }
  setTimeout(refresh, wait * 1000);
}

setTimeout(refresh, secondsOf(livePart()) * 1000);
