/** Files that are being sent, kept in the browser's database so that a reload goes on where it was. */

import type { Choices } from "../bring/choices";

export interface StoredUpload {
  readonly id: string;
  readonly file: File;
  readonly choices: Choices;
  readonly seconds: number | null;
  readonly url: string | null; // of the upload, once the service has made it
  readonly sent: boolean; // whether the service has all of it
}

const NAME = "uploads";

function open(): Promise<IDBDatabase> {
  const request = indexedDB.open("stems", 1);
  request.onupgradeneeded = () => request.result.createObjectStore(NAME, { keyPath: "id" });
  return result(request);
}

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error ?? new Error("IndexedDB failed"));
  });
}

async function run<T>(mode: IDBTransactionMode, act: (store: IDBObjectStore) => IDBRequest<T>): Promise<T> {
  const database = await open();
  try {
    return await result(act(database.transaction(NAME, mode).objectStore(NAME)));
  } finally {
    database.close();
  }
}

/** Keeps an upload; without room for it, a reload only loses the upload. */
export const keep = (upload: StoredUpload): Promise<unknown> => run("readwrite", (store) => store.put(upload)).catch(() => undefined);
export const forget = (id: string): Promise<unknown> => run("readwrite", (store) => store.delete(id)).catch(() => undefined);
export const all = (): Promise<StoredUpload[]> =>
  run("readonly", (store) => store.getAll() as IDBRequest<StoredUpload[]>).catch(() => []);
