/** Disables fields of the persona form that do not fit the chosen avatar, and shows why. */

const form = /** @type {HTMLFormElement} */ (document.getElementById("persona_form"));
const address = /** @type {HTMLElement} */ (document.getElementById("offers")).dataset.offers ?? "";
/** Fields with a search list, which the portal filters by avatar and language. */
const SEARCH_FIELDS = ["voice", "knowledge_base"];

/** @typedef {{ choices: Record<string, string[]>, off: string[], sample: string, limits: Record<string, number[]>, words: Record<string, string> }} Offers */

/** @param {string} name */
const value = (name) => /** @type {HTMLSelectElement | null} */ (form.elements.namedItem(name))?.value ?? "";

async function update() {
  const asked = new URLSearchParams({ avatar: value("avatar"), voice: value("voice") });
  const answer = await fetch(`${address}?${asked}`);
  if (answer.ok) draw(await answer.json());
}

/** @param {Partial<Offers>} offers */
function draw({ choices = {}, off = [], sample = "", limits = {}, words = {} }) {
  for (const [name, fitting] of Object.entries(choices)) {
    const select = form.elements.namedItem(name);
    if (!(select instanceof HTMLSelectElement)) continue;
    for (const option of select.options) option.disabled = !fitting.includes(option.value) && !option.selected;
  }
  for (const field of form.elements) {
    if (!(field instanceof HTMLInputElement)) continue;
    const isSet = field.type === "checkbox" ? field.checked : field.value !== "";
    field.disabled = off.includes(field.name) && !isSet; // a value that is set can still be removed
    const [least, most] = limits[field.name] ?? [];
    if (least !== undefined) [field.min, field.max] = [String(least), String(most)];
  }
  for (const old of form.querySelectorAll("[data-why]")) old.remove();
  for (const [name, why] of Object.entries(words)) explain(name, why);
  offerSample(sample);
}

/** Offer a sample of the chosen voice. @param {string} url */
function offerSample(url) {
  const player = /** @type {HTMLAudioElement} */ (document.getElementById("sample"));
  player.hidden = url === "";
  if (url && player.getAttribute("src") !== url) player.src = url;
  below(document.getElementById("id_voice"))?.append(player);
}

/** The column of a field, whose last element is its help text. @param {HTMLElement | null} field */
const below = (field) => field?.closest(".field-line > div") ?? field?.parentElement;

/**
 * @param {string} name
 * @param {string} why
 */
function explain(name, why) {
  const field = document.getElementById(`id_${name}`);
  const container = below(field);
  if (!field || !container) return;
  const reason = document.createElement("p");
  reason.className = "text-sm mt-2";
  reason.dataset.why = name;
  reason.id = `why-${name}`;
  reason.textContent = why;
  container.append(reason);
  field.setAttribute("aria-describedby", reason.id);
}

const $ = /** @type {any} */ (globalThis).django.jQuery; // the theme's search lists use it
$.ajaxPrefilter((/** @type {any} */ options) => {
  const url = new URL(options.url, location.href);
  if (!SEARCH_FIELDS.includes(url.searchParams.get("field_name") ?? "")) return;
  for (const name of ["avatar", "language"]) url.searchParams.set(name, value(name));
  options.url = url.href;
});
$(form).on("change", "select[name=avatar], select[name=voice]", () => void update());
void update();

export {}; // makes this file a module
