// The table of runs: the place of a mistake in the filter, and the runs chosen for comparison,
// which stay chosen from page to page because the address holds them.

const mistake = document.querySelector("[data-position]");
if (mistake) {
  const place = Number(mistake.dataset.position) - 1;
  mistake.focus();
  mistake.setSelectionRange(place, Math.min(place + 1, mistake.value.length));
}

const form = document.getElementById("compare");
const boxes = [...document.querySelectorAll('input[type="checkbox"][name="run"]')];

function chosenIds() {
  const elsewhere = [...form.querySelectorAll('input[type="hidden"][name="run"]')];
  return [...elsewhere, ...boxes.filter((box) => box.checked)].map((box) => box.value);
}

function withChosen(address, ids) {
  const url = new URL(address, location.href);
  if (ids.length) url.searchParams.set("chosen", ids.join(","));
  else url.searchParams.delete("chosen");
  return url.href;
}

function show() {
  const ids = chosenIds();
  const words = document.getElementById("chosen");
  const most = Number(words.dataset.most);
  words.textContent = ids.length ? `${ids.length} of at most ${most} chosen` : "";
  for (const button of document.querySelectorAll("[data-at-least]")) {
    button.disabled = ids.length < Number(button.dataset.atLeast);
  }
  for (const box of boxes) box.disabled = !box.checked && ids.length >= most;
  for (const link of document.querySelectorAll("a[data-view]")) {
    link.href = withChosen(link.href, ids);
  }
  for (const field of document.querySelectorAll("[data-chosen]")) {
    field.value = ids.join(",");
    field.disabled = ids.length === 0;
  }
  history.replaceState(history.state, "", withChosen(location.href, ids));
}

if (form) {
  for (const box of boxes) box.addEventListener("change", show);
  show();
}
