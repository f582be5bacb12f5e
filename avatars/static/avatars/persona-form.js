/** The persona's form follows its avatar: what cannot work beside it is closed, with the reason. */

const form = /** @type {HTMLFormElement} */ (document.getElementById("persona_form"));
const address = /** @type {HTMLElement} */ (document.getElementById("offers")).dataset.offers ?? "";
/** Chosen by a list that asks the portal, so they offer only what fits the avatar and the language. */
const ASKING = ["voice", "knowledge_base"];

/** @typedef {{ choices: Record<string, string[]>, off: string[], sample: string, limits: Record<string, number[]>, words: Record<string, string> }} Offers */

/** @param {string} name */
const value = (name) => /** @type {HTMLSelectElement | null} */ (form.elements.namedItem(name))?.value ?? "";

async function follow() {
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
    field.disabled = off.includes(field.name) && !isSet; // what is set already stays in sight, to be taken back
    const [least, most] = limits[field.name] ?? [];
    if (least !== undefined) [field.min, field.max] = [String(least), String(most)];
  }
  for (const old of form.querySelectorAll("[data-why]")) old.remove();
  for (const [name, why] of Object.entries(words)) explain(name, why);
  letHear(sample);
}

/** How the voice sounds that the persona has now. @param {string} url */
function letHear(url) {
  const player = /** @type {HTMLAudioElement} */ (document.getElementById("sample"));
  player.hidden = url === "";
  if (url && player.getAttribute("src") !== url) player.src = url;
  document.getElementById("id_voice")?.closest(".field-line")?.append(player);
}

/**
 * @param {string} name
 * @param {string} why
 */
function explain(name, why) {
  const field = document.getElementById(`id_${name}`);
  const place = field?.closest(".field-line") ?? field?.parentElement;
  if (!field || !place) return;
  const said = document.createElement("p");
  said.className = "text-sm mt-2";
  said.dataset.why = name;
  said.id = `why-${name}`;
  said.textContent = why;
  place.append(said);
  field.setAttribute("aria-describedby", said.id);
}

const $ = /** @type {any} */ (globalThis).django.jQuery; // the theme's lists are its
$.ajaxPrefilter((/** @type {any} */ options) => {
  const url = new URL(options.url, location.href);
  if (!ASKING.includes(url.searchParams.get("field_name") ?? "")) return;
  for (const name of ["avatar", "language"]) url.searchParams.set(name, value(name));
  options.url = url.href;
});
$(form).on("change", "select[name=avatar], select[name=voice]", () => void follow());
void follow();

export {}; // a module: its names are its own
