/** Mixes to order with the stems: some that the stems suggest, and any other as NAME=EXPRESSION. */

import { useSignal } from "@preact/signals";
import type { JSX } from "preact";

import { Icon } from "../look/icons";
import { stemName, words } from "../text/language";
import { choices, choose } from "./choices";
import { MOST_MIXES, parsed, refusedMix, suggested, type Mixes } from "./mixes";

export function MixChoice({ stems }: { stems: readonly string[] }): JSX.Element {
  const says = words.value.bring.mixes;
  const chosen = choices.value.mixes;
  const offered: Mixes = { ...suggested(stems), ...chosen };
  const full = Object.keys(chosen).length >= MOST_MIXES;
  const toggle = (name: string, expression: string): void => {
    const { [name]: had, ...others } = chosen;
    choose({ mixes: had === undefined ? { ...chosen, [name]: expression } : others });
  };
  return (
    <fieldset class="extra">
      <legend>{says.title}</legend>
      <div>
        {Object.entries(offered).map(([name, expression]) => (
          <label key={name} class="chip" title={expression}>
            <input type="checkbox" checked={name in chosen} disabled={full && !(name in chosen)} onChange={() => toggle(name, expression)} />
            <Icon name={name in chosen ? "check" : "add"} /> {stemName(name)}
          </label>
        ))}
      </div>
      <OwnMix stems={stems} chosen={chosen} full={full} />
    </fieldset>
  );
}

function OwnMix({ stems, chosen, full }: { stems: readonly string[]; chosen: Mixes; full: boolean }): JSX.Element {
  const says = words.value.bring.mixes;
  const text = useSignal("");
  const [name, expression] = parsed(text.value);
  const reason = full ? says.many(MOST_MIXES) : text.value.trim() ? refusedMix(name, expression, stems, chosen) : null;
  const [first = "", ...others] = stems;
  return (
    <form
      onSubmit={(event) => {
        event.preventDefault();
        if (reason || !text.value.trim()) return;
        choose({ mixes: { ...chosen, [name]: expression } });
        text.value = "";
      }}
    >
      <label for="own-mix">{says.own}</label>
      <div class="address">
        <input
          id="own-mix"
          type="text"
          autocomplete="off"
          spellcheck={false}
          placeholder={`${says.example}=${others.join("+")}+${first}@-18dB`}
          aria-invalid={reason !== null}
          aria-describedby="own-mix-note"
          disabled={full}
          value={text.value}
          onInput={(event) => (text.value = event.currentTarget.value)}
        />
        <button type="submit" disabled={reason !== null || !text.value.trim()}>
          <Icon name="add" /> {says.add}
        </button>
      </div>
      <small id="own-mix-note" class={reason ? "wrong" : ""} role="status">{reason ?? says.how}</small>
    </form>
  );
}
