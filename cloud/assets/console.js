// Progress of an upload, and whether a live page is connected. All else works without this file.
"use strict";

const show = (id, text) => {
  const element = document.getElementById(id);
  if (element && element.textContent !== text) element.textContent = text;
};

document.addEventListener("htmx:sseOpen", () => show("connection", "Live"));
document.addEventListener("htmx:sseError", () => show("connection", "Not live: reload the page, or wait"));
document.addEventListener("htmx:sseClose", () => show("connection", ""));

// The list follows the filter while a person types; the key would send the whole form.
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target.matches("#new #filter")) event.preventDefault();
});

// A part of the page whose request failed stays as it is.
const requestFailed = () => {
  document.getElementById("request-failed").hidden = false;
  show("request-failed", "The request failed. Reload the page; if it was long open, sign in again.");
};
document.addEventListener("htmx:responseError", requestFailed);

// A second click on the button of the review is not a second update.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.id !== "reviewed") return;
  if (form.dataset.sent) event.preventDefault();
  form.dataset.sent = "yes";
});
window.addEventListener("pageshow", () => {
  const form = document.getElementById("reviewed");
  if (form) delete form.dataset.sent;
});

// What a person opened stays open when a live part is replaced.
let open = [];
document.addEventListener("htmx:sseBeforeMessage", () => {
  open = Array.from(document.querySelectorAll("#live details[open]"), (details) => details.id);
});
document.addEventListener("htmx:sseMessage", () => {
  for (const id of open) {
    const details = document.getElementById(id);
    if (details) details.open = true;
  }
});

// A file that is too large is not sent at all.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.id !== "upload-form") return;
  const file = document.getElementById("file").files[0];
  if (file && file.size > Number(form.dataset.bytesMax)) {
    event.preventDefault();
    event.stopImmediatePropagation();
    show("upload-note", "The file is too large.");
  }
}, true);

document.addEventListener("htmx:xhr:progress", (event) => {
  const bar = document.getElementById("upload-progress");
  if (!bar || !event.detail.lengthComputable || event.target.id !== "upload-form") return;
  const percent = Math.floor(100 * event.detail.loaded / event.detail.total);
  bar.hidden = false;
  bar.value = percent;
  show("upload-note", percent < 100 ? percent + " %" : "Stored soon");
});

document.addEventListener("htmx:sendError", (event) => {
  if (event.target.id !== "upload-form") return requestFailed();
  show("upload-note", "The connection ended; nothing was stored. Try again.");
});
