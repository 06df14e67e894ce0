// Opens a connect session in a popup and brings its result back: docs/popup.md
(() => {
	"use strict";
	const here = location.origin;
	const fail = (code) => Object.assign(new Error(`${code}: see docs/popup.md of Consentry`), { code });

	const isOwn = (origin) => {
		if (!isSecureContext) throw fail("insecure_page");
		if (new URL(origin).origin !== origin) throw fail("invalid_origin");
		return origin === here;
	};

	// The return page knows a session by its id, which follows from the ticket. The ticket is secret.
	const idOf = async (address) => {
		const found = /^https?:\/\/[^#]*[?&]session=([\w-]{43})/.exec(address);
		if (!found) throw fail("invalid_url");
		const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(found[1]));
		const text = btoa(String.fromCharCode(...new Uint8Array(hash)));
		return text.slice(0, 22).replace(/\+/g, "-").replace(/\//g, "_");
	};

	// Within an origin a channel of the session's own, which no provider cuts; else one exact origin and window.
	const line = (session, origin, other, heard) => {
		const own = isOwn(origin);
		const from = own ? new BroadcastChannel(`consentry:${session}`) : window;
		const hear = ({ origin: said, source, data }) => {
			if (said === origin && (own || source === other) && data && data.session === session) heard(data);
		};
		from.addEventListener("message", hear);
		return {
			say: (message) => (own ? from : other).postMessage({ ...message, session }, origin),
			end: () => from.removeEventListener("message", hear),
		};
	};

	const open = (connectUrl, { returnOrigin = here, signal, graceSeconds = 5 } = {}) => {
		let popup, watch, wire;
		return new Promise((resolve, reject) => {
			const own = isOwn(returnOrigin);
			if (signal && signal.aborted) throw signal.reason;
			// Before there is an address: browsers allow it only at once, in a click.
			popup = window.open("", "_blank", "popup,width=560,height=760");
			if (!popup || popup.closed) throw fail("popup_blocked");
			if (own) popup.opener = null; // or a provider's page could send this one elsewhere
			if (signal) signal.addEventListener("abort", () => reject(signal.reason));
			// A window that a provider cut off (COOP) looks closed. It is, if somebody looks at this page instead.
			let alone = 0;
			watch = setInterval(() => {
				alone = popup.closed && document.hasFocus() ? alone + 0.5 : 0;
				if (alone >= graceSeconds) reject(fail("closed"));
			}, 500);
			const go = async (address) => {
				const session = await idOf(address);
				if (popup.closed) return;
				wire = line(session, returnOrigin, popup, ({ ask, result }) => {
					if (ask) wire.say({ listening: true });
					if (result) resolve({ ...result, session });
				});
				popup.location.replace(address);
			};
			Promise.resolve(connectUrl).then(go).catch(reject);
		}).finally(() => {
			clearInterval(watch);
			if (wire) wire.end();
			if (popup) popup.close();
		});
	};

	const finish = async ({ openerOrigin = here, waitSeconds = 2 } = {}) => {
		const { opener } = window;
		const own = isOwn(openerOrigin);
		const query = new URLSearchParams(location.search);
		const result = {};
		for (const name of ["session", "integration", "handle", "status", "error"]) {
			if (query.get(name)) result[name] = query.get(name);
			query.delete(name);
		}
		if (!result.session || !result.integration) return { told: false };
		history.replaceState(null, "", `${location.pathname}?${query}`.replace(/\?$/, ""));
		if (!own && !opener) return { told: false, result };
		// Nothing is told before somebody listens: the opener uses the result, or this page does, never both.
		const wire = await new Promise((resolve) => {
			const found = line(result.session, openerOrigin, opener, ({ listening }) => {
				if (listening) resolve(found);
			});
			found.say({ ask: true });
			setTimeout(resolve, waitSeconds * 1000);
		});
		if (!wire) return { told: false, result };
		wire.say({ result });
		setTimeout(close, 100);
		return { told: true, result };
	};

	window.Consentry = Object.freeze({ open, finish });
})();
