// Sends a file with tus-js-client, however often the connection breaks: URL KEY FILE PARALLEL.
// Prints the address of the upload.
const fs = require("node:fs");
const path = require("node:path");
const tus = require("tus-js-client");

const [endpoint, key, file, parallel] = process.argv.slice(2);

const upload = new tus.Upload(fs.readFileSync(file), {
  endpoint,
  headers: { "X-API-KEY": key },
  metadata: { filename: path.basename(file) },
  parallelUploads: Number(parallel),
  retryDelays: Array(30).fill(20),
  onError: (error) => { throw error; },
  onSuccess: () => console.log(upload.url),
});
upload.start();
