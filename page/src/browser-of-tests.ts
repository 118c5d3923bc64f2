/** The little of a browser that modules look at when the tests import them. */

const nothing = { getItem: () => null, setItem: () => undefined };
Object.assign(globalThis, { localStorage: nothing, document: { documentElement: { lang: "" } } });
Object.defineProperty(globalThis, "navigator", { value: { languages: ["en"] } });
