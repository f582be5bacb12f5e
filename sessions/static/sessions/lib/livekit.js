/** livekit-client's own UMD build, loaded by a script tag before any module runs. */
export const LiveKit = /** @type {typeof import("livekit-client")} */ (/** @type {any} */ (globalThis).LivekitClient);
// Its every step would fill the console; what goes wrong stays.
LiveKit.setLogLevel("warn");
