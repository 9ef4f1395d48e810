/**
 * What runs the networks: a worker made of the text of its functions or, where a page may start
 * none, as in the frames of some notebooks, the page itself, which then waits for each answer.
 *
 * @param {Function[]} more  what the worker needs besides the engine, each made of the one before
 * @param {(data: any) => void} answered  called with each answer
 * @param {(message: string) => void} failed  called when a worker that has answered is lost
 * @returns {(message: any) => void} to send a message with
 */
function netinvRunning(more, answered, failed) {
  "use strict";
  const makers = [netinvLayers, netinvFields, netinvEngine, ...more];
  let worker = null, unanswered = [];  // messages that a first answer has not followed yet

  function inWorker() {
    const made = makers.reduce(
      (inner, maker) => `(${maker})(${inner})`, `(${netinvConvolutions})()`);
    const text = `(${netinvWorker})(${made}, self);`;
    const address = URL.createObjectURL(new Blob([text], { type: "text/javascript" }));
    worker = new Worker(address);
    worker.onmessage = ({ data }) => {
      unanswered = null;
      answered(data);
    };
    worker.onerror = (event) => {
      if (unanswered) inPage(); else failed(event.message);
    };
  }

  function inPage() {
    const engine = makers.reduce(
      (inner, maker) => maker(inner), /** @type {any} */ (netinvConvolutions()));
    const scope = /** @type {any} */ ({ postMessage: (data) => setTimeout(answered, 0, data) });
    netinvWorker(engine, scope);
    worker = { postMessage: (data) => setTimeout(() => scope.onmessage({ data })) };
    for (const message of unanswered) worker.postMessage(message);
    unanswered = null;
  }

  try {
    inWorker();
  } catch {
    inPage();
  }
  return (message) => {
    unanswered?.push(message);
    worker.postMessage(message);
  };
}
