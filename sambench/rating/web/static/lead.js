"use strict";
// The lead's page works without this: here are a copy button and a question before a link is closed.
document.documentElement.classList.add("js");
for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", async () => {
    const field = button.previousElementSibling;
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
    } catch {
      document.execCommand("copy"); // pages without https have no clipboard
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}
for (const button of document.querySelectorAll("[data-confirm]")) {
  button.addEventListener("click", (event) => { if (!confirm(button.dataset.confirm)) event.preventDefault(); });
}
