// What `connect.js` puts into a page: docs/popup.md.
declare namespace Consentry {
  interface Result {
    readonly session: string;
    readonly integration: string;
    /** For the backend's `complete`, once, within a minute. */
    readonly handle?: string;
    /** Credentials were entered and are stored: the connection's state. */
    readonly status?: string;
    /** Nothing was connected: why, as a code. */
    readonly error?: string;
  }

  /** What promises reject with, beside a signal's reason and the caller's own errors. */
  interface Failure extends Error {
    readonly code: "popup_blocked" | "closed" | "invalid_url" | "invalid_origin" | "insecure_page";
  }

  /** Call it in the click itself. */
  function open(
    connectUrl: string | PromiseLike<string>,
    options?: { returnOrigin?: string; signal?: AbortSignal; graceSeconds?: number },
  ): Promise<Result>;

  /** On the return page: tell the page that opened this window, or go on with `result` here. */
  function finish(
    options?: { openerOrigin?: string; waitSeconds?: number },
  ): Promise<{ readonly told: true; readonly result: Result } | { readonly told: false; readonly result?: Result }>;
}
