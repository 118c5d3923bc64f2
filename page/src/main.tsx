import { render } from "preact";

import { findKey } from "./api/client";
import { App } from "./app";
import { watchLimits } from "./bring/choices";
import { watchService } from "./bring/service";
import "./look/page.css";
import { Engine } from "./player/engine";
import { followMedia } from "./player/media-session";
import { engine } from "./player/player";
import { encoded, fullStems } from "./player/sounds";
import { followKey, onDone } from "./songs/songs";
import { words } from "./text/language";
import { goOn } from "./upload/uploads";

findKey();
watchService();
watchLimits();
followKey();
followMedia();
void goOn();
onDone((song) => {
  if (document.hidden && "Notification" in window && Notification.permission === "granted") new Notification(words.value.work.done(song.input.name));
});

Object.assign(window, { stems: { Engine, encoded, engine, fullStems } }); // for the tests, and for the curious

const page = document.getElementById("page");
if (page) render(<App />, page);
