/** The little of a browser that modules look at when the tests import them. */

const nothing = { getItem: () => null, setItem: () => undefined };
Object.assign(globalThis, {
  localStorage: nothing,
  sessionStorage: nothing,
  document: { documentElement: { lang: "" } },
  location: { hash: "", pathname: "/", search: "" },
  history: { replaceState: () => undefined },
  addEventListener: () => undefined,
});
Object.defineProperty(globalThis, "navigator", { value: { languages: ["en"] } });
