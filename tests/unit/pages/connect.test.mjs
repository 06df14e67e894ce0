// connect.js in a page of our own making: windows, channels and time are played, its cryptography is real.
// Run by test_popup_script.py, which hands over the script's path, and a ticket with its session's id.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import vm from "node:vm";

const { SCRIPT, TICKET, SESSION } = process.env;
const SOURCE = readFileSync(SCRIPT, "utf8");
const URL_OF_SESSION = `https://vault.test/connect?session=${TICKET}`;
const OWN = "https://app.test";
const OTHER = "https://return.test";
const HANDLE = { session: SESSION, integration: "crm", handle: "crm.one" };

/** Every window of one browser: channels reach the windows of their own origin, and nobody else. */
class Bus {
  channels = [];

  of(origin) {
    const { channels } = this;
    return class extends EventTarget {
      constructor(name) {
        super();
        this.name = name;
        channels.push(this);
        this.origin = origin;
      }

      postMessage(data) {
        const heard = channels.filter((each) => each !== this && each.name === this.name && each.origin === origin);
        for (const each of heard) each.dispatchEvent(message({ data, origin, source: null }));
      }
    };
  }
}

const message = (fields) => Object.assign(new Event("message"), fields);

/** A page with the script in it. `opens` is what window.open returns. */
class Page {
  constructor(address, { bus = new Bus(), opener = null, opens = new Popup(), secure = true } = {}) {
    const url = new URL(address);
    Object.assign(this, { bus, opens, opened: [], focused: true, timers: new Map(), closings: 0, addresses: [] });
    this.events = new EventTarget();
    const location = { origin: url.origin, pathname: url.pathname, search: url.search };
    let number = 0;
    const later = (again) => (work, milliseconds, ...more) => {
      this.timers.set((number += 1), { work: () => work(...more), milliseconds, left: milliseconds, again });
      return number;
    };
    const world = {
      location, opener, isSecureContext: secure, crypto: { subtle: { digest } }, btoa, URL, URLSearchParams, TextEncoder,
      BroadcastChannel: bus.of(url.origin),
      document: { hasFocus: () => this.focused },
      history: { replaceState: (_state, _title, path) => this.addresses.push(path) },
      setInterval: later(true), setTimeout: later(false), clearInterval: (id) => this.timers.delete(id),
      addEventListener: (...all) => this.events.addEventListener(...all),
      removeEventListener: (...all) => this.events.removeEventListener(...all),
      open: (...all) => { this.opened.push(all); return this.opens; },
      close: () => { this.closings += 1; },
    };
    world.window = world;
    vm.runInNewContext(SOURCE, world);
    this.script = world.Consentry;
  }

  pass(seconds) {
    for (let at = 0; at < seconds * 1000; at += 100)
      for (const [id, timer] of [...this.timers]) {
        timer.left -= 100;
        if (timer.left > 0) continue;
        if (timer.again) timer.left = timer.milliseconds;
        else this.timers.delete(id);
        timer.work();
      }
  }

  hears(data, { origin = OTHER, source = this.opens } = {}) {
    this.events.dispatchEvent(message({ data, origin, source }));
  }

  channel(name = `consentry:${SESSION}`) {
    return new (this.bus.of(OWN))(name);
  }
}

class Popup {
  opener = "the page";
  closed = false;
  went = [];
  told = [];
  location = { replace: (address) => this.went.push(address) };

  close() { this.closed = true; }

  postMessage(data, target) { this.told.push({ data, target }); }
}

const hashing = new Set();
const digest = (...all) => {
  const hash = crypto.subtle.digest(...all);
  hashing.add(hash);
  return hash;
};

/** Keep what becomes of a promise, and wait for what is under way. */
const outcome = (promise) => {
  const kept = { state: "waiting" };
  promise.then(
    (value) => Object.assign(kept, { state: "resolved", value }),
    (error) => Object.assign(kept, { state: "rejected", error, code: error && error.code }),
  );
  return kept;
};
const settle = async () => {
  for (let turn = 0; turn < 20; turn += 1) {
    await new Promise(setImmediate);
    await Promise.all(hashing);
  }
};
const plain = (value) => JSON.parse(JSON.stringify(value));
const opening = async (page, options, address = URL_OF_SESSION) => {
  const kept = outcome(page.script.open(address, options));
  await settle();
  return kept;
};

test("the window is opened before there is an address, and then sent there, without an opener", async () => {
  const page = new Page(OWN);
  let answer;
  const kept = outcome(page.script.open(new Promise((resolve) => { answer = resolve; })));
  assert.equal(page.opened.length, 1);
  assert.equal(page.opened[0][0], "");
  assert.equal(page.opens.opener, null);
  assert.deepEqual(page.opens.went, []);
  answer(URL_OF_SESSION);
  await settle();
  assert.deepEqual(page.opens.went, [URL_OF_SESSION]);
  assert.equal(kept.state, "waiting");
});

test("a result of the session, by its id, is what comes of it; the window is closed and nothing is left", async () => {
  const page = new Page(OWN);
  const kept = await opening(page);
  const channel = page.channel();
  const answers = [];
  channel.addEventListener("message", ({ data }) => answers.push(plain(data)));
  channel.postMessage({ session: SESSION, ask: true });
  assert.deepEqual(answers, [{ session: SESSION, listening: true }]);
  channel.postMessage({ session: SESSION, result: HANDLE });
  await settle();
  assert.deepEqual(plain(kept.value), HANDLE);
  assert.equal(page.opens.closed, true);
  assert.equal(page.timers.size, 0);
  channel.postMessage({ session: SESSION, ask: true });
  assert.equal(answers.length, 1);
});

test("a second result of the session changes nothing", async () => {
  const page = new Page(OWN);
  const kept = await opening(page);
  page.channel().postMessage({ session: SESSION, result: HANDLE });
  page.channel().postMessage({ session: SESSION, result: { ...HANDLE, handle: "crm.two" } });
  await settle();
  assert.equal(kept.value.handle, "crm.one");
});

test("a result is of the session that was opened, whatever it says itself", async () => {
  const page = new Page(OWN);
  const kept = await opening(page);
  page.channel().postMessage({ session: SESSION, result: { ...HANDLE, session: "another" } });
  await settle();
  assert.equal(kept.value.session, SESSION);
});

test("what is not about this session is not heard", async () => {
  const page = new Page(OWN);
  const kept = await opening(page);
  for (const data of [null, undefined, "x", 7, [], {}, { session: SESSION }, { session: "x", result: HANDLE }])
    page.channel().postMessage(data);
  page.channel("consentry:other").postMessage({ session: SESSION, result: HANDLE });
  page.hears({ session: SESSION, result: HANDLE }, { origin: OWN });
  await settle();
  assert.equal(kept.state, "waiting");
});

for (const [what, opens] of [["none", null], ["one that is closed already", Object.assign(new Popup(), { closed: true })]])
  test(`a blocked window is said at once: the browser gives ${what}`, async () => {
    const page = new Page(OWN, { opens });
    const kept = await opening(page);
    assert.equal(kept.code, "popup_blocked");
    assert.equal(page.timers.size, 0);
  });

test("a closed window is a verdict only after somebody looked at this page for the grace", async () => {
  const page = new Page(OWN);
  const kept = await opening(page);
  page.pass(60);
  page.opens.closed = true;
  page.focused = false;
  page.pass(600);
  page.focused = true;
  page.pass(4);
  page.focused = false;
  page.pass(1);
  page.focused = true;
  page.pass(4.5);
  await settle();
  assert.equal(kept.state, "waiting");
  page.pass(0.5);
  await settle();
  assert.equal(kept.code, "closed");
  assert.equal(page.timers.size, 0);
});

test("a result during the grace counts", async () => {
  const page = new Page(OWN);
  const kept = await opening(page, { graceSeconds: 2 });
  page.opens.closed = true;
  page.pass(1.9);
  page.channel().postMessage({ session: SESSION, result: HANDLE });
  page.pass(1);
  await settle();
  assert.equal(kept.value.handle, "crm.one");
});

test("a signal that was given before opens nothing, one that is given later closes the window", async () => {
  const page = new Page(OWN);
  const reason = new Error("enough");
  const before = await opening(page, { signal: AbortSignal.abort(reason) });
  assert.deepEqual([before.error, page.opened.length], [reason, 0]);
  const giving = new AbortController();
  const later = await opening(page, { signal: giving.signal });
  giving.abort(reason);
  await settle();
  assert.deepEqual([later.error, page.opens.closed, page.timers.size], [reason, true, 0]);
});

test("given up while the address is under way, no window goes there", async () => {
  const page = new Page(OWN);
  const giving = new AbortController();
  let answer;
  const kept = outcome(page.script.open(new Promise((resolve) => { answer = resolve; }), { signal: giving.signal }));
  giving.abort();
  answer(URL_OF_SESSION);
  await settle();
  assert.equal(kept.error.name, "AbortError");
  assert.deepEqual(page.opens.went, []);
  assert.deepEqual(page.bus.channels, []);
});

test("an address that does not come closes the window, and its own error is told", async () => {
  const page = new Page(OWN);
  const failed = new Error("the backend is away");
  const kept = await opening(page, {}, Promise.reject(failed));
  assert.deepEqual([kept.error, page.opens.closed], [failed, true]);
});

for (const address of [
  `javascript:alert(1)//?session=${TICKET}`, ` javascript:alert(1)//?session=${TICKET}`, `/connect?session=${TICKET}`,
  `data:text/html,?session=${TICKET}`, `https://vault.test/#?session=${TICKET}`, "https://vault.test/connect",
  "https://vault.test/connect?session=short", `https://vault.test/connect?other_session=${TICKET}`, "", {}, null, 7,
])
  test(`no window goes to ${String(address).slice(0, 40)}`, async () => {
    const page = new Page(OWN);
    const kept = await opening(page, {}, address);
    assert.equal(kept.code, "invalid_url");
    assert.deepEqual([page.opens.went, page.opens.closed], [[], true]);
  });

for (const origin of ["*", "/", "null", "https://return.test/", "https://return.test/back", "HTTPS://return.test", "return.test"])
  test(`${origin} is no origin`, async () => {
    const page = new Page(`${OWN}/?session=${SESSION}&integration=crm&handle=one`, { opener: new Popup() });
    for (const kept of [await opening(page, { returnOrigin: origin }), outcome(page.script.finish({ openerOrigin: origin }))]) {
      await settle();
      assert.equal(kept.state, "rejected");
    }
    assert.equal(page.opened.length, 0);
  });

test("a page without HTTPS is told so", async () => {
  const page = new Page("http://app.test", { secure: false });
  assert.equal((await opening(page)).code, "insecure_page");
  await assert.rejects(page.script.finish(), { code: "insecure_page" });
});

test("from another origin, only that origin's messages from that window count, and only it is answered", async () => {
  const page = new Page(OWN);
  const kept = await opening(page, { returnOrigin: OTHER });
  assert.equal(page.opens.opener, "the page");
  const result = { session: SESSION, result: HANDLE };
  for (const from of [{ origin: "https://evil.test" }, { origin: OWN }, { origin: "null" }, { source: new Popup() }])
    for (const data of [{ session: SESSION, ask: true }, result]) page.hears(data, from);
  page.channel().postMessage(result);
  await settle();
  assert.deepEqual([kept.state, page.opens.told], ["waiting", []]);
  page.hears({ session: SESSION, ask: true });
  assert.deepEqual(plain(page.opens.told), [{ data: { listening: true, session: SESSION }, target: OTHER }]);
  page.hears(result);
  await settle();
  assert.deepEqual(plain(kept.value), HANDLE);
});

const BACK = `${OWN}/back?session=${SESSION}&integration=crm&handle=crm.one`;

for (const address of [OWN, `${OWN}/?a=1`, `${OWN}/?session=${SESSION}`, `${OWN}/?integration=crm&handle=crm.one`])
  test(`an ordinary visit is none of ours: ${address}`, async () => {
    const page = new Page(address);
    assert.deepEqual(plain(await page.script.finish()), { told: false });
    assert.deepEqual([page.addresses, page.bus.channels], [[], []]);
  });

for (const [given, left] of [["", "/back"], ["&from=vault&b=%20", "/back?from=vault&b=+"]])
  test(`the address keeps nothing of the result, and what is the page's own: ${left}`, async () => {
    const page = new Page(BACK + given);
    page.script.finish();
    await settle();
    assert.deepEqual(page.addresses, [left]);
  });

test("the opener is asked first, then told, and the window closes", async () => {
  const bus = new Bus();
  const opener = new Page(OWN, { bus });
  const kept = await opening(opener);
  const page = new Page(BACK, { bus });
  const done = outcome(page.script.finish());
  await settle();
  assert.deepEqual(plain(done.value), { told: true, result: HANDLE });
  assert.deepEqual(plain(kept.value), HANDLE);
  page.pass(1);
  assert.equal(page.closings, 1);
});

test("an error of a consent, and the status of credentials, arrive as they are", async () => {
  for (const [query, rest] of [["error=access_denied", { error: "access_denied" }], ["status=active", { status: "active" }]]) {
    const bus = new Bus();
    const kept = await opening(new Page(OWN, { bus }));
    new Page(`${OWN}/back?session=${SESSION}&integration=crm&${query}`, { bus }).script.finish();
    await settle();
    assert.deepEqual(plain(kept.value), { session: SESSION, integration: "crm", ...rest });
  }
});

test("where nobody listens, nothing was said, and the page has the result for itself", async () => {
  const page = new Page(BACK);
  const said = [];
  page.channel().addEventListener("message", ({ data }) => said.push(plain(data)));
  const done = outcome(page.script.finish());
  await settle();
  page.pass(1.9);
  await settle();
  assert.equal(done.state, "waiting");
  page.pass(0.2);
  await settle();
  assert.deepEqual(plain(done.value), { told: false, result: HANDLE });
  page.channel().postMessage({ session: SESSION, listening: true });
  await settle();
  assert.deepEqual(said.filter((each) => !each.listening), [{ session: SESSION, ask: true }]);
  assert.equal(page.closings, 0);
});

test("two return pages of one session do not take each other for the opener", async () => {
  const bus = new Bus();
  const pages = [new Page(BACK, { bus }), new Page(BACK, { bus })];
  const done = pages.map((page) => outcome(page.script.finish()));
  await settle();
  for (const page of pages) page.pass(2.1);
  await settle();
  assert.deepEqual(done.map((each) => each.value.told), [false, false]);
});

test("an opener of another origin is told alone, by its exact origin; no other window is believed", async () => {
  const opener = new Popup();
  const page = new Page(BACK, { opener });
  const done = outcome(page.script.finish({ openerOrigin: OTHER }));
  await settle();
  for (const from of [{ origin: "https://evil.test", source: opener }, { origin: OTHER, source: new Popup() }])
    page.hears({ session: SESSION, listening: true }, from);
  await settle();
  assert.equal(done.state, "waiting");
  page.hears({ session: SESSION, listening: true }, { source: opener });
  await settle();
  assert.equal(done.value.told, true);
  assert.deepEqual(plain(opener.told.map(({ data, target }) => [Object.keys(data).sort(), target])), [
    [["ask", "session"], OTHER], [["result", "session"], OTHER],
  ]);
  assert.deepEqual(page.bus.channels, []);
});

test("without an opener of another origin there is nobody to ask, and no wait", async () => {
  const page = new Page(BACK);
  const done = outcome(page.script.finish({ openerOrigin: OTHER }));
  await settle();
  assert.deepEqual(plain(done.value), { told: false, result: HANDLE });
});

test("nothing can be put in the script's place by accident", () => {
  assert.equal(Object.isFrozen(new Page(OWN).script), true);
});
