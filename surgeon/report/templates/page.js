/* A table of contents, where there is something to choose from. */
const titles = document.querySelectorAll("main h2[id]");
if (titles.length > 3) {
  const contents = document.createElement("nav");
  contents.ariaLabel = "Contents";
  for (const title of titles) {
    const link = document.createElement("a");
    link.href = `#${title.id}`;
    link.textContent = title.textContent;
    contents.append(link, " ");
  }
  document.querySelector("main").before(contents);
}

/* Long tables: a click on a column's name sorts by it, and a field finds rows. */
for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0], rows = [...body.rows];
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const falls = head.getAttribute("aria-sort") === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", falls ? "descending" : "ascending");
      const text = row => row.cells[column].textContent.trim();
      const compare = (a, b) => (text(a) && text(b) && text(a) - text(b)) || text(a).localeCompare(text(b), undefined, {numeric: true});
      rows.sort((a, b) => falls ? compare(b, a) : compare(a, b));
      body.append(...rows);
    });
  });
  if (rows.length > 30) {
    const field = document.createElement("input");
    field.type = "search";
    field.placeholder = field.ariaLabel = `search ${rows.length} rows`;
    table.closest(".scroll").before(field);
    field.addEventListener("input", () => {
      const wanted = field.value.toLowerCase();
      for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
    });
  }
}

/* Text to take elsewhere. Browsers let a page write to the clipboard or not; then the text is selected instead. */
for (const place of document.querySelectorAll(".copyable")) {
  const button = place.querySelector("button"), text = place.querySelector("pre");
  button.hidden = false;
  button.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(text.textContent.trimEnd()); button.textContent = "copied"; }
    catch { getSelection().selectAllChildren(text); button.textContent = "selected; press Ctrl-C"; }
  });
}

/* A gallery: a button that names some of its figures shows those alone; pressed again, all. */
const gallery = document.getElementById("gallery");
if (gallery) {
  const chosen = document.getElementById("chosen"), all = document.getElementById("all"), everything = chosen.textContent;
  const choose = button => {
    for (const other of document.querySelectorAll("[data-shows][aria-pressed=true]")) other.setAttribute("aria-pressed", "false");
    button?.setAttribute("aria-pressed", "true");
    let count = 0;
    for (const figure of gallery.children) {
      figure.hidden = Boolean(button) && figure.dataset.is !== button.dataset.shows;
      count += !figure.hidden;
    }
    all.hidden = !button;
    chosen.textContent = button ? `${count} ${button.dataset.says}` : everything;
  };
  document.addEventListener("click", event => {
    const button = event.target.closest("[data-shows]"), section = gallery.closest("section");
    if (!button) return;
    const again = button.getAttribute("aria-pressed") === "true";
    choose(again ? null : button);
    if (!again && !section.contains(button)) section.scrollIntoView({behavior: "smooth"});
  });
  all.addEventListener("click", () => choose(null));
}

/* A picture of a gallery is shown larger, with what stands below it, until the next click or Escape. */
const large = document.createElement("dialog");
large.className = "large";
document.body.append(large);
document.body.classList.add("zooms");
large.addEventListener("click", () => large.close());
document.addEventListener("click", event => {
  const figure = event.target.closest(".gallery figure");
  if (!figure || !event.target.closest("img")) return;
  const copy = figure.cloneNode(true);
  copy.hidden = false;
  large.replaceChildren(...copy.childNodes);
  large.showModal();
});

/* The curves of a run: an epoch is marked in all of its charts, and told below them. */
for (const charts of document.querySelectorAll(".history")) {
  const words = charts.querySelector(".epoch");
  const show = event => {
    const spot = event.target.closest(".spot");
    if (!spot) return;
    for (const marked of charts.querySelectorAll(".spot.at")) marked.classList.remove("at");
    for (const same of charts.querySelectorAll(`[data-epoch="${spot.dataset.epoch}"]`)) same.classList.add("at");
    words.textContent = spot.textContent;
  };
  charts.addEventListener("pointermove", show);
  charts.addEventListener("click", show);
}

/* The trials of a sweep: the marks of one in all charts are chosen together, and told as its row in the table is. */
const told = document.getElementById("trial");
if (told) {
  const marks = new Map();
  for (const mark of document.querySelectorAll("[data-trial]"))
    marks.get(mark.dataset.trial)?.push(mark) ?? marks.set(mark.dataset.trial, [mark]);
  const [words, link] = told.children;
  let shown, pinned;
  const show = trial => {
    if (trial === shown) return;
    for (const mark of marks.get(shown) ?? []) mark.classList.remove("on");
    shown = trial;
    told.hidden = !trial;
    if (!trial) return;
    for (const mark of marks.get(trial)) {
      mark.classList.add("on");
      mark.parentNode.append(mark); /* what is drawn last lies on top */
    }
    const row = document.querySelector(`button[data-trial="${trial}"]`).closest("tr"), titles = row.closest("table").tHead.rows[0].cells;
    words.textContent = [...row.cells].filter(cell => !cell.querySelector("details") && cell.textContent.trim())
      .map(cell => `${titles[cell.cellIndex].textContent} ${cell.textContent.trim()}`).join(", ");
  };
  const near = event => {
    for (const far of [0, 3, 6, 9]) for (const [x, y] of [[far, 0], [-far, 0], [0, far], [0, -far]]) {
      const mark = document.elementFromPoint(event.clientX + x, event.clientY + y)?.closest("[data-trial]");
      if (mark) return mark.dataset.trial;
    }
  };
  for (const plot of document.querySelectorAll(".plot")) {
    plot.addEventListener("pointermove", event => show(near(event) ?? pinned));
    plot.addEventListener("pointerleave", () => show(pinned));
    plot.addEventListener("click", event => show(pinned = near(event)));
  }
  document.addEventListener("click", event => {
    const button = event.target.closest("button[data-trial]");
    if (button) show(pinned = pinned === button.dataset.trial ? undefined : button.dataset.trial);
  });
  link.addEventListener("click", () => {
    const row = document.querySelector(`button[data-trial="${shown}"]`).closest("tr");
    pinned = shown;
    row.hidden = false;
    row.scrollIntoView({block: "center"});
  });
}
