/** Submits the gallery's filter when a language is chosen. */
const form = document.querySelector("#filter");
if (form instanceof HTMLFormElement) {
  for (const button of form.querySelectorAll("[data-no-script]")) button.remove();
  form.addEventListener("change", (event) => {
    if (event.target instanceof HTMLInputElement && event.target.type === "radio") form.submit();
  });
}
