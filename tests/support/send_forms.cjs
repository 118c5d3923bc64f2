// Sends a song in the forms of Node's own FormData and of the package form-data: URL KEY FILE NAME.
// Prints a list of [status, name of the song] in JSON.
const fs = require("node:fs");
const path = require("node:path");
const FormDataPackage = require("form-data");

const [url, key, file, name] = process.argv.slice(2);
const song = fs.readFileSync(file);

async function send(body, headers) {
  const response = await fetch(url, { method: "POST", headers: { "X-API-KEY": key, ...headers }, body });
  return [response.status, (await response.json()).input?.name];
}

function own(...fileName) {
  const form = new FormData();
  form.append("mwf", true);
  form.append("file", new Blob([song]), ...fileName);
  return send(form, {});
}

function ofPackage(options) {
  const form = new FormDataPackage();
  form.append("file", song, options);
  form.append("offset", 0.5);
  return send(form.getBuffer(), form.getHeaders());
}

async function main() {
  const folder = path.join(path.dirname(file), name);
  console.log(JSON.stringify([
    await own(name), await own(), await ofPackage({ filename: name }), await ofPackage({ filepath: folder }),
  ]));
}

main();
