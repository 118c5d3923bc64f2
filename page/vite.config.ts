import { defineConfig } from "vitest/config";

export default defineConfig({
  base: "./", // works under any path prefix
  build: {
    outDir: "../src/spleeter_microservice/web/static",
    emptyOutDir: true,
    assetsInlineLimit: 0, // the page's policy allows no data: addresses
    modulePreload: { polyfill: false },
    target: "es2022",
  },
  test: { setupFiles: "src/browser-of-tests.ts", css: true },
  server: { proxy: { "/v1": "http://127.0.0.1:8000", "/health": "http://127.0.0.1:8000" } },
});
