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
      const text = row => row.cells[column].textContent;
      const compare = (a, b) => text(a).localeCompare(text(b), undefined, {numeric: true});
      rows.sort((a, b) => falls ? compare(b, a) : compare(a, b));
      body.append(...rows);
    });
  });
  if (rows.length > 30) {
    const field = document.createElement("input");
    field.type = "search";
    field.placeholder = field.ariaLabel = `find one of ${rows.length} rows`;
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
