// Says when the page no longer gets what it asks for every few seconds.

const stale = document.getElementById("stale");
const show = (isStale) => () => {
  stale.hidden = !isStale;
};

document.body.addEventListener("htmx:sendError", show(true));
document.body.addEventListener("htmx:responseError", show(true));
document.body.addEventListener("htmx:afterSwap", show(false));
