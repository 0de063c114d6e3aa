// The search of a site that is read from a folder: browsers start no Worker from a file, so its script runs in a hidden
// frame instead. The theme's script asks its parent for this name.
class IFrameWorker extends EventTarget {
  constructor(url) {
    super();
    const frame = document.body.appendChild(document.createElement("iframe"));
    frame.hidden = true;
    const { contentWindow: scope, contentDocument: page } = frame;
    scope.postMessage = (data) => this.dispatchEvent(new MessageEvent("message", { data }));
    const script = page.createElement("script");
    script.src = url;
    this.ready = new Promise((loaded, failed) => Object.assign(script, { onload: loaded, onerror: failed }));
    page.body.append(script);
    this.postMessage = (data) =>
      this.ready.then(() => scope.dispatchEvent(new scope.MessageEvent("message", { data: structuredClone(data) })));
    this.terminate = () => frame.remove();
  }
}
window.IFrameWorker = IFrameWorker;
if (location.protocol === "file:") window.Worker = IFrameWorker;
