/** The gallery's filter works by submitting; with a script, a choice of language submits by itself. */
const form = document.querySelector("#filter");
if (form instanceof HTMLFormElement) {
  for (const button of form.querySelectorAll("[data-no-script]")) button.remove();
  form.addEventListener("change", (event) => {
    if (event.target instanceof HTMLInputElement && event.target.type === "radio") form.submit();
  });
}
