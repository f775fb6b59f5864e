"use strict";
// A click on a heading sorts a table by that column: first the other way round for numbers. Dashes stay last, means at the foot.
for (const table of document.querySelectorAll("table")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
  heads.forEach((head, at) => head.addEventListener("click", () => {
    const rows = [...body.rows].filter(row => !row.classList.contains("summary"));
    const foot = [...body.rows].filter(row => row.classList.contains("summary"));
    const numeric = head.classList.contains("right");
    const down = head.getAttribute("aria-sort") ? head.getAttribute("aria-sort") !== "descending" : numeric;
    const key = row => {
      const cell = row.cells[at];
      if (numeric) return cell.dataset.sort === undefined ? NaN : Number(cell.dataset.sort);
      return cell.textContent.trim().toLowerCase();
    };
    const held = rows.map(row => [key(row), row]);
    held.sort(([a], [b]) => {
      if (numeric) {
        if (Number.isNaN(a) || Number.isNaN(b)) return Number.isNaN(a) - Number.isNaN(b);
        return down ? b - a : a - b;
      }
      return down ? b.localeCompare(a) : a.localeCompare(b);
    });
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...held.map(([, row]) => row), ...foot);
  }));
}
// A link to a part that is folded unfolds it.
const unfold = () => {
  const part = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const folded = part && part.closest("details");
  if (folded) folded.open = true;
};
addEventListener("hashchange", unfold);
unfold();
