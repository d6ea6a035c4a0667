// Long tables: a click on a column's name sorts by it, and a field finds classes.
for (const table of document.querySelectorAll("table.classes")) {
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
