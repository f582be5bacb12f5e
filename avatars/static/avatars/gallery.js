/** The gallery's filter works by submitting; with a script, a choice of language submits by itself. */
const form = document.querySelector("#filter");
if (form instanceof HTMLFormElement) {
  form.querySelectorAll("[data-no-script]").forEach((button) => button.remove());
  form.addEventListener("change", (event) => {
    if (event.target instanceof HTMLInputElement && event.target.type === "radio") form.submit();
  });
}
