/** livekit-client's UMD build, loaded by a script tag before any module runs. */
export const LiveKit = /** @type {typeof import("livekit-client")} */ (/** @type {any} */ (globalThis).LivekitClient);
// Keep only warnings and errors in the console. `setLogLevel` would store that on the device.
LiveKit.getLogger(LiveKit.LoggerNames.Default).setDefaultLevel("warn");
